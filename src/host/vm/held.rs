//! A VM that is held.

use std::fs::File;

use anyhow::Result;

use super::lock;
use crate::context::uuid::Uuid;
use crate::host::file;
use crate::host::paths::Host;

/// One VM, held: nobody else writes anything of it meanwhile. For moments only, never while waiting for libvirt or a guest.
#[derive(Debug)]
pub struct Vm<'h> {
    pub(super) host: &'h Host,
    uuid: Uuid,
    /// The right to write what there is of the VM on this host.
    _lock: File,
}

impl<'h> Vm<'h> {
    /// Waits until nobody else holds the VM.
    pub fn hold(host: &'h Host, uuid: &Uuid) -> Result<Vm<'h>> {
        Ok(Vm { host, uuid: uuid.clone(), _lock: lock::wait(host, &host.lock_file(uuid))? })
    }

    pub(crate) fn uuid(&self) -> &Uuid {
        &self.uuid
    }

    /// Gives the VM back and removes its lock's file, when nothing of it is left on this host. Whoever waits for the
    /// removed file notices and takes a new one.
    pub(super) fn retire(self) -> Result<()> {
        file::remove(&self.host.lock_file(&self.uuid))
    }
}
