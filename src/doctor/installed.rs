//! The files that libvirtd calls, or would call, as hooks of one driver, and which of them are ours.
//!
//! For QEMU it calls `hooks/qemu`, then every executable in `hooks/qemu.d`, in the order of their names, whatever they end
//! in; for Xen the same called `libxl`. It follows links.

use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use memchr::memmem;

use super::script;
use crate::context::domain::driver::Driver;
use crate::host::file;
use crate::host::paths::Host;

/// Largest file in which we look for ourselves, in bytes.
const MAX_PROGRAM: u64 = 128 << 20;

/// What the hook says of itself, before its version (see `hook::VERSION`).
const NAME: &str = "virt-recontext-hook ";

#[derive(Debug)]
pub(super) struct Installed {
    pub path: PathBuf,
    pub standing: Standing,
    pub program: Program,
    /// Since when it lies there, as far as the file system tells: a link since it was made, a file since it was last
    /// replaced or changed.
    pub since: SystemTime,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Called,
    /// It is not: nobody may execute it.
    NotExecutable,
    /// It is not: it leads to this place, where nothing is.
    Dangling(PathBuf),
    /// It is not: it is no file.
    NoFile,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// Our hook, of this version.
    Hook(String),
    Helper,
    /// A script whose text names our hook, by these places or its mere name.
    Script(Vec<PathBuf>),
    /// Somebody else's, or none.
    Other,
}

impl Installed {
    /// All of them, in the order in which libvirtd calls them.
    pub(super) fn all(host: &Host, driver: Driver) -> Vec<Installed> {
        let entries = fs::read_dir(host.more_hooks_dir(driver)).into_iter().flatten();
        let mut further: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        further.sort();
        [host.hook(driver)].into_iter().chain(further).filter_map(|path| Installed::at(host, path)).collect()
    }

    fn at(host: &Host, path: PathBuf) -> Option<Installed> {
        let own = fs::symlink_metadata(&path).ok()?;
        let since = changed(&own);
        let standing = match fs::metadata(&path) {
            Err(_) => Standing::Dangling(fs::read_link(&path).unwrap_or_default()),
            Ok(metadata) if !metadata.is_file() => Standing::NoFile,
            Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => Standing::NotExecutable,
            Ok(_) => Standing::Called,
        };
        Some(Installed { program: program(host, &path), path, standing, since })
    }

    /// What there is to say of a host on which none of them is ours, or none that is called.
    pub(super) fn lack(host: &Host, driver: Driver) -> Option<String> {
        let is_at_work = |hook: &Installed| hook.is_ours() && hook.standing == Standing::Called;
        let hook = host.hook(driver);
        (!Installed::all(host, driver).iter().any(is_at_work)).then(|| {
            format!(
                "libvirt has no hook of ours at {}: when VMs start or arrive here they get no new disc; \"virt-recontext doctor\" \
                 says more",
                hook.display()
            )
        })
    }

    /// Whether it is our hook, or calls it.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.program, Program::Hook(_) | Program::Script(_))
    }

    /// The place that it leads to, where our hook is meant to be and nothing is.
    pub(super) fn missing_hook(&self) -> Option<&Path> {
        let Standing::Dangling(target) = &self.standing else { return None };
        target.file_name().is_some_and(|name| name == NAME.trim_end()).then_some(target)
    }
}

/// What lies at `path`; what cannot be read as a file is nobody's.
fn program(host: &Host, path: &Path) -> Program {
    let identity = |path: &Path| fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    if identity(path).is_some_and(|here| identity(&host.helper()) == Some(here)) {
        return Program::Helper;
    }
    let bytes = file::read(path, MAX_PROGRAM).unwrap_or_default();
    if bytes.starts_with(b"#!") {
        let names_us = memmem::find(&bytes, NAME.trim_end().as_bytes()).is_some();
        return if names_us { Program::Script(script::named(&bytes, NAME.trim_end())) } else { Program::Other };
    }
    version(&bytes).map_or(Program::Other, Program::Hook)
}

/// The version that our hook carries in itself.
fn version(bytes: &[u8]) -> Option<String> {
    memmem::find_iter(bytes, NAME).find_map(|at| {
        let after = bytes.get(at + NAME.len()..)?;
        let end = after.iter().take(40).position(|byte| *byte == b'\n')?;
        let version = std::str::from_utf8(after.get(..end)?).ok()?;
        let plausible = version.starts_with(|c: char| c.is_ascii_digit()) && version.contains('.');
        plausible.then(|| version.to_owned())
    })
}

fn changed(metadata: &Metadata) -> SystemTime {
    let seconds = u64::try_from(metadata.ctime()).unwrap_or_default();
    let nanoseconds = u32::try_from(metadata.ctime_nsec()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hooks_own_words_are_taken_for_its_version() {
        assert_eq!(version(b"\0virt-recontext-hook 0.1.0\n\0").as_deref(), Some("0.1.0"));
        assert_eq!(version(b"virt-recontext-hook is not 1.0\nvirt-recontext-hook 2.0\n").as_deref(), Some("2.0"));
        for other in ["", "virt-recontext-hook ", "virt-recontext-hook 1.0", "virt-recontext-hook x.1\n"] {
            assert_eq!(version(other.as_bytes()), None, "{other}");
        }
    }
}
