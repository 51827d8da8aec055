//! `disable`: the VM no longer takes part, and what is ours is taken back.

use std::fmt::Display;
use std::io::{self, Write};

use anyhow::{Context, Result};
use clap::Args;

use super::each::Vms;
use super::exit::{DONE, WAITING};
use super::unplug::unplug;
use super::vm;
use crate::context::domain::Domain;
use crate::context::domain::disk_xml::with_medium;
use crate::context::domain::drive::Medium;
use crate::context::domain::driver::{Device, MediaChange};
use crate::context::domain::new_drive;
use crate::context::domain::request::Request;
use crate::host::config::Config;
use crate::host::log::{Log, Subject};
use crate::host::medium;
use crate::host::paths::Host;
use crate::host::select::{self, Selected};
use crate::host::vm::Vm;
use crate::host::vm::state::State;
use crate::libvirt::connection::Libvirt;
use crate::libvirt::domain::{Handle, Scope, Situation};
use crate::libvirt::saved;
use crate::libvirt::trouble::Trouble;

/// Stop VMs from taking part, and take our discs out of their drives.
#[derive(Debug, Args)]
pub(super) struct Disable {
    #[command(flatten)]
    pub vms: Vms,
}

pub(super) fn disable(host: &Host, options: &Disable, out: &mut impl Write) -> Result<u8> {
    // Also on a bad day, on which the configuration is broken.
    let config = Config::assumed(host);
    options.vms.each(host, &config, |vm| one(host, &config, vm, out))
}

/// Lets the VM take part no more: its opt-in, our disc in its drive, and our files of it are removed. A disc that the guest
/// holds stays with it until it stops.
fn one(host: &Host, config: &Config, vm: &str, out: &mut impl Write) -> Result<u8> {
    let libvirt = vm::connect(host, config)?;
    let handle = libvirt.find(vm)?;
    // First: a helper that is about to let it take part sees that, or is seen below.
    let left_out = leave_out(host, config, &handle, out);
    let done = take_away(host, config, (&libvirt, &handle), out)?;
    left_out.map(|()| done)
}

/// Has no rule select the VM any more, where one does or may.
fn leave_out(host: &Host, config: &Config, handle: &Handle, out: &mut impl Write) -> Result<()> {
    let (name, uuid) = (handle.name()?, handle.uuid()?);
    let live = vm::runs(handle)?.then(|| vm::current_xml(handle)).transpose()?;
    let defined = handle.is_persistent()?.then(|| handle.xml(Scope::Config)).transpose()?;
    let fitting = |xml: &String| select::fitting(config, &Domain::read(xml).ok()?).ok().flatten();
    let until = "leaves it out on this host from now on, until it is enabled";
    let line = match [&live, &defined].into_iter().flatten().find_map(fitting) {
        Some(Selected { number, .. }) => format!("{number} selects it, and {until}"),
        None if select::is_unknown(host) => {
            format!("what rules of [[select]] there are cannot be read; each of them {until}")
        }
        None => return Ok(()),
    };
    if !select::is_taken_out(host, &uuid) {
        select::take_out(host, &uuid).context("leaving it out, whatever rule selects it")?;
    }
    Log::of(host, Subject::vm(&name, &uuid)).info(format_args!("{name}: disable: {line}"));
    let _nobody_reads = writeln!(out, "{}", vm::on_one_line(&format!("{name}: {line}")));
    Ok(())
}

/// Takes away what there is of ours in the VM.
fn take_away(host: &Host, config: &Config, (libvirt, handle): (&Libvirt, &Handle), out: &mut impl Write) -> Result<u8> {
    let live = vm::runs(handle)?.then(|| vm::current_xml(handle)).transpose()?;
    let defined = handle.is_persistent()?.then(|| handle.xml(Scope::Config)).transpose()?;
    let name = handle.name()?;
    let live = live.as_deref().map(Domain::read).transpose()?;
    let defined = defined.as_deref().map(Domain::read).transpose()?;

    let uuid = handle.uuid()?;
    if live.as_ref().is_some_and(Domain::takes_part) {
        handle.set_request(None, &[Scope::Live]).context("removing the VM's metadata")?;
    }
    let domains = || [&defined, &live].into_iter().flatten();
    let took_part = domains().any(|domain| domain.takes_part() || domain.drives_with_disc().next().is_some());
    let mut told = Told { out, log: Log::of(host, Subject::vm(&name, &uuid)), name: &name, read: Ok(()) };
    if let Some(carried) = domains().find_map(|domain| carried(domain.request().ok().flatten()?)) {
        told.tell(format_args!("{carried} goes with its opt-in"));
    }
    if let Some(domain) = &defined {
        // What was in the drive before is known from the metadata alone.
        let emptied = take_out(handle, domain, (host, config), &mut told);
        if domain.takes_part() {
            handle.set_request(None, &[Scope::Config]).context("removing the VM's metadata")?;
        }
        emptied?;
    }
    let image = State::known(host, &uuid)?.and_then(|state| state.image);
    let wanted = image.is_some_and(|image| saved::names(libvirt, &uuid, &image));
    // While the guest has it, the disc stays; the sweep removes it later.
    Vm::hold(host, &uuid)?.leave()?;
    for drive in live.iter().flat_map(Domain::drives_with_disc) {
        let (target, empty) = (&drive.target, with_medium(drive, None));
        if drive.media_change() == MediaChange::Never {
            told.tell(format_args!("no longer takes part; its disc in {target} cannot be taken out before it stops"));
            return told.ended(DONE);
        }
        let taken_out = match drive.device {
            Device::Cdrom => handle.update_device(&empty, Scope::Live, false),
            Device::Disk => handle.remove_device(&empty, Scope::Live),
        };
        match taken_out {
            Ok(()) => told.log.info(format_args!("{name}: disable: its disc is out of {target}")),
            Err(Trouble::Gone) => {}
            Err(Trouble::Refused(_)) => {
                let guest = match handle.situation()? {
                    Situation::Paused => "its guest, which stands still,",
                    _ => "its guest",
                };
                told.tell(format_args!(
                    "no longer takes part; {guest} has not let go of the disc in {target}, which stays there until the VM \
                     stops, or until it lets go and disable is run again"
                ));
                return told.ended(WAITING);
            }
            Err(trouble) => {
                let but =
                    format!("{name} no longer takes part, but its disc cannot be taken out of its drive {target}");
                return Err(trouble).context(but);
            }
        }
    }
    if live.is_some() {
        match unplug(handle, Scope::Live) {
            Ok(gone) => {
                gone.iter().for_each(|drive| told.log.info(format_args!("{name}: disable: {drive} is unplugged")))
            }
            Err(error) => {
                told.tell(format_args!("no longer takes part; the drive stays until the VM stops: {error:#}"));
                return told.ended(WAITING);
            }
        }
    }
    if !wanted {
        let vm = Vm::hold(host, &uuid)?;
        // A helper that had read the old XML may have made a new disc, and put it in.
        if State::of(host, &uuid)?.is_some() { vm.leave()? } else { vm.forget()? }
    }
    told.tell(if took_part { "no longer takes part" } else { "does not take part" });
    told.ended(DONE)
}

/// What the VM's opt-in holds besides the opt-in, if anything.
fn carried(request: &Request) -> Option<String> {
    let (facts, files) = (request.facts.len(), request.files.len());
    let counted = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    (facts + files > 0).then(|| format!("its own content ({}, {})", counted(facts, "fact"), counted(files, "file")))
}

/// Takes our disc out of the drives of the definition, and puts back what was in its drive before.
fn take_out(
    handle: &Handle,
    defined: &Domain,
    (host, config): (&Host, &Config),
    told: &mut Told<impl Write>,
) -> Result<()> {
    let request = defined.request().ok().flatten();
    let mut before = request.and_then(|request| request.target.as_deref().zip(request.replaced.as_deref()));
    for drive in unplug(handle, Scope::Config)? {
        told.log.info(format_args!("{}: disable: {drive} is gone from its next start on", told.name));
    }
    for drive in defined.drives_with_disc().filter(|drive| !drive.plugged) {
        let target = &drive.target;
        if drive.device == Device::Disk {
            let disk = with_medium(drive, None);
            handle.remove_device(&disk, Scope::Config).context("removing the disk's definition")?;
            continue;
        }
        // The VM's owner may have written any path there.
        let theirs = before
            .take_if(|(place, path)| place == target && medium::may_be_put_back(host, config, path))
            .map(|(_, path)| path);
        let disk = new_drive::given_back(defined, drive, theirs)?;
        let doing = || match theirs {
            Some(path) => format!("putting {} back into {target} in the definition", Medium::File(path)),
            None => format!("emptying the drive {target} in the definition"),
        };
        handle.update_device(&disk, Scope::Config, false).with_context(doing)?;
        match theirs {
            Some(path) => {
                told.tell(format_args!("{target} holds {} again from its next start on", Medium::File(path)));
            }
            None => told.log.info(format_args!("{}: disable: {target} is empty from its next start on", told.name)),
        }
    }
    let Some((target, path)) = before else { return Ok(()) };
    let why = match defined.drives_with_disc().any(|drive| drive.target == target) {
        true => "it is no image of a disc that can be read on this host, or it is a context disc",
        false => "the drive no longer has the context disc",
    };
    let was = Medium::File(path);
    told.tell(format_args!("{was} is not put back into {target}, where the context disc took its place: {why}"));
    Ok(())
}

/// Where it is told what was done: on stdout and in the log. What is begun is done, also if nobody reads on.
struct Told<'o, W> {
    out: &'o mut W,
    log: Log,
    name: &'o str,
    /// Whether stdout took all.
    read: io::Result<()>,
}

impl<W: Write> Told<'_, W> {
    fn tell(&mut self, line: impl Display) {
        self.log.info(format_args!("{}: disable: {line}", self.name));
        if self.read.is_ok() {
            self.read = writeln!(self.out, "{}", vm::on_one_line(&format!("{}: {line}", self.name)));
        }
    }

    fn ended(self, code: u8) -> Result<u8> {
        self.read?;
        Ok(code)
    }
}
