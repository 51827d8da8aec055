//! `disable`: the VM no longer takes part, and what is ours is taken back.

use std::io::Write;

use anyhow::{Context, Result};
use clap::Args;

use super::exit::{DONE, WAITING};
use super::vm;
use crate::context::domain::Domain;
use crate::context::domain::disk_xml::with_medium;
use crate::context::domain::driver::{Device, MediaChange};
use crate::context::domain::new_drive;
use crate::host::config::Config;
use crate::host::paths::Host;
use crate::host::vm::Vm;
use crate::host::vm::state::State;
use crate::libvirt::domain::Scope;
use crate::libvirt::saved;
use crate::libvirt::trouble::Trouble;

/// Stop a VM from taking part, and take our disc out of its drive.
#[derive(Debug, Args)]
pub(super) struct Disable {
    /// The VM's name or UUID.
    pub vm: String,
}

/// Lets the VM take part no more: its opt-in, our disc in its drive, and our files of it are removed. A disc that the guest
/// holds stays with it until it stops.
pub(super) fn disable(host: &Host, options: &Disable, out: &mut impl Write) -> Result<u8> {
    let config = Config::load(host)?;
    let libvirt = vm::connect(host, &config)?;
    let handle = libvirt.find(&options.vm)?;
    let live = vm::runs(&handle)?.then(|| vm::current_xml(&handle)).transpose()?;
    let defined = handle.is_persistent()?.then(|| handle.xml(Scope::Config)).transpose()?;
    let name = handle.name()?;
    let live = live.as_deref().map(Domain::read).transpose()?;
    let defined = defined.as_deref().map(Domain::read).transpose()?;

    for (scope, domain) in [(Scope::Config, &defined), (Scope::Live, &live)] {
        if domain.as_ref().is_some_and(Domain::takes_part) {
            handle.set_request(None, &[scope]).context("removing the VM's metadata")?;
        }
    }
    if let Some(domain) = &defined {
        for drive in domain.drives_with_disc() {
            if drive.device == Device::Cdrom {
                let disk = new_drive::emptied(domain, drive)?;
                handle.update_device(&disk, Scope::Config, false).context("emptying the drive in the definition")?;
            } else {
                let disk = with_medium(drive, None);
                handle.remove_device(&disk, Scope::Config).context("removing the disk's definition")?;
            }
        }
    }
    let uuid = handle.uuid()?;
    let image = State::known(host, &uuid)?.and_then(|state| state.image);
    let wanted = image.is_some_and(|image| saved::names(&libvirt, &uuid, &image));
    // While the guest has it, the disc stays; the sweep removes it later.
    Vm::hold(host, &uuid)?.leave()?;
    for drive in live.iter().flat_map(Domain::drives_with_disc) {
        let (target, empty) = (&drive.target, with_medium(drive, None));
        if drive.media_change() == MediaChange::Never {
            writeln!(out, "{name}: no longer takes part; its disc in {target} cannot be taken out before it stops")?;
            return Ok(DONE);
        }
        let taken_out = match drive.device {
            Device::Cdrom => handle.update_device(&empty, Scope::Live, false),
            Device::Disk => handle.remove_device(&empty, Scope::Live),
        };
        match taken_out {
            Ok(()) | Err(Trouble::Gone) => {}
            Err(Trouble::Refused(_)) => {
                writeln!(
                    out,
                    "{name}: no longer takes part; its guest holds the disc in {target} and keeps it until it stops"
                )?;
                return Ok(WAITING);
            }
            Err(trouble) => return Err(trouble).context("taking the disc out of its drive"),
        }
    }
    if !wanted {
        let vm = Vm::hold(host, &uuid)?;
        // A helper that had read the old XML may have made a new disc, and put it in.
        if State::of(host, &uuid)?.is_some() { vm.leave()? } else { vm.forget()? }
    }
    writeln!(out, "{name}: no longer takes part")?;
    Ok(DONE)
}
