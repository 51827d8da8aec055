//! A directory as if some more files lay in it: one that leads to all that lies there, but for those.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf, absolute};
use std::str::FromStr;

use anyhow::{Context, Error, Result, anyhow, ensure};
use tempfile::TempDir;

use crate::host::file;
use crate::host::programs::beginning;

/// Largest program that is laid over, in bytes.
const MAX_PROGRAM: u64 = 64 << 20;

/// A file, and where in a directory it is to be thought of.
#[derive(Debug, Clone)]
pub(crate) struct With {
    pub place: PathBuf,
    pub file: PathBuf,
}

impl FromStr for With {
    type Err = Error;

    fn from_str(text: &str) -> Result<With> {
        let (place, file) =
            text.split_once('=').context("it is written PLACE=FILE, as in facts.d/site.toml=/tmp/new")?;
        let plain = |part| matches!(part, Component::Normal(_));
        ensure!(
            !place.is_empty() && Path::new(place).components().all(plain),
            "{place:?} is no file's place in the directory, such as facts.d/site.toml"
        );
        ensure!(!file.is_empty(), "it names no file for {place}");
        Ok(With { place: PathBuf::from(place), file: PathBuf::from(file) })
    }
}

pub(super) struct Overlay {
    dir: TempDir,
    places: Vec<PathBuf>,
}

impl Overlay {
    pub(super) fn new(original: &Path, with: &[With]) -> Result<Overlay> {
        let dir = TempDir::with_prefix("virt-recontext-").context("making a directory for what --with gives")?;
        let files: Vec<(&Path, &Path)> = with.iter().map(|with| (with.place.as_path(), with.file.as_path())).collect();
        lay(original, dir.path(), &files)?;
        Ok(Overlay { dir, places: with.iter().map(|with| with.place.clone()).collect() })
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Whether it is one of the files at `path`.
    pub(super) fn holds(&self, path: &Path) -> bool {
        path.strip_prefix(self.dir()).is_ok_and(|place| self.places.iter().any(|laid| laid == place))
    }
}

/// Makes `over` lead to what is in `original`, but for the `files` with their places in it.
fn lay(original: &Path, over: &Path, files: &[(&Path, &Path)]) -> Result<()> {
    let first = |place: &Path| place.components().next().map(|part| part.as_os_str().to_owned());
    let names: Vec<_> = files.iter().filter_map(|(place, _)| first(place)).collect();
    let there = if original.is_dir() { file::entries(original)? } else { Vec::new() };
    for entry in there.iter().filter(|entry| !names.contains(&entry.file_name())) {
        link(&entry.path(), &over.join(entry.file_name()))?;
    }
    let mut done: Vec<&OsStr> = Vec::new();
    for name in &names {
        if done.contains(&name.as_os_str()) {
            continue;
        }
        done.push(name);
        let inside: Vec<(&Path, &Path)> =
            files.iter().filter_map(|(place, file)| Some((place.strip_prefix(name).ok()?, *file))).collect();
        let target = over.join(name);
        match inside.as_slice() {
            [(place, file)] if place.as_os_str().is_empty() => put(file, &target)?,
            several if several.iter().any(|(place, _)| place.as_os_str().is_empty()) => {
                return Err(anyhow!("--with gives {} more than once", name.display()));
            }
            below => {
                fs::create_dir(&target).with_context(|| format!("making the directory {}", target.display()))?;
                lay(&original.join(name), &target, below)?;
            }
        }
    }
    Ok(())
}

/// Whoever asks about a program has not made it executable yet, as Ansible has not.
fn put(given: &Path, target: &Path) -> Result<()> {
    if !beginning::is_a_programs(given) {
        let given = absolute(given).with_context(|| format!("looking at {}", given.display()))?;
        fs::metadata(&given).with_context(|| format!("reading {}", given.display()))?;
        return link(&given, target);
    }
    let bytes = file::read(given, MAX_PROGRAM)?;
    let written =
        fs::write(target, bytes).and_then(|()| fs::set_permissions(target, fs::Permissions::from_mode(0o755)));
    written.with_context(|| format!("writing {}", target.display()))
}

fn link(to: &Path, at: &Path) -> Result<()> {
    symlink(to, at).with_context(|| format!("making the link {}", at.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_below_the_directory() {
        for (text, good) in [
            ("config.toml=/tmp/x", true),
            ("domains/web/context/a.j2=x", true),
            ("facts.d/a=b.toml=x", true),
            ("config.toml", false),
            ("=x", false),
            ("a=", false),
            ("../x=y", false),
            ("/etc/x=y", false),
            ("a/../../x=y", false),
        ] {
            assert_eq!(text.parse::<With>().is_ok(), good, "{text}");
        }
    }

    #[test]
    fn all_else_is_as_it_was() {
        let there = tempfile::tempdir().unwrap();
        for (name, text) in [("a", "old"), ("d/b", "old"), ("d/e/c", "old")] {
            fs::create_dir_all(there.path().join(name).parent().unwrap()).unwrap();
            fs::write(there.path().join(name), text).unwrap();
        }
        let new = there.path().join("a");
        let with: Vec<With> =
            ["d/b", "n/m/o"].iter().map(|place| With { place: place.into(), file: new.clone() }).collect();
        fs::write(&new, "new").unwrap();
        let overlay = Overlay::new(there.path(), &with).unwrap();
        let read = |name: &str| fs::read_to_string(overlay.dir().join(name)).unwrap();
        assert_eq!([read("a"), read("d/b"), read("d/e/c"), read("n/m/o")], ["new", "new", "old", "new"]);
        assert_eq!(fs::read_to_string(there.path().join("d/b")).unwrap(), "old");
        assert!(overlay.holds(&overlay.dir().join("d/b")) && !overlay.holds(&overlay.dir().join("d/e/c")));
        let twice = [with[0].clone(), with[0].clone()];
        assert!(Overlay::new(there.path(), &twice).is_err());
    }
}
