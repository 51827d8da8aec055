//! The files of one disc, before anything is written: a list of (path, bytes, mode).

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use super::path::DiscPath;

/// One file of a disc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its content; shared, so that one of many MiB gets from its layer onto the disc without a copy.
    pub bytes: Arc<Vec<u8>>,
    /// Its permission bits (0o7777 at most); the disc itself is read-only.
    pub mode: u16,
}

/// All files of one disc, ordered by path. Directories exist only through the files in them.
///
/// Guaranteed: no path is also the directory of another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    files: BTreeMap<DiscPath, File>,
}

/// A file and a directory want the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    file: DiscPath,
    inside: DiscPath,
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} cannot be both a file and the directory of {:?}",
            self.file.to_string(),
            self.inside.to_string()
        )
    }
}

impl std::error::Error for Clash {}

impl Tree {
    /// Puts `file` at `path`, in the place of what was there.
    ///
    /// # Errors
    /// When `path` is the directory of another file, or lies below another file. The tree is unchanged then.
    pub fn insert(&mut self, path: DiscPath, file: File) -> Result<(), Clash> {
        let above = path.ancestors().find(|above| self.files.contains_key(above));
        if let Some(above) = above {
            return Err(Clash { file: above, inside: path });
        }
        // What lies below `path` follows it directly in the order.
        let next = self.files.range((Excluded(&path), Unbounded)).next();
        let below = next.filter(|(next, _)| next.names().starts_with(path.names())).map(|(below, _)| below.clone());
        if let Some(below) = below {
            return Err(Clash { file: path, inside: below });
        }
        self.files.insert(path, file);
        Ok(())
    }

    /// The file at `path`.
    pub fn get(&self, path: &DiscPath) -> Option<&File> {
        self.files.get(path)
    }

    /// All files, ordered by path.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&DiscPath, &File)> {
        self.files.iter()
    }

    /// The sum of all files' sizes, in bytes.
    pub fn content_size(&self) -> u64 {
        self.files.values().map(|file| file.bytes.len() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> File {
        File { bytes: b"x".to_vec().into(), mode: 0o444 }
    }

    #[test]
    fn a_name_is_a_file_or_a_directory_never_both() {
        let mut tree = Tree::default();
        tree.insert("a/b".parse().unwrap(), file()).unwrap();
        assert!(tree.insert("a".parse().unwrap(), file()).is_err());
        assert!(tree.insert("a/b/c".parse().unwrap(), file()).is_err());
        tree.insert("a/b".parse().unwrap(), file()).unwrap();
        tree.insert("a/bc".parse().unwrap(), file()).unwrap();
        assert_eq!(tree.iter().len(), 2);
    }
}
