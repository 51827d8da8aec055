//! The files of one disc, before anything is written, and for each where it came from.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use super::path::DiscPath;
use crate::context::byte_order_mark;

/// The mode of a file that we make, or that a VM carries.
pub(crate) const OPEN: u16 = 0o444;

/// One file of a layer or a disc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its content; shared, so that one of many MiB gets from its layer into the image without a copy.
    pub bytes: Arc<Vec<u8>>,
    /// Its permission bits (0o7777 at most); the disc itself is read-only.
    pub mode: u16,
}

/// Where a file of a disc came from. By default from no layer: made by virt-recontext, because the disc or its format has
/// such a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The layers that have it, by number: the first is 1, and the last of these wins.
    pub layers: Vec<usize>,
    /// Whether it is rendered from a template of that layer.
    pub template: bool,
    /// Whether what virt-recontext would have made is merged into it.
    pub merged: bool,
}

/// All files of one disc, ordered by path. Directories exist only through the files in them.
///
/// Guaranteed: no path is also the directory of another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    files: BTreeMap<DiscPath, (File, Origin)>,
}

impl Files {
    /// Puts `file` at `path`, in the place of what was there.
    ///
    /// # Errors
    /// When `path` is the directory of another file, or lies below another file. Nothing is changed then.
    pub fn insert(&mut self, path: DiscPath, file: File, origin: Origin) -> Result<()> {
        // What lies below `path` follows it directly in the order.
        let next = self.files.range((Excluded(&path), Unbounded)).next().map(|(next, _)| next);
        let below = next.filter(|next| next.names().starts_with(path.names()));
        let above = path.ancestors().find(|above| self.files.contains_key(above));
        let clash = above.as_ref().map(|above| (above, &path)).or(below.map(|below| (&path, below)));
        if let Some((file, inside)) = clash.map(|(file, inside)| (file.to_string(), inside.to_string())) {
            bail!("{file:?} cannot be both a file and the directory of {inside:?}");
        }
        self.files.insert(path, (file, origin));
        Ok(())
    }

    /// Puts at `path` what `make` makes of the text that a layer has given there, if any; such a file keeps its mode. A byte
    /// order mark is taken off: something may come to stand before the text.
    pub(crate) fn make(&mut self, path: &str, make: impl FnOnce(Option<&[u8]>) -> Result<Vec<u8>>) -> Result<()> {
        let path: DiscPath = path.parse()?;
        let given = self.files.get_mut(&path);
        let bytes = make(given.as_ref().map(|(file, _)| byte_order_mark::without_in(&file.bytes)));
        let bytes = Arc::new(bytes.with_context(|| format!("making /{path}"))?);
        match given {
            None => self.insert(path, File { bytes, mode: OPEN }, Origin::default())?,
            Some((file, origin)) => (file.bytes, origin.merged) = (bytes, true),
        }
        Ok(())
    }

    /// The file at `path`.
    pub fn get(&self, path: &DiscPath) -> Option<&File> {
        self.files.get(path).map(|(file, _)| file)
    }

    /// Where the file at `path` came from.
    pub fn origin(&self, path: &DiscPath) -> Option<&Origin> {
        self.files.get(path).map(|(_, origin)| origin)
    }

    /// All files, ordered by path.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&DiscPath, &File)> {
        self.files.iter().map(|(path, (file, _))| (path, file))
    }

    /// The sum of all files' sizes, in bytes.
    pub fn content_size(&self) -> u64 {
        self.iter().map(|(_, file)| file.bytes.len() as u64).sum()
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
        let mut files = Files::default();
        files.insert("a/b".parse().unwrap(), file(), Origin::default()).unwrap();
        assert!(files.insert("a".parse().unwrap(), file(), Origin::default()).is_err());
        assert!(files.insert("a/b/c".parse().unwrap(), file(), Origin::default()).is_err());
        files.insert("a/b".parse().unwrap(), file(), Origin::default()).unwrap();
        files.insert("a/bc".parse().unwrap(), file(), Origin::default()).unwrap();
        assert_eq!(files.iter().len(), 2);
    }
}
