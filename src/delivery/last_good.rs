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

/// Puts the last disc, of which `state` was known, back into its place and into `drive`.
///
/// # Errors
/// When it stays out of either; the drive may be empty then.
pub(super) fn put_back(host: &Host, handle: &Handle, drive: &Drive, (image, state): (Kept, State)) -> Result<()> {
    let path = state.image.clone().context("the last disc's path is not known")?;
    Vm::hold(host, &state.uuid)?.put_back(image, state)?;
    let path = path.to_str().context("image_dir is not UTF-8")?;
    match drive.device {
        Device::Cdrom => update::insert(handle, drive, path)?,
        Device::Disk => replug::attach(handle, drive, path)?,
    }
    Ok(())
}
