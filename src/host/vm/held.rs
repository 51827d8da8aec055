//! A VM that is held, and a disc of it.

use std::path::Path;

use anyhow::Result;

use super::image::Identity;
use super::lock::VmLock;
use crate::context::disc::marker::Edition;
use crate::context::uuid::Uuid;
use crate::host::paths::Host;

/// One VM, held: nobody else writes anything of it meanwhile. For moments only, never while waiting for libvirt or a guest.
#[derive(Debug)]
pub struct Vm<'h> {
    pub(super) host: &'h Host,
    pub(super) lock: VmLock,
}

#[derive(Debug)]
pub struct Disc<'p> {
    /// Its number and reason.
    pub(crate) edition: Edition,
    /// Where it lies, as the VM's XML names it.
    pub(crate) path: &'p Path,
    pub(super) identity: Identity,
}

impl<'h> Vm<'h> {
    /// Waits until nobody else holds the VM.
    pub fn hold(host: &'h Host, uuid: &Uuid) -> Result<Vm<'h>> {
        Ok(Vm { host, lock: VmLock::wait(host, uuid)? })
    }

    pub(crate) fn uuid(&self) -> &Uuid {
        self.lock.uuid()
    }
}
