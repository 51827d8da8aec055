//! The disc of an HVM guest of Xen: its drive is described anew, where there is no asking the guest, nor a flag that forces
//! it. That the drive is empty after a failure shows nowhere.

use crate::context::domain::disk_xml::with_medium;
use crate::context::domain::drive::Drive;
use crate::libvirt::domain::{Handle, Scope};
use crate::libvirt::trouble::Trouble;

/// Puts the file `path` into `drive`, whatever the live XML says is in it: also for the path that is there already the file
/// is opened anew.
pub(crate) fn insert(handle: &Handle, drive: &Drive, path: &str) -> Result<(), Trouble> {
    handle.update_device(&with_medium(drive, Some(path)), Scope::Live, false)
}
