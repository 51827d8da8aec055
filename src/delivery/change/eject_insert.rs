//! The disc of a VM of QEMU: ejected and inserted. Both, because libvirt takes an insertion of the path that is already there
//! for no change at all. The guest is asked first, and can be made to let go.

use crate::context::domain::disk_xml::with_medium;
use crate::context::domain::drive::Drive;
use crate::delivery::outcome::Outcome;
use crate::delivery::phases::Phases;
use crate::libvirt::domain::{Handle, Scope, Situation};
use crate::libvirt::trouble::Trouble;

/// Takes out what is in the drive, by force if the guest is not to be asked, and puts the file `path` in.
pub(super) fn change(
    handle: &Handle,
    drive: &Drive,
    path: &str,
    force: bool,
    phases: &mut Phases,
) -> Result<(), Outcome> {
    if !drive.is_empty() {
        match handle.update_device(&with_medium(drive, None), Scope::Live, force) {
            Err(Trouble::Refused(_)) if handle.situation()? == Situation::Paused => {
                return Err(Outcome::held_still());
            }
            Err(Trouble::Refused(_)) if !force => return Err(Outcome::Held),
            ejected => ejected?,
        }
        phases.end("eject");
    }
    handle.update_device(&with_medium(drive, Some(path)), Scope::Live, false).map_err(|trouble| match trouble {
        Trouble::Other(message) if message.contains("Tray of device") && message.contains("is not open") => {
            Outcome::Failed(format!(
                "libvirt takes the tray of the drive {} for open, and QEMU for closed ({message}); a restart of libvirt's \
                 daemon, which ends no VM, mends that, and so does a migration",
                drive.target
            ))
        }
        trouble => trouble.into(),
    })
}
