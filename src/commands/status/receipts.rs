//! Whether guests have read their newest discs, as far as their hypervisors tell.

use std::collections::HashMap;

use anyhow::{Context, Result};

use super::standing::{Disc, Standing};
use crate::context::domain::Domain;
use crate::context::domain::drive::Drive;
use crate::context::domain::driver::{Device, Driver};
use crate::context::uuid::Uuid;
use crate::host::file;
use crate::host::paths::Host;
use crate::host::receipt::judge::{self, Receipt, judge};
use crate::host::receipt::seen::{Reading, Seen};
use crate::host::vm::image;
use crate::host::vm::state::State;
use crate::libvirt::counters::{self, Drives};
use crate::libvirt::survey::{Survey, Vm};

/// How UEFI shows in libvirt's XML.
const UEFI: [&str; 2] = ["type='pflash'", "firmware='efi'"];

/// Adds to those whose newest disc is in the drive of the running VM whether it was read. Those that are not known to have read it
/// are asked for at once, and none is waited for.
///
/// # Errors
/// When libvirt does not answer; of these it is then unknown. What is found is written down where that is possible.
pub(super) fn add(host: &Host, uri: &str, survey: &Survey, standings: &mut [Standing]) -> Result<()> {
    let known = Seen::load(host)?;
    let mut seen = known.clone();
    let mut to_ask = Vec::new();
    for standing in standings.iter_mut().filter(|standing| standing.disc == Some(Disc::Current)) {
        standing.read = Some(Receipt::Unknown);
        let vm = survey.vms.iter().find(|vm| vm.uuid == standing.uuid);
        let state = State::of(host, &standing.uuid)?;
        let Some((vm, state)) = vm.zip(state) else { continue };
        let Some(disc) = state.edition.map(|edition| edition.generation) else { continue };
        match seen.of(&vm.uuid, disc) {
            Some(reading) => is_read(standing, reading),
            None if answers(host, vm) => to_ask.push((standing, vm, state, disc)),
            None => {}
        }
    }
    let uuids: Vec<Uuid> = to_ask.iter().map(|(_, vm, ..)| vm.uuid.clone()).collect();
    let counted = if uuids.is_empty() { Ok(HashMap::new()) } else { counters::of(uri, &uuids) };
    for (standing, vm, state, disc) in to_ask {
        let drives = counted.as_ref().ok().and_then(|counted| counted.get(&vm.uuid));
        match drives.and_then(|drives| judged(host, vm, &state, drives)) {
            Some((Receipt::Read, bytes)) => is_read(standing, seen.has_read(&vm.uuid, disc, bytes)),
            Some((receipt, bytes)) => (standing.read, standing.read_bytes) = (Some(receipt), Some(bytes)),
            None => {}
        }
    }
    seen.retain(|uuid| survey.vms.iter().any(|vm| vm.uuid.to_string() == uuid));
    if seen != known {
        // Who may not write there sees it all the same.
        let _seen_later = seen.write(host);
    }
    counted.map(drop).context("whether guests have read their discs is unknown")
}

fn is_read(standing: &mut Standing, reading: Reading) {
    standing.read = Some(Receipt::Read);
    (standing.read_bytes, standing.read_seen) = (Some(reading.bytes), Some(reading.moment()));
}

/// Whether the VM's hypervisor may answer. One that is stopped, or waits for a file system, does not, and whoever asked for the VM
/// after us would have to wait for it.
fn answers(host: &Host, vm: &Vm) -> bool {
    let file = host.running_vms_dir(Driver::Qemu).join(format!("{}.pid", vm.name));
    let pid = file::read_text(&file).ok().and_then(|text| text.trim().parse().ok());
    let stat = pid.and_then(|pid| file::read_text(&host.process_dir(pid).join("stat")).ok());
    // After the program's name, which may hold anything.
    let state = stat.as_deref().and_then(|stat| stat.rsplit_once(") ")).and_then(|(_, rest)| rest.chars().next());
    state.is_none_or(|state| matches!(state, 'R' | 'S' | 'I'))
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
