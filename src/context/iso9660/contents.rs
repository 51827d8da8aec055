//! The contents of files, in the order of their paths, each from a block of its own on.

use super::block::blocks;
use super::unrepresentable::Unrepresentable;
use crate::context::disc::files::{File, Files};

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

/// All files, placed, and the number of blocks that they take.
pub fn place(files: &Files) -> Result<(Vec<Leaf<'_>>, u64), Unrepresentable> {
    let mut leaves = Vec::with_capacity(files.iter().len());
    let mut block = 0;
    for (path, file) in files.iter() {
        let size = u32::try_from(file.bytes.len()).map_err(|_| Unrepresentable::FileTooLarge(path.clone()))?;
        leaves.push(Leaf { names: path.names(), file, block });
        block += blocks(u64::from(size));
    }
    Ok((leaves, block))
}
