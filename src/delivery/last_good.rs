//! The disc that was in the drive before, kept until the new one is in: where a media change that fails leaves the drive
//! empty and tells so nowhere, the last good disc goes back.

use anyhow::{Context, Result};

use super::change::{replug, update};
use crate::context::domain::drive::Drive;
use crate::context::domain::driver::Device;
use crate::host::paths::Host;
use crate::host::vm::Vm;
use crate::host::vm::image::Kept;
use crate::host::vm::state::State;
use crate::libvirt::domain::Handle;

/// A VM's disc before the newest, and what was known of it.
pub(super) struct LastGood {
    image: Kept,
    state: State,
}

impl LastGood {
    /// Keeps the newest disc while a newer one takes its place; `None` when it is not there, or cannot be kept.
    pub(super) fn keep(vm: &Vm) -> Result<Option<LastGood>> {
        Ok(vm.keep()?.map(|(image, state)| LastGood { image, state }))
    }

    /// Puts the disc back into its place and into `drive`.
    ///
    /// # Errors
    /// When it stays out of either; the drive may be empty then.
    pub(super) fn put_back(self, host: &Host, handle: &Handle, drive: &Drive) -> Result<()> {
        let LastGood { image, state } = self;
        let path = state.image.clone().context("the last disc's path is not known")?;
        let vm = Vm::hold(host, &state.uuid)?;
        vm.put_back(image, state)?;
        drop(vm);
        let path = path.to_str().context("image_dir is not UTF-8")?;
        match drive.device {
            Device::Cdrom => update::insert(handle, drive, path)?,
            Device::Disk => replug::attach(handle, drive, path)?,
        }
        Ok(())
    }
}
