//! When guests were first seen to have read their newest discs. Nobody looks all the time: it was read at that moment or before.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::context::disc::marker::Generation;
use crate::context::moment::Moment;
use crate::context::uuid::Uuid;
use crate::host::clock;
use crate::host::paths::Host;
use crate::host::vm::record;

/// Of each VM the disc that was read last.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    vms: BTreeMap<String, Reading>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reading {
    generation: Generation,
    /// When that was seen first, in hundredths of a second since 1970.
    at: u64,
    /// How many bytes it had read by then.
    pub bytes: u64,
}

impl Reading {
    pub(crate) fn moment(self) -> Moment {
        Moment(self.at)
    }
}

impl Seen {
    /// What was seen before; nothing if that is damaged.
    pub(crate) fn load(host: &Host) -> Result<Seen> {
        Ok(record::read(&host.receipts_file())?.and_then(Result::ok).unwrap_or_default())
    }

    /// What was seen of the VM and this disc, if it has read it.
    pub(crate) fn of(&self, uuid: &Uuid, disc: Generation) -> Option<Reading> {
        self.vms.get(&uuid.to_string()).filter(|seen| seen.generation == disc).copied()
    }

    /// The VM is seen for the first time to have read this disc, and so many bytes.
    pub(crate) fn has_read(&mut self, uuid: &Uuid, disc: Generation, bytes: u64) -> Reading {
        let reading = Reading { generation: disc, at: clock::now().0, bytes };
        self.vms.insert(uuid.to_string(), reading);
        reading
    }

    /// Forgets all VMs but these.
    pub(crate) fn retain(&mut self, known: impl Fn(&str) -> bool) {
        self.vms.retain(|uuid, _| known(uuid));
    }

    /// Replaces what was written down. Of two who do so at a time one is forgotten, and what only that one has seen is seen later.
    pub(crate) fn write(&self, host: &Host) -> Result<()> {
        record::write(&host.receipts_file(), self)
    }
}
