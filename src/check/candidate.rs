//! A directory that is, or may become, a host's configuration; and how its files are told to whoever has named it.

use std::fs;
use std::path::{Path, PathBuf, absolute};

use anyhow::{Context, Result, ensure};

use super::overlay::{Overlay, With};
use crate::host::paths::Host;

pub(crate) struct Candidate {
    /// This host, if it were configured so.
    pub host: Host,
    /// The directory as a person has named it.
    shown: PathBuf,
    /// Where it lies.
    dir: PathBuf,
    overlay: Option<Overlay>,
    /// Whether it is the one that this host's hook reads.
    pub is_in_use: bool,
}

impl Candidate {
    /// The directory `shown` of `host`.
    ///
    /// # Errors
    /// When there is something else in its place.
    pub(crate) fn new(host: &Host, shown: &Path) -> Result<Candidate> {
        // Without a slash at its end.
        let shown: &Path = &shown.components().collect::<PathBuf>();
        let dir = absolute(shown).with_context(|| format!("looking at {}", shown.display()))?;
        let is_dir = !dir.try_exists().with_context(|| format!("looking at {}", shown.display()))? || dir.is_dir();
        ensure!(is_dir, "{} is not a directory", shown.display());
        let real = fs::canonicalize(&dir).unwrap_or_else(|_| dir.clone());
        let is_in_use = fs::canonicalize(host.config_dir()).unwrap_or_else(|_| host.config_dir()) == real;
        let host = host.configured_by(dir.clone());
        Ok(Candidate { host, shown: shown.to_owned(), dir, overlay: None, is_in_use })
    }

    /// The same directory with these files in it.
    pub(super) fn with(&self, host: &Host, with: &[With]) -> Result<Candidate> {
        let overlay = Overlay::new(&self.dir, with)?;
        let host = host.configured_by(overlay.dir().to_owned());
        let (shown, dir) = (self.shown.clone(), self.dir.clone());
        Ok(Candidate { host, shown, dir, overlay: Some(overlay), is_in_use: self.is_in_use })
    }

    pub(crate) fn is_there(&self) -> bool {
        self.dir.is_dir()
    }

    /// Where what is read at `path` really lies, if it is there; a file of an overlay is not.
    pub(super) fn original(&self, path: &Path) -> PathBuf {
        let below = path.strip_prefix(self.host.config_dir());
        below.map_or_else(|_| path.to_owned(), |below| self.dir.join(below))
    }

    pub(super) fn is_laid_over(&self, path: &Path) -> bool {
        self.overlay.as_ref().is_some_and(|overlay| overlay.holds(path))
    }

    /// How a person finds what lies at `place` in the directory.
    pub(super) fn place(&self, place: &Path) -> String {
        self.shown.join(place).display().to_string()
    }

    /// A message with its paths as a person finds them.
    pub(super) fn told(&self, message: &str) -> String {
        let (read, shown) = (self.host.config_dir().display().to_string(), self.shown.display().to_string());
        if read == shown || read == "/" {
            return message.to_owned();
        }
        let ends = ['/', ':', ' '].iter();
        let message = ends.fold(message.to_owned(), |message, end| {
            message.replace(&format!("{read}{end}"), &format!("{shown}{end}"))
        });
        message.strip_suffix(&read).map_or(message.clone(), |begin| format!("{begin}{shown}"))
    }
}
