//! Locks between processes: flock(2) on a file in the run directory, given back by the kernel when the holder dies.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use fs2::FileExt;
use nix::libc::O_NOFOLLOW;

use crate::host::file;
use crate::host::paths::Host;

/// Waits for the lock on the file at `path`, which is made if it is missing. Dropping the file gives the lock back.
pub(in crate::host) fn wait(host: &Host, path: &Path) -> Result<File> {
    loop {
        let file = open(host, path)?;
        match FileExt::lock_exclusive(&file) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            locked => locked.with_context(|| format!("locking {}", path.display()))?,
        }
        if is_still_at(&file, path) {
            return Ok(file);
        }
    }
}

/// The right to be this host's one helper.
#[derive(Debug)]
pub(crate) struct HelperLock(#[expect(dead_code, reason = "held, not used: dropping it gives the lock back")] File);

impl HelperLock {
    /// Takes the lock unless another helper has it.
    pub(crate) fn try_now(host: &Host) -> Result<Option<HelperLock>> {
        Ok(try_now(host, &host.helper_lock_file())?.map(HelperLock))
    }
}

/// The right to settle: to be the refresh that others leave their work to, as long as this is held.
#[cfg(feature = "libvirt")]
#[derive(Debug)]
pub(crate) struct SettleLock(#[expect(dead_code, reason = "held, not used: dropping it gives the lock back")] File);

#[cfg(feature = "libvirt")]
impl SettleLock {
    /// Takes the lock unless another refresh has it.
    pub(crate) fn try_now(host: &Host) -> Result<Option<SettleLock>> {
        Ok(try_now(host, &host.settle_lock_file())?.map(SettleLock))
    }
}

/// Takes the lock on the file at `path`, which is made if it is missing, unless somebody has it.
pub(in crate::host) fn try_now(host: &Host, path: &Path) -> Result<Option<File>> {
    let file = open(host, path)?;
    match FileExt::try_lock_exclusive(&file) {
        Ok(()) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error).with_context(|| format!("locking {}", path.display())),
    }
}

fn open(host: &Host, path: &Path) -> Result<File> {
    let dir = host.run_dir();
    file::make_dir(&dir, 0o700)?;
    // Jobs and states are believed, and every writer of one comes by here first.
    let metadata = fs::metadata(&dir).with_context(|| format!("looking at {}", dir.display()))?;
    file::check_trusted(&dir, &metadata)?;
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600).custom_flags(O_NOFOLLOW);
    let opened = options.open(path);
    opened.with_context(|| format!("opening the lock {}", path.display()))
}

/// Whether the locked file is the one that others would lock, and not one that was removed meanwhile.
fn is_still_at(file: &File, path: &Path) -> bool {
    let same = || -> io::Result<bool> {
        let (held, there) = (file.metadata()?, fs::metadata(path)?);
        Ok((held.dev(), held.ino()) == (there.dev(), there.ino()))
    };
    same().unwrap_or(false)
}
