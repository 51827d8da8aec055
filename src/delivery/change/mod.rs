//! The media change: a disc into the drive of a running VM, in the way of its machine, one file a way. It does not matter in
//! which state the drive is found: full, empty, with an open tray, or left by a helper that died.

mod eject_insert;
pub(super) mod none;
pub(crate) mod plug;
pub(super) mod replug;
pub(super) mod update;
mod xenstore;

use std::time::{Duration, Instant};

use crate::context::domain::Domain;
use crate::context::domain::drive::Drive;
use crate::context::domain::driver::MediaChange;
use crate::delivery::outcome::{Done, Outcome};
use crate::delivery::phases::Phases;
use crate::host::metrics::counters::Way;
use crate::host::paths::Host;
use crate::host::receipt::Count;
use crate::libvirt::domain::{Handle, Scope};

/// So soon after the insertion it must be known what was read before. What comes later, as behind other work on the VM, may count
/// what its guest has read of the new disc.
const SOON: Duration = Duration::from_secs(1);

/// Puts the file `path` into `drive`; with `force`, a guest that holds the old disc is made to let go. The result says how
/// it went, and what had been read from the drive by then, if that is known.
pub(super) fn change(
    host: &Host,
    handle: &Handle,
    drive: &Drive,
    path: &str,
    force: bool,
) -> Result<(Done, Option<Count>), Outcome> {
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
    let inserted = Instant::now();
    let counted = handle.counted(&drive.target).filter(|_| inserted.elapsed() < SOON);
    check(handle, drive, path)?;
    let how = if way == Way::Forced { " by force" } else { "" };
    let more = more.map(|more| format!("; {more}")).unwrap_or_default();
    let line = format!("in the drive {}{how}{more}", drive.target);
    Ok((Done { line, took: phases.to_string(), way: Some(way) }, counted.map(|counted| counted.count)))
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
