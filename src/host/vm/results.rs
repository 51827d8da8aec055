//! What programs printed last for one VM.

use std::collections::HashSet;

use anyhow::Result;

use super::held::Vm;
use super::record;
use crate::context::uuid::Uuid;
use crate::host::file;
use crate::host::paths::Host;
use crate::host::results::Results;

/// In seconds.
const DAY: u64 = 24 * 60 * 60;

impl Vm<'_> {
    /// Writes the results down; there is no file as long as there are none.
    pub fn remember(&self, results: &Results) -> Result<()> {
        let file = self.host.facts_file(self.uuid());
        match results.is_empty() {
            true if file.is_file() => file::remove(&file),
            true => Ok(()),
            false => record::write(&file, results),
        }
    }
}

/// The results for the VM; none if there is no file or it is damaged.
pub fn of(host: &Host, uuid: &Uuid) -> Result<Results> {
    Ok(record::read(&host.facts_file(uuid))?.and_then(Result::ok).unwrap_or_default())
}

/// Forgets the results for VMs other than `here` that are older than a day: those VMs have not come back.
pub(super) fn forget_old(host: &Host, here: &HashSet<Uuid>) -> Result<()> {
    for uuid in record::listed(&host.facts_dir())?.iter().filter(|uuid| !here.contains(uuid)) {
        if of(host, uuid)?.youngest().is_none_or(|age| age > DAY) {
            file::remove(&host.facts_file(uuid))?;
        }
    }
    Ok(())
}
