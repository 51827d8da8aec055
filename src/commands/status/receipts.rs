//! Whether guests have read their newest discs, as far as their hypervisors tell.

use std::collections::HashMap;

use anyhow::{Context, Result};

use super::standing::{Disc, Standing};
use crate::context::domain::Domain;
use crate::context::domain::drive::Drive;
use crate::context::domain::driver::{Device, Driver};
use crate::context::uuid::Uuid;
use crate::host::paths::Host;
use crate::host::receipt::judge::{self, Receipt, judge};
use crate::host::receipt::seen::Seen;
use crate::host::vm::image;
use crate::host::vm::state::State;
use crate::libvirt::counters::{self, Drives};
use crate::libvirt::survey::{Survey, Vm};

/// How UEFI shows in libvirt's XML.
const UEFI: [&str; 2] = ["type='pflash'", "firmware='efi'"];

/// Adds to those whose newest disc is in the drive of the running VM whether it was read. All are asked for at once, and none is
/// waited for.
///
/// # Errors
/// When libvirt does not answer; it is then unknown of all. What is found is written down where that is possible.
pub(super) fn add(host: &Host, uri: &str, survey: &Survey, standings: &mut [Standing]) -> Result<()> {
    if !standings.iter().any(has_it) {
        return Ok(());
    }
    let known = Seen::load(host)?;
    let mut seen = known.clone();
    let counted = counters::of_all(uri);
    let drives = counted.as_ref().ok();
    for standing in standings.iter_mut().filter(|standing| has_it(standing)) {
        standing.read = Some(Receipt::Unknown);
        let vm = survey.vms.iter().find(|vm| vm.uuid == standing.uuid);
        let state = State::of(host, &standing.uuid)?;
        if let Some((vm, state)) = vm.zip(state) {
            judge_one(host, (vm, &state), drives, &mut seen, standing);
        }
    }
    if drives.is_some() {
        seen.retain(|uuid| survey.vms.iter().any(|vm| vm.uuid.to_string() == uuid));
    }
    if seen != known {
        // Who may not write there sees it all the same.
        let _seen_later = seen.write(host);
    }
    counted.map(drop).context("whether guests have read their discs is unknown")
}

fn has_it(standing: &Standing) -> bool {
    standing.disc == Some(Disc::Current)
}

fn judge_one(
    host: &Host,
    (vm, state): (&Vm, &State),
    drives: Option<&HashMap<Uuid, Drives>>,
    seen: &mut Seen,
    standing: &mut Standing,
) {
    let Some(disc) = state.edition.map(|edition| edition.generation) else { return };
    if let Some(at) = seen.at(&vm.uuid, disc) {
        (standing.read, standing.read_seen) = (Some(Receipt::Read), Some(at));
    }
    let judged = drives.and_then(|drives| drives.get(&vm.uuid)).and_then(|drives| judged(host, vm, state, drives));
    let Some((receipt, bytes)) = judged else { return };
    standing.read_bytes = Some(bytes);
    if standing.read_seen.is_none() {
        standing.read = Some(receipt);
        standing.read_seen = (receipt == Receipt::Read).then(|| seen.has_read(&vm.uuid, disc));
    }
}

/// What is to be said of the disc, and how many bytes were read from the drive since it came.
fn judged(host: &Host, vm: &Vm, state: &State, drives: &Drives) -> Option<(Receipt, u64)> {
    let xml = vm.live.as_deref()?;
    let domain = Domain::read(xml).ok()?;
    let drive = domain.request_and_drive().ok().map(|(_, drive)| drive)?;
    let image = state.image.as_deref()?;
    let is_told = |drive: &Drive| drive.device == Device::Cdrom && domain.machine.driver() == Driver::Qemu;
    if !is_told(drive) || drive.path() != image.to_str() {
        return None;
    }
    let read = drives.count(&drive.target)?.since(state.counted_before(drives.run)?)?;
    let uefi = !state.tells_of_a_media_change() && UEFI.iter().any(|sign| xml.contains(sign));
    // Of an image whose room is not known it is not known that it is small.
    let room = image::room(host, image).unwrap_or(u64::MAX);
    Some((judge(read, judge::Disc { room, uefi }), read.bytes))
}
