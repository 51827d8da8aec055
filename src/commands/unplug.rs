//! Takes away what was plugged in for a context, on whatever host: the drive, and its controller if nothing else hangs on it.

use anyhow::{Context, Result};

use crate::context::domain::Domain;
use crate::context::domain::plug::{idle_controller, plugged};
use crate::libvirt::domain::{Handle, Scope};

/// Takes it out of the running VM, or out of the definition; gives the names of the drives.
///
/// # Errors
/// When libvirt refuses, as it does where the guest does not give a device back.
pub(super) fn unplug(handle: &Handle, scope: Scope) -> Result<Vec<String>> {
    let xml = handle.xml(scope)?;
    let domain = Domain::read(&xml)?;
    let mut gone = Vec::new();
    for (drive, element) in plugged(&domain) {
        let doing = || format!("taking the drive {} away", drive.target);
        handle.remove_device(element, scope).with_context(doing)?;
        gone.push(drive.target.clone());
    }
    // Also one that an `enable` or a `disable` that was killed has left alone.
    if let Some(controller) = idle_controller(&handle.xml(scope)?)? {
        handle.remove_device(&controller, scope).context("taking the drive's controller away")?;
    }
    Ok(gone)
}
