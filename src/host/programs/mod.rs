//! Facts from programs: executables in `facts.d` that print a JSON object. Only the helper and the command line run them;
//! the hook, for which libvirtd waits, takes what they printed last for this VM.

pub(crate) mod beginning;
pub(crate) mod run;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::context::disc::facts::Facts;
use crate::host::vm::results::Results;

pub(crate) trait ProgramFacts {
    /// The facts that `program` gives for the VM that a disc is made for.
    ///
    /// # Errors
    /// When there are none, not even old ones.
    fn facts_of(&mut self, program: &Path) -> Result<Facts>;
}

/// A program has not been run for this VM on this host yet; the helper will.
#[derive(Debug)]
pub(crate) struct NotRunYet(PathBuf);

impl fmt::Display for NotRunYet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has not been run for this VM yet; the helper will run it", self.0.display())
    }
}

impl std::error::Error for NotRunYet {}

/// What the hook goes by: the last good results, never a program.
impl ProgramFacts for Results {
    fn facts_of(&mut self, program: &Path) -> Result<Facts> {
        let last = self.last(program).map(|(facts, _)| facts.clone());
        last.ok_or_else(|| NotRunYet(program.to_owned()).into())
    }
}
