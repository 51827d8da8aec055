//! The file system that a path lies on, and how it is mounted, from /proc/self/mountinfo.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub at: PathBuf,
    /// Its type, such as `ext4`, `nfs4` or `fuse.glusterfs`.
    pub kind: String,
    options: Vec<String>,
}

/// Types of file systems that other machines can have mounted as well.
const SHARED: [&str; 12] =
    ["nfs", "nfs4", "cifs", "smb3", "ceph", "gfs2", "ocfs2", "lustre", "gpfs", "beegfs", "afs", "9p"];

impl Mount {
    /// What `path`, or what of it there is, lies on.
    pub(super) fn of(path: &Path) -> Result<Mount> {
        let there = path.ancestors().find_map(|part| part.canonicalize().ok()).unwrap_or_else(|| PathBuf::from("/"));
        let table = fs::read_to_string("/proc/self/mountinfo").context("reading /proc/self/mountinfo")?;
        holding(&table, &there).with_context(|| format!("no file system is mounted for {}", there.display()))
    }

    /// The one that keeps `path` from being run, if it does.
    pub(super) fn noexec(path: &Path) -> Option<Mount> {
        Mount::of(path).ok().filter(|mount| mount.has("noexec"))
    }

    /// Whether it is mounted with this option.
    pub(super) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|one| one == option)
    }

    /// Whether other machines may see the same files.
    pub(super) fn is_shared(&self) -> bool {
        SHARED.contains(&self.kind.as_str()) || self.kind.starts_with("fuse.")
    }

    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self.kind.as_str(), "tmpfs" | "ramfs")
    }
}

/// The mount that holds `path`: the deepest, and of several at one place the last.
fn holding(table: &str, path: &Path) -> Option<Mount> {
    let mounts = table.lines().filter_map(read).filter(|mount| path.starts_with(&mount.at));
    mounts.max_by_key(|mount| mount.at.components().count())
}

/// `ID PARENT MAJOR:MINOR ROOT AT OPTIONS [TAG…] - TYPE SOURCE SUPER-OPTIONS`
fn read(line: &str) -> Option<Mount> {
    let (own, super_block) = line.split_once(" - ")?;
    let mut own = own.split(' ').skip(4);
    let (at, options) = (own.next()?, own.next()?);
    let mut super_block = super_block.split(' ');
    let (kind, super_options) = (super_block.next()?, super_block.nth(1).unwrap_or_default());
    let options = options.split(',').chain(super_options.split(',').filter(|option| *option == "ro"));
    Some(Mount { at: unescaped(at), kind: kind.to_owned(), options: options.map(str::to_owned).collect() })
}

/// The kernel writes white space and backslashes in octal.
fn unescaped(text: &str) -> PathBuf {
    let marks = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    PathBuf::from(marks.iter().fold(text.to_owned(), |text, (mark, plain)| text.replace(mark, plain)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
30 22 0:40 / /var/lib rw,noexec - nfs4 server:/lib rw\n\
31 22 0:41 / /var/lib/my\\040discs rw,noexec - tmpfs tmpfs ro\n\
32 22 0:42 / /var/lib/my\\040discs rw - xfs /dev/sdb rw\n";

    #[test]
    fn the_deepest_and_newest_mount_holds_a_path() {
        let of = |path: &str| holding(TABLE, Path::new(path)).unwrap();
        assert_eq!(of("/var/library").kind, "ext4");
        let nfs = of("/var/lib/x");
        assert!(nfs.is_shared() && nfs.has("noexec") && !nfs.has("ro"));
        assert_eq!(of("/var/lib/my discs/x").kind, "xfs");
        assert!(Mount::of(Path::new("/no/such/place")).unwrap().at.is_absolute());
    }

    #[test]
    fn read_only_is_a_matter_of_the_mount_or_the_file_system() {
        assert!(read("31 22 0:41 / /x rw - tmpfs tmpfs ro").unwrap().has("ro"));
        assert!(read("31 22 0:41 / /x ro - tmpfs tmpfs rw").unwrap().has("ro"));
        assert!(read("no mount at all").is_none());
    }
}
