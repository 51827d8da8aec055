//! What programs printed last for one VM: the helper writes it down, and the hook goes by it.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::held::Vm;
use super::record;
use crate::context::disc::facts::Facts;
use crate::context::uuid::Uuid;
use crate::host::clock;
use crate::host::file;
use crate::host::paths::Host;

/// In seconds.
const DAY: u64 = 24 * 60 * 60;

/// The last good results of all programs for one VM on this host.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Results {
    programs: BTreeMap<PathBuf, Good>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Good {
    facts: Facts,
    /// When it was printed, in hundredths of a second since 1970.
    at: u64,
}

impl Vm<'_> {
    /// Writes the results down; there is no file as long as there are none.
    pub fn remember(&self, results: &Results) -> Result<()> {
        if results.programs.is_empty() { Ok(()) } else { record::write(&self.host.facts_file(self.uuid()), results) }
    }
}

impl Results {
    /// The results for the VM; none if there is no file or it is damaged.
    pub fn of(host: &Host, uuid: &Uuid) -> Result<Results> {
        Ok(record::read(&host.facts_file(uuid))?.and_then(Result::ok).unwrap_or_default())
    }

    /// Forgets the results for VMs other than `here` that are older than a day: those VMs have not come back.
    pub(super) fn forget_old(host: &Host, here: &HashSet<Uuid>) -> Result<()> {
        for uuid in record::listed(&host.facts_dir())?.iter().filter(|uuid| !here.contains(uuid)) {
            let results = Results::of(host, uuid)?;
            if results.programs.values().all(|good| clock::seconds_since(good.at) > DAY) {
                file::remove(&host.facts_file(uuid))?;
            }
        }
        Ok(())
    }

    /// The program's last good result, with its age in seconds.
    pub(crate) fn last(&self, program: &Path) -> Option<(&Facts, u64)> {
        self.programs.get(program).map(|good| (&good.facts, clock::seconds_since(good.at)))
    }

    pub(crate) fn note(&mut self, program: &Path, facts: Facts) {
        self.programs.insert(program.to_owned(), Good { facts, at: clock::now().0 });
    }
}
