//! Whether guests have read their newest discs, as far as their hypervisors tell.

use anyhow::{Context, Result};

use super::standing::{Disc, Standing};
use crate::context::domain::Domain;
use crate::context::domain::driver::{Device, Driver};
use crate::host::file;
use crate::host::paths::Host;
use crate::host::receipt::judge::{self, Receipt, judge};
use crate::host::receipt::seen::{Reading, Seen};
use crate::host::vm::image;
use crate::host::vm::state::{Progress, State};
use crate::libvirt::counters::{self, Counted};
use crate::libvirt::survey::{Survey, Vm};

/// How UEFI shows in libvirt's XML.
const UEFI: [&str; 2] = ["type='pflash'", "firmware='efi'"];

/// Adds to those whose newest disc is in the drive of the running VM whether it was read. Only those are asked for that are not known
/// to have read it, and none is waited for long.
///
/// # Errors
/// When libvirt tells of none; it is then unknown. What is found is written down where that is possible.
pub(super) fn add(host: &Host, uri: &str, survey: &Survey, standings: &mut [Standing]) -> Result<()> {
    let known = Seen::load(host)?;
    let mut seen = known.clone();
    let (mut to_ask, mut drives) = (Vec::new(), Vec::new());
    for standing in standings.iter_mut().filter(|standing| standing.disc == Some(Disc::Current)) {
        standing.read = Some(Receipt::Unknown);
        let vm = survey.vms.iter().find(|vm| vm.uuid == standing.uuid);
        // Its disc may have been changed since it was looked at.
        let is_same = |state: &State| {
            let generation = state.edition.map(|edition| edition.generation.0);
            state.progress == Progress::Delivered && generation == standing.generation
        };
        let state = State::of(host, &standing.uuid)?.filter(is_same);
        let Some((vm, state)) = vm.zip(state) else { continue };
        let Some(disc) = state.edition.map(|edition| edition.generation) else { continue };
        if let Some(reading) = seen.of(&vm.uuid, disc) {
            is_read(standing, reading);
        } else if let Some(drive) = drive_to_ask(host, vm, &state) {
            drives.push((vm.uuid.clone(), drive));
            to_ask.push((standing, vm, state, disc));
        }
    }
    let counted = if drives.is_empty() { Ok(Vec::new()) } else { counters::of(uri, &drives) };
    for ((standing, vm, state, disc), counted) in to_ask.into_iter().zip(counted.iter().flatten()) {
        match counted.and_then(|counted| judged(host, vm, &state, counted)) {
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

/// The drive of the VM that may be asked for: its disc is in there, and something is known to compare with.
fn drive_to_ask(host: &Host, vm: &Vm, state: &State) -> Option<String> {
    let domain = Domain::read(vm.live.as_deref()?).ok()?;
    let drive = domain.request_and_drive().ok().map(|(_, drive)| drive)?;
    let is_counted = drive.device == Device::Cdrom && domain.machine.driver() == Driver::Qemu;
    let has_disc = drive.path() == state.image.as_deref()?.to_str();
    (is_counted && has_disc && state.has_trail() && answers(host, vm)).then(|| drive.target.clone())
}

/// What is to be said of the disc, and how many bytes were read from the drive since it came.
fn judged(host: &Host, vm: &Vm, state: &State, counted: Counted) -> Option<(Receipt, u64)> {
    let read = counted.count.since(state.counted_before(counted.run)?)?;
    let uefi = UEFI.iter().any(|sign| vm.live.as_deref().is_some_and(|xml| xml.contains(sign)));
    // Of an image whose room is not known it is not known that it is small.
    let room = image::room(host, state.image.as_deref()?).unwrap_or(u64::MAX);
    Some((judge(read, judge::Disc { room, uefi, since_start: !state.tells_of_a_media_change() }), read.bytes))
}
