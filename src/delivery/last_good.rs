//! The disc that was in the drive before, kept until the new one is in: where a media change that fails leaves the drive
//! empty and tells so nowhere, the last good disc goes back.

use anyhow::{Context, Result};

use super::change::{replug, update};
use crate::context::domain::drive::Drive;
use crate::context::domain::driver::Device;
use crate::host::paths::Host;
use crate::host::vm::image::{self, Kept};
use crate::host::vm::lock::VmLock;
use crate::host::vm::state::{Progress, State};
use crate::libvirt::domain::Handle;

/// A VM's disc before the newest, and what was known of it.
pub struct LastGood {
    image: Kept,
    state: State,
}

impl LastGood {
    /// Keeps the disc that `state` tells of, while a new one takes its place; `None` when it is not there. Where the file
    /// system has no second names for files, there is none either, which is no reason to leave a guest with an old disc.
    pub fn keep(host: &Host, _lock: &VmLock, state: Option<&State>) -> Option<LastGood> {
        let state = state?;
        let image = image::keep(host, state.image.as_deref()?).ok().flatten()?;
        Some(LastGood { image, state: state.clone() })
    }

    /// Puts the disc back into its place and into `drive`.
    ///
    /// # Errors
    /// When it stays out of either; the drive may be empty then.
    pub fn put_back(self, host: &Host, handle: &Handle, drive: &Drive) -> Result<()> {
        let LastGood { image, mut state } = self;
        let path = state.image.clone().context("nothing is known of the last disc's place")?;
        let lock = VmLock::wait(host, &state.uuid)?;
        image.put_back()?;
        state.write(host, &lock, Progress::Waiting, "the last disc is back in its place")?;
        drop(lock);
        let path = path.to_str().context("image_dir is not UTF-8")?;
        match drive.device {
            Device::Cdrom => update::insert(handle, drive, path)?,
            Device::Disk => replug::attach(handle, drive, path)?,
        }
        Ok(())
    }
}
