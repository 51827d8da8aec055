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
struct Reading {
    generation: Generation,
    /// In hundredths of a second since 1970.
    at: u64,
}

impl Seen {
    /// What was seen before; nothing if that is damaged.
    pub(crate) fn load(host: &Host) -> Result<Seen> {
        Ok(record::read(&host.receipts_file())?.and_then(Result::ok).unwrap_or_default())
    }

    /// When the VM was first seen to have read this disc, if it was.
    pub(crate) fn at(&self, uuid: &Uuid, disc: Generation) -> Option<Moment> {
        self.vms.get(&uuid.to_string()).filter(|seen| seen.generation == disc).map(|seen| Moment(seen.at))
    }

    /// The VM is seen to have read this disc; the moment is that of the first time.
    pub(crate) fn has_read(&mut self, uuid: &Uuid, disc: Generation) -> Moment {
        self.at(uuid, disc).unwrap_or_else(|| {
            let at = clock::now();
            self.vms.insert(uuid.to_string(), Reading { generation: disc, at: at.0 });
            at
        })
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
