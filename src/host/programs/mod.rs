//! Facts from programs: executables in `facts.d` that print a JSON object. Only the helper and the command line run them;
//! the hook, for which libvirtd waits, takes what they printed last for this VM.

pub mod run;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::context::disc::facts::Facts;
use crate::context::uuid::Uuid;
use crate::host::clock;
use crate::host::file;
use crate::host::paths::Host;
use crate::host::vm::record;

/// In seconds.
const DAY: u64 = 24 * 60 * 60;

/// Where the facts of a program come from.
pub trait ProgramFacts {
    /// The facts that `program` gives for the VM that a disc is made for.
    ///
    /// # Errors
    /// When there are none, not even old ones.
    fn facts_of(&mut self, program: &Path) -> Result<Facts>;
}

/// The last good results of all programs for one VM on this host.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Results {
    programs: BTreeMap<PathBuf, Good>,
}

/// A good result.
#[derive(Debug, Serialize, Deserialize)]
struct Good {
    facts: Facts,
    /// When it was printed, in hundredths of a second since 1970.
    at: u64,
}

/// A program has not been run for this VM on this host yet; the helper will.
#[derive(Debug)]
pub struct NotRunYet(PathBuf);

impl fmt::Display for NotRunYet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was not run for this VM yet; the helper runs it", self.0.display())
    }
}

impl std::error::Error for NotRunYet {}

impl Results {
    /// The results for the VM; none if there is no file or it is damaged.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn of(host: &Host, uuid: &Uuid) -> Result<Results> {
        Ok(record::read(&host.facts_file(uuid))?.whole().unwrap_or_default())
    }

    /// Writes the results down; there is no file as long as there are none.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, host: &Host, uuid: &Uuid) -> Result<()> {
        if self.programs.is_empty() {
            return Ok(());
        }
        record::write(&host.facts_file(uuid), self)
    }

    /// Forgets the results for VMs other than `here` that are older than a day: those VMs have not come back.
    ///
    /// # Errors
    /// When the results cannot be listed, or a file stays.
    pub fn forget_old(host: &Host, here: &HashSet<Uuid>) -> Result<()> {
        for uuid in record::listed(&host.facts_dir())?.iter().filter(|uuid| !here.contains(uuid)) {
            let results = Results::of(host, uuid)?;
            if results.programs.values().all(|good| clock::seconds_since(good.at) > DAY) {
                file::remove(&host.facts_file(uuid))?;
            }
        }
        Ok(())
    }

    /// The program's last good result, with its age in seconds.
    pub fn last(&self, program: &Path) -> Option<(&Facts, u64)> {
        self.programs.get(program).map(|good| (&good.facts, clock::seconds_since(good.at)))
    }

    /// Notes a good result.
    pub fn note(&mut self, program: &Path, facts: Facts) {
        self.programs.insert(program.to_owned(), Good { facts, at: clock::now().0 });
    }
}

/// What the hook goes by: the last good results, never a program.
impl ProgramFacts for Results {
    fn facts_of(&mut self, program: &Path) -> Result<Facts> {
        let last = self.last(program).map(|(facts, _)| facts.clone());
        last.ok_or_else(|| NotRunYet(program.to_owned()).into())
    }
}
