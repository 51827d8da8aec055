//! Files: read whole with a limit, written whole or not at all.

use std::fs::{self, DirBuilder, DirEntry, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::libc::O_NONBLOCK;
use nix::sys::statfs::{
    BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, F2FS_SUPER_MAGIC, FsType, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC, XFS_SUPER_MAGIC,
    statfs,
};
use tempfile::NamedTempFile;

/// Largest configuration file that is read, in bytes.
const MAX_SMALL: u64 = 1 << 20;

/// How the name of a file begins that is being written.
pub(super) const NEW: &str = ".new-";

/// Nobody writes any more at a file that has not changed for so long.
const ABANDONED: Duration = Duration::from_secs(60);

/// Largest file of our own that is read, in bytes: several programs' facts are together in one.
const MAX_OWN: u64 = 16 << 20;

/// `None` for what is not there.
pub(crate) fn if_there<T>(found: Result<T, impl Into<anyhow::Error>>) -> Result<Option<T>> {
    let is_missing = |error: &io::Error| error.kind() == ErrorKind::NotFound;
    match found.map_err(Into::into) {
        Err(error) if error.downcast_ref().is_some_and(is_missing) => Ok(None),
        found => found.map(Some),
    }
}

/// Opens `path` for reading if it is a regular file; never waits, as opening a pipe would.
fn open(path: &Path) -> Result<(File, fs::Metadata)> {
    let opened = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path);
    let file = opened.with_context(|| format!("reading {}", path.display()))?;
    let metadata = file.metadata().with_context(|| format!("reading {}", path.display()))?;
    ensure!(metadata.is_file(), "reading {}: it is not a regular file", path.display());
    Ok((file, metadata))
}

/// The content of a regular file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let (file, metadata) = open(path)?;
    read_open(&file, &metadata, path, limit)
}

fn read_open(file: &File, metadata: &fs::Metadata, path: &Path, limit: u64) -> Result<Vec<u8>> {
    let bytes = read_up_to(file, metadata, path, limit.saturating_add(1))?;
    ensure!(bytes.len() as u64 <= limit, "reading {}: it is larger than {limit} bytes", path.display());
    Ok(bytes)
}

fn read_up_to(file: &File, metadata: &fs::Metadata, path: &Path, most: u64) -> Result<Vec<u8>> {
    // As long as it was when it was opened, so that it takes one read and not one for each doubling of the buffer. Files that
    // the kernel makes have no length.
    let len = if metadata.len() == 0 { most } else { metadata.len().min(most) };
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(most))?);
    let read = file.take(len).read_to_end(&mut bytes);
    read.with_context(|| format!("reading {}", path.display()))?;
    Ok(bytes)
}

/// The text of a file of our own, such as a job or a state. Of one that is damaged, so that it is too large or not UTF-8,
/// it is a text that is damaged too: nothing in such a file makes it unreadable, for then nobody could get over it.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let (file, metadata) = open(path)?;
    let bytes = read_up_to(&file, &metadata, path, MAX_OWN)?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// The content and permission bits of a file with which `check` finds nothing wrong.
pub(crate) fn read_checked(
    path: &Path,
    limit: u64,
    check: impl FnOnce(&fs::Metadata) -> Result<()>,
) -> Result<(Vec<u8>, u32)> {
    let (file, metadata) = open(path)?;
    check(&metadata)?;
    Ok((read_open(&file, &metadata, path, limit)?, metadata.mode() & 0o777))
}

/// The text of a configuration file that only root can have written.
pub(crate) fn read_trusted_text(path: &Path) -> Result<String> {
    read_checked_text(path, |metadata| check_trusted(path, metadata))
}

/// The text of a configuration file with which `check` finds nothing wrong.
pub(crate) fn read_checked_text(path: &Path, check: impl FnOnce(&fs::Metadata) -> Result<()>) -> Result<String> {
    let (bytes, _) = read_checked(path, MAX_SMALL, check)?;
    String::from_utf8(bytes).with_context(|| format!("reading {}: it is not UTF-8", path.display()))
}

/// Checks that a file or directory belongs to root and nobody else may write it, as sudo does with its own.
///
/// # Errors
/// When it does not, with the command that fixes it.
pub(crate) fn check_trusted(path: &Path, metadata: &fs::Metadata) -> Result<()> {
    let shown = path.display();
    ensure!(metadata.uid() == 0, "{shown} belongs to user {}, not to root: chown root {shown}", metadata.uid());
    ensure!(metadata.mode() & 0o022 == 0, "{shown} is writable by users other than root: chmod go-w {shown}");
    Ok(())
}

/// Whether it is a file that somebody may execute.
pub(crate) fn is_executable(metadata: &fs::Metadata) -> bool {
    metadata.is_file() && metadata.mode() & 0o111 != 0
}

/// Makes a directory and those above it; one that is there stays as it is.
pub(crate) fn make_dir(path: &Path, mode: u32) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(Path::new("/"));
    let above = DirBuilder::new().recursive(true).mode(0o755).create(parent);
    above.with_context(|| format!("making the directory {}", parent.display()))?;
    let made = match DirBuilder::new().mode(mode).create(path) {
        // Whatever the umask is, and libvirtd's is the administrator's to choose.
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(mode)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    };
    made.with_context(|| format!("making the directory {}", path.display()))
}

/// Puts a new file in the place of `path`: readers see the old one or the new one, never a part. Not synced to disk:
/// what is written this way is made anew after the machine has gone down.
///
/// # Errors
/// When `write` fails or the file cannot be made; `path` is as it was then, and nothing is left beside it.
pub(crate) fn replace(path: &Path, mode: u32, write: impl FnOnce(&mut File) -> Result<()>) -> Result<File> {
    let mut new = beside(path)?;
    write(new.as_file_mut()).with_context(|| format!("writing {}", path.display()))?;
    put(new, path, mode)
}

/// A new file beside `path`, for root alone; removed with this value, unless it has been put in the place of `path`.
pub(super) fn beside(path: &Path) -> Result<NamedTempFile> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let new = tempfile::Builder::new().prefix(NEW).permissions(Permissions::from_mode(0o600)).tempfile_in(dir);
    new.with_context(|| format!("writing {}", path.display()))
}

/// Puts `new` in the place of `path`.
pub(super) fn put(new: NamedTempFile, path: &Path, mode: u32) -> Result<File> {
    let put = || -> Result<File> {
        let mode = Permissions::from_mode(mode);
        if new.as_file().metadata()?.permissions().mode() & 0o7777 != mode.mode() {
            new.as_file().set_permissions(mode)?;
        }
        Ok(new.persist(path)?)
    };
    put().with_context(|| format!("writing {}", path.display()))
}

/// What is in a directory, in no order; nothing if it is missing.
pub(crate) fn entries(dir: &Path) -> Result<Vec<DirEntry>> {
    let reading = || format!("reading the directory {}", dir.display());
    let entries = if_there(fs::read_dir(dir)).with_context(reading)?;
    entries.into_iter().flatten().collect::<io::Result<_>>().with_context(reading)
}

/// Whether the directory lies on a file system that no other host can have mounted at the same time, as far as its kind tells.
pub(crate) fn is_on_this_host(dir: &Path) -> bool {
    statfs(dir).is_ok_and(|found| LOCAL.contains(&found.filesystem_type()))
}

/// Such file systems; postrm of the Debian package has them by their names.
const LOCAL: [FsType; 7] = [
    EXT4_SUPER_MAGIC,
    XFS_SUPER_MAGIC,
    BTRFS_SUPER_MAGIC,
    TMPFS_MAGIC,
    OVERLAYFS_SUPER_MAGIC,
    F2FS_SUPER_MAGIC,
    // ZFS, which Linux has no name for.
    FsType(0x2fc1_2fc1),
];

/// Removes from `dir` what writers left that were killed.
pub(crate) fn tidy(dir: &Path) -> Result<()> {
    for entry in entries(dir)? {
        let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        if entry.file_name().as_bytes().starts_with(NEW.as_bytes()) && age().is_some_and(|age| age > ABANDONED) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Puts `text` in the place of `path`, readable by root alone.
pub(crate) fn replace_text(path: &Path, text: &str) -> Result<()> {
    replace(path, 0o600, |file| Ok(file.write_all(text.as_bytes())?)).map(drop)
}

/// Removes a file; one that is not there is as good as removed.
pub(crate) fn remove(path: &Path) -> Result<()> {
    if_there(fs::remove_file(path)).map(drop).with_context(|| format!("removing {}", path.display()))
}
