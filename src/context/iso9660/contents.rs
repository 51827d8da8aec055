//! The contents of files, in the order of the tree, each from a block of its own on.

use super::block::blocks;
use super::limits::MAX_LEVELS;
use super::unrepresentable::Unrepresentable;
use crate::context::disc::tree::{File, Tree};

/// A file and where its content is.
#[derive(Debug, Clone, Copy)]
pub struct Leaf<'t> {
    /// Its path.
    pub names: &'t [String],
    /// The file itself.
    pub file: &'t File,
    /// Its first block, counted from the first file's.
    pub block: u64,
}

/// All files of `tree`, placed, and the number of blocks that they take.
pub fn place(tree: &Tree) -> Result<(Vec<Leaf<'_>>, u64), Unrepresentable> {
    let mut leaves = Vec::with_capacity(tree.iter().len());
    let mut block = 0;
    for (path, file) in tree.iter() {
        if path.names().len() > MAX_LEVELS {
            return Err(Unrepresentable::TooDeep(path.clone()));
        }
        let size = u32::try_from(file.bytes.len()).map_err(|_| Unrepresentable::FileTooLarge(path.clone()))?;
        leaves.push(Leaf { names: path.names(), file, block });
        block += blocks(u64::from(size));
    }
    Ok((leaves, block))
}
