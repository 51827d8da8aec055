//! The media change: a disc into the drive of a running VM, in the way of its machine. It does not matter in which state
//! the drive is found: full, empty, with an open tray, or left by a helper that died.

use std::time::Instant;

use anyhow::anyhow;
use quick_xml::escape::escape;

use super::hotplug;
use super::libvirt::{Handle, Scope, Situation, Trouble};
use super::swap::Attempt;
use crate::context::domain::Domain;
use crate::context::drive::Drive;
use crate::context::driver::{Device, MediaChange};
use crate::host::paths::Host;

/// Puts the file `path` into `drive`; with `force`, a guest that holds the old disc is made to let go. The result says how
/// it went.
///
/// # Errors
/// How the attempt came out instead.
pub fn change(host: &Host, handle: &Handle, drive: &Drive, path: &str, force: bool) -> Result<String, Attempt> {
    let begin = Instant::now();
    let mut by_force = false;
    let mut more = None;
    match drive.media_change() {
        MediaChange::EjectAndInsert => {
            eject_and_insert(handle, drive, path, force)?;
            by_force = force;
        }
        MediaChange::Update => insert(handle, drive, path)?,
        MediaChange::DetachAndAttach => more = hotplug::change(host, handle, drive, path)?,
        MediaChange::Never => return Err(Attempt::Failed(format!("no disc can be put into {} now", drive.target))),
    }
    let took = begin.elapsed().as_secs_f64() * 1e3;
    check(handle, drive, path)?;
    let how = if by_force { " by force, since the guest did not let go" } else { "" };
    let more = more.map(|more| format!("; {more}")).unwrap_or_default();
    Ok(format!("in the drive {}{how}; the media change took {took:.0} ms{more}", drive.target))
}

/// Whether libvirt has the drive in the running VM, as far as it tells.
pub fn is_there(handle: &Handle, drive: &Drive) -> bool {
    let xml = handle.xml(Scope::Live).unwrap_or_default();
    Domain::read(&xml).is_ok_and(|domain| domain.targets.contains(&drive.target))
}

/// Puts the file `path` into `drive` with Xen's driver, where there is no asking the guest, nor a flag that forces it.
///
/// # Errors
/// When libvirt refuses it.
pub fn insert(handle: &Handle, drive: &Drive, path: &str) -> Result<(), Trouble> {
    let new = device(drive, Some(path));
    match drive.device {
        // Whatever the live XML says is in it: also for the path that is there already the file is opened anew.
        Device::Cdrom => handle.update_device(&new, Scope::Live, false),
        Device::Disk => handle.add_device(&new, Scope::Live),
    }
}

/// Both, because libvirt takes an insertion of the path that is already there for no change at all.
fn eject_and_insert(handle: &Handle, drive: &Drive, path: &str, force: bool) -> Result<(), Attempt> {
    if !drive.is_empty() {
        match handle.update_device(&device(drive, None), Scope::Live, force) {
            Err(Trouble::Refused(_)) if handle.situation()? == Situation::Paused => {
                return Err(Attempt::HeldPaused);
            }
            Err(Trouble::Refused(_)) if !force => return Err(Attempt::Held),
            ejected => ejected?,
        }
    }
    Ok(handle.update_device(&device(drive, Some(path)), Scope::Live, false)?)
}

/// libvirt must say that the disc is in the drive.
fn check(handle: &Handle, drive: &Drive, path: &str) -> Result<(), Attempt> {
    let xml = handle.xml(Scope::Live)?;
    let domain = Domain::read(&xml).map_err(|error| Attempt::Failed(format!("{error:#}")))?;
    let now = domain.drives.iter().find(|now| now.target == drive.target).and_then(Drive::path);
    let wrong = || anyhow!("after the media change the drive {} holds {now:?}, not {path:?}", drive.target);
    if now == Some(path) { Ok(()) } else { Err(Attempt::Failed(wrong().to_string())) }
}

/// The drive with the file `path`, or empty, as libvirt wants it described for a media change.
pub fn device(drive: &Drive, path: Option<&str>) -> String {
    // libvirt forgets the policy when it is not sent again.
    let (kind, path) = match drive.device {
        Device::Cdrom => ("cdrom", path),
        // There is none without its file.
        Device::Disk => ("disk", path.or(drive.path())),
    };
    let source = path.map(|path| format!("<source file='{}' startupPolicy='optional'/>", escape(path)));
    format!(
        "<disk type='file' device='{kind}'><driver name='{}' type='raw'/>{}<target dev='{}' bus='{}'/><readonly/></disk>",
        escape(drive.backend.as_str()),
        source.unwrap_or_default(),
        escape(drive.target.as_str()),
        escape(drive.bus.as_str())
    )
}
