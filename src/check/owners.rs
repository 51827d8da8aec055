//! Whose the files are. Where the hook reads them only what root alone can write counts; in a checkout they are anybody's.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Error, Result};
use nix::unistd::geteuid;

use super::candidate::Candidate;
use super::findings::{Faults, Finding};
use crate::host::file::check_trusted;
use crate::host::judge::Judge;

/// Judges as the hook does, but goes on.
pub(super) struct Owners<'c> {
    candidate: &'c Candidate,
    pub(super) faults: Faults,
}

impl<'c> Owners<'c> {
    pub(super) fn of(candidate: &'c Candidate) -> Owners<'c> {
        Owners { candidate, faults: Faults::default() }
    }
}

impl Judge for Owners<'_> {
    fn check(&mut self, path: &Path, metadata: &Metadata) -> Result<()> {
        let original = self.candidate.original(path);
        let there = if original == path { Ok(metadata.clone()) } else { fs::metadata(&original) };
        // What is laid over, and a directory on the way there, has no owner yet.
        let Some(there) = there.ok().filter(|_| !self.candidate.is_laid_over(path)) else { return Ok(()) };
        let checked = check_trusted(path, &there);
        if self.candidate.is_in_use {
            return checked;
        }
        // Somebody else's own files are his business, until root looks at them.
        if let Err(error) = checked
            && (there.mode() & 0o022 != 0 || geteuid().is_root())
        {
            self.faults.found.push(Finding::Loose(format!("{error:#}")));
        }
        Ok(())
    }

    fn fault(&mut self, fault: Error) -> Result<()> {
        self.faults.note(&fault)
    }
}
