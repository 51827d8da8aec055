//! The media change: a disc into the drive of a running VM, in the way of its machine, one file a way. It does not matter in
//! which state the drive is found: full, empty, with an open tray, or left by a helper that died.

mod eject_insert;
pub(super) mod none;
pub(crate) mod plug;
pub(super) mod replug;
pub(super) mod update;
mod xenstore;

use crate::context::domain::Domain;
use crate::context::domain::drive::Drive;
use crate::context::domain::driver::MediaChange;
use crate::delivery::outcome::{Done, Outcome};
use crate::delivery::phases::Phases;
use crate::host::metrics::counters::Way;
use crate::host::paths::Host;
use crate::libvirt::domain::{Handle, Scope};

/// Puts the file `path` into `drive`; with `force`, a guest that holds the old disc is made to let go. The result says how
/// it went.
pub(super) fn change(host: &Host, handle: &Handle, drive: &Drive, path: &str, force: bool) -> Result<Done, Outcome> {
    let mut phases = Phases::begin();
    let mut way = Way::Asked;
    let mut more = None;
    match drive.media_change() {
        MediaChange::EjectAndInsert => {
            eject_insert::change(handle, drive, path, force, &mut phases)?;
            if force && !drive.is_empty() {
                way = Way::Forced;
            }
        }
        MediaChange::Update => update::insert(handle, drive, path)?,
        MediaChange::DetachAndAttach => more = replug::change(host, handle, drive, path)?,
        MediaChange::Never => {
            let target = &drive.target;
            return Err(Outcome::Failed(format!("no disc can be put into the drive {target} while the VM runs")));
        }
    }
    phases.end("insert");
    check(handle, drive, path)?;
    let how = if way == Way::Forced { " by force" } else { "" };
    let more = more.map(|more| format!("; {more}")).unwrap_or_default();
    let line = format!("in the drive {}{how}{more}", drive.target);
    Ok(Done { line, took: phases.to_string(), way: Some(way) })
}

/// libvirt must say that the disc is in the drive.
fn check(handle: &Handle, drive: &Drive, path: &str) -> Result<(), Outcome> {
    let xml = handle.xml(Scope::Live)?;
    let domain = Domain::read(&xml).map_err(|error| Outcome::Failed(format!("{error:#}")))?;
    let now = domain.drives.iter().find(|now| now.target == drive.target).and_then(Drive::path);
    if now == Some(path) {
        return Ok(());
    }
    let (target, holds) = (&drive.target, now.unwrap_or("no file"));
    Err(Outcome::Failed(format!("after the media change the drive {target} holds {holds}, not {path}")))
}
