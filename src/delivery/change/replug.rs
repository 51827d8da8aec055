//! The disc of a paravirtual guest of Xen that has it on a disk: the disk is detached and attached again, with the new file.
//!
//! A helper that dies in between leaves the guest without it and libvirt without a trace of it, so that a disk is away is
//! noted before. That libvirt reports success does not mean that the guest has the disk; xenstore knows.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::xenstore;
use crate::context::domain::Domain;
use crate::context::domain::disk_xml::with_medium;
use crate::context::domain::drive::Drive;
use crate::context::domain::driver::Machine;
use crate::context::domain::request::Request;
use crate::delivery::outcome::Outcome;
use crate::host::paths::Host;
use crate::host::vm::Vm;
use crate::host::vm::state::State;
use crate::libvirt::domain::{Handle, Scope, Situation};
use crate::libvirt::trouble::Trouble;

/// So long the guest has for taking the disk.
const CONNECTING: Duration = Duration::from_secs(15);

/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(100);

/// The disk that an earlier attempt has left away, if the domain still wants it.
pub(crate) fn left_away(host: &Host, domain: &Domain, request: &Request) -> Result<Option<Drive>> {
    let Some(target) = State::of(host, &domain.uuid)?.and_then(|state| state.detached) else { return Ok(None) };
    let wanted = request.target.as_ref().is_none_or(|wanted| *wanted == target);
    let away = wanted && domain.machine == Machine::XenPv && !domain.targets.contains(&target);
    Ok(away.then(|| Drive::detached(&target)))
}

/// Detaches the disk, unless it is away, and attaches it with the file `path`. The result is what there is to say beyond.
pub(crate) fn change(host: &Host, handle: &Handle, drive: &Drive, path: &str) -> Result<Option<String>, Outcome> {
    // Both need the guest's help.
    if handle.situation()? == Situation::Paused {
        return Err(Outcome::held_still());
    }
    let uuid = handle.uuid()?;
    let note = |target: Option<&str>| {
        let noted = Vm::hold(host, &uuid).and_then(|vm| vm.disk_is_out(target));
        noted.map_err(|error| Outcome::Hopeless(format!("{error:#}")))
    };
    if !drive.is_empty() {
        note(Some(&drive.target))?;
        if let Err(trouble) = handle.remove_device(&with_medium(drive, None), Scope::Live) {
            note(None)?;
            return Err(match trouble {
                Trouble::Refused(message) | Trouble::Other(message) => Outcome::Failed(format!(
                    "the guest did not release the disk {}; make sure that it is not mounted there: {message}",
                    drive.target
                )),
                trouble => trouble.into(),
            });
        }
    }
    attach(handle, drive, path)?;
    note(None)?;
    wait_until_connected(host, handle, &drive.target)
}

pub(crate) fn attach(handle: &Handle, drive: &Drive, path: &str) -> Result<(), Trouble> {
    handle.add_device(&with_medium(drive, Some(path)), Scope::Live)
}

/// Whether libvirt has the disk in the running VM, as far as it tells.
pub(crate) fn is_there(handle: &Handle, drive: &Drive) -> bool {
    let xml = handle.xml(Scope::Live).unwrap_or_default();
    Domain::read(&xml).is_ok_and(|domain| domain.targets.contains(&drive.target))
}

fn wait_until_connected(host: &Host, handle: &Handle, target: &str) -> Result<Option<String>, Outcome> {
    let end = Instant::now() + CONNECTING;
    let id = handle.id().ok_or(Outcome::Gone)?;
    loop {
        match xenstore::is_connected(host, id, target) {
            Ok(true) => return Ok(None),
            Ok(false) if Instant::now() >= end => {
                return Err(Outcome::Failed(format!(
                    "libvirt attached {target}, but the guest did not connect to it within {} s",
                    CONNECTING.as_secs()
                )));
            }
            Ok(false) => thread::sleep(LOOK),
            Err(error) => return Ok(Some(format!("it is not known whether the guest has connected to it: {error:#}"))),
        }
    }
}
