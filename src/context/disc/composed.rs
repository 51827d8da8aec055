//! The files of one disc, and for each where it came from.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::path::DiscPath;
use super::tree::{File, Tree};

/// The mode of a file that we make, or that a VM carries.
pub const OPEN: u16 = 0o444;

/// Where a file of the disc came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From a layer, as it is there or rendered from the template there.
    Given,
    /// Made by virt-recontext, because the disc or its format has such a file.
    Generated,
    /// From a layer, with what virt-recontext would have generated merged into it.
    Merged,
}

/// The files of one disc, and for each where it came from.
#[derive(Debug, Default)]
pub struct Composed {
    tree: Tree,
    origins: BTreeMap<DiscPath, Origin>,
}

impl Composed {
    /// The files.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Where the file at `path` came from; `None` if there is none.
    pub fn origin(&self, path: &DiscPath) -> Option<Origin> {
        self.origins.get(path).copied()
    }

    /// Puts a file of a layer at `path`.
    ///
    /// # Errors
    /// When a file and a directory would have the same name.
    pub fn give(&mut self, path: DiscPath, file: File) -> Result<()> {
        self.put(path, file, Origin::Given)
    }

    /// Puts at `path` what `make` makes of the content that a layer has given there, if any; such a file keeps its mode.
    ///
    /// # Errors
    /// Those of `make`, with the path; and when a file and a directory would have the same name.
    pub fn make(&mut self, path: &str, make: impl FnOnce(Option<&[u8]>) -> Result<Vec<u8>>) -> Result<()> {
        let path: DiscPath = path.parse()?;
        let given = self.tree.get(&path);
        let (mode, origin) = given.map_or((OPEN, Origin::Generated), |file| (file.mode, Origin::Merged));
        let bytes = make(given.map(|file| file.bytes.as_slice())).with_context(|| format!("making /{path}"))?;
        self.put(path, File { bytes: bytes.into(), mode }, origin)
    }

    /// Puts an empty file at `path` unless a layer has given one there.
    ///
    /// # Errors
    /// When a file and a directory would have the same name.
    pub fn make_empty_if_missing(&mut self, path: &str) -> Result<()> {
        let path: DiscPath = path.parse()?;
        if self.tree.get(&path).is_some() {
            return Ok(());
        }
        self.put(path, File { bytes: Vec::new().into(), mode: OPEN }, Origin::Generated)
    }

    fn put(&mut self, path: DiscPath, file: File, origin: Origin) -> Result<()> {
        self.tree.insert(path.clone(), file)?;
        self.origins.insert(path, origin);
        Ok(())
    }
}
