//! What is made of a fault in this host's data, by whoever reads them.

use std::fs::Metadata;
use std::path::Path;

use anyhow::{Error, Result};

use super::file;

pub(crate) trait Judge {
    /// Whether what lies at `path` may count, by whose it is.
    ///
    /// # Errors
    /// When it may not: with whose it is, and what to do.
    fn check(&mut self, path: &Path, metadata: &Metadata) -> Result<()>;

    /// Something is at fault. When this fails, that is the end of the reading; or else all but that is read.
    fn fault(&mut self, fault: Error) -> Result<()>;
}

/// Whoever makes a disc of them, which is whole or not at all: only what root alone can have written counts, and the first
/// fault is the end.
pub(crate) struct Strict;

impl Judge for Strict {
    fn check(&mut self, path: &Path, metadata: &Metadata) -> Result<()> {
        file::check_trusted(path, metadata)
    }

    fn fault(&mut self, fault: Error) -> Result<()> {
        Err(fault)
    }
}
