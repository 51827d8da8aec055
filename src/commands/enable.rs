//! `enable`: the VM's own XML says that it wants context, and where.

use std::collections::BTreeSet;
use std::io::{self, Write};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::each::Vms;
use super::exit::{DONE, WAITING};
use super::{refresh, vm};
use crate::context::disc::format::Format;
use crate::context::disc::marker::Reason;
use crate::context::domain::Domain;
use crate::context::domain::drive::{Drive, Medium};
use crate::context::domain::driver::Device;
use crate::context::domain::new_drive::{self, Plan, Wanted};
use crate::context::domain::plug;
use crate::context::domain::request::{self, Request};
use crate::context::iso9660::label::Label;
use crate::delivery::change::plug::LEAST;
use crate::host::config::Config;
use crate::host::log::Log;
use crate::host::medium;
use crate::host::off;
use crate::host::paths::Host;
use crate::host::vm::image;
use crate::host::vm::job::Job;
use crate::libvirt::domain::Scope;

/// Let VMs take part: mark their XML, and find or add their drives.
#[derive(Debug, Args)]
pub(super) struct Enable {
    #[command(flatten)]
    pub vms: Vms,
    /// The drive for the disc, such as sda; else an empty one.
    #[arg(long, value_name = "DEV", value_parser = request::target)]
    pub target: Option<String>,
    /// Take out what somebody else has put into the drive.
    #[arg(long)]
    pub replace: bool,
    /// On a read-only disk, for a paravirtual guest of Xen.
    #[arg(long)]
    pub disk: bool,
    /// files, nocloud, configdrive or opennebula.
    #[arg(long, value_parser = formats(), hide_possible_values = true)]
    pub format: Option<Format>,
    /// The disc's volume label; else that of the format.
    #[arg(long)]
    pub label: Option<Label>,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// The formats by their names, which shells complete.
fn formats() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::name)).try_map(|name| name.parse::<Format>())
}

pub(super) fn enable(host: &Host, options: &Enable, out: &mut impl Write) -> Result<u8> {
    let config = Config::load_exactly(host)?;
    options.vms.each(host, &config, |vm| one(host, &config, vm, options, out))
}

/// Lets the VM take part. Everything is checked before the first change; running it again changes nothing.
fn one(host: &Host, config: &Config, vm: &str, options: &Enable, out: &mut impl Write) -> Result<u8> {
    let libvirt = vm::connect(host, config)?;
    let handle = libvirt.find(vm)?;
    let (persistent, running) = (handle.is_persistent()?, vm::runs(&handle)?);
    let live = running.then(|| vm::current_xml(&handle)).transpose()?;
    let definition =
        if persistent { handle.xml(Scope::Config)? } else { live.clone().context("the VM no longer exists")? };
    let defined = Domain::read(&definition)?;
    let (name, uuid) = (&defined.name, &defined.uuid);
    let path = image::path(config, uuid);
    let path = path.to_str().context("image_dir is not UTF-8")?;

    let request = defined.request()?.cloned().unwrap_or_default();
    if let Some(unknown) = request.unknown.told() {
        bail!(
            "{unknown}; enable would lose it. Use the version of virt-recontext that wrote it, or begin with disable, \
             which removes the whole element, its facts and files too"
        );
    }
    let device = if options.disk { Device::Disk } else { Device::Cdrom };
    // Whoever wants a disk from now on does not want the drive from before.
    let before = request.target.as_deref().filter(|_| !options.disk);
    let live = live.as_deref().map(Domain::read).transpose()?;
    let plug = libvirt.version()? >= LEAST;
    let wanted = Wanted { target: options.target.as_deref(), before, device, path, replace: options.replace, plug };
    let plan = new_drive::plan(&defined, live.as_ref(), &wanted)?;
    let target = plan.target();
    let is_new = matches!(plan, Plan::Add(..));
    if let (true, false, Some(live)) = (is_new, persistent, &live) {
        let can_be_plugged = || -> Result<()> {
            ensure!(plug, "this libvirt is too old");
            plug::plan(live, None, Some(target), path)?.check_room(live)
        };
        let no_drive = || format!("the VM {name} has no drive {target}, is not persistent, and none can be plugged in");
        can_be_plugged().with_context(no_drive)?;
    }
    let replaced = match defined.somebodys_medium(target, path) {
        Some(Medium::File(theirs)) if persistent => Some(theirs.to_owned()),
        _ => kept_for(&defined, &request, target)?,
    };
    let request = Request {
        target: Some(target.to_owned()),
        replaced,
        format: options.format.or(request.format),
        label: options.label.clone().or(request.label),
        ..request
    };
    if options.dry_run {
        let line = format!("{name}: would be done: {}", outcome(&plan, persistent, running, &request));
        writeln!(out, "{}", vm::on_one_line(&line))?;
        return Ok(DONE);
    }
    let scopes = [persistent.then_some(Scope::Config), running.then_some(Scope::Live)];
    let scopes: Vec<Scope> = scopes.into_iter().flatten().collect();
    if persistent {
        let doing = || format!("giving the definition of {name} the drive {target} with the disc");
        match &plan {
            Plan::Ready(_) => {}
            Plan::Change(_, disk) => handle.update_device(disk, Scope::Config, false).with_context(doing)?,
            Plan::Add(_, devices) => {
                devices.iter().try_for_each(|device| handle.add_device(device, Scope::Config)).with_context(doing)?
            }
        }
    }
    let left: Vec<&Drive> = defined.drives_with_disc().filter(|drive| persistent && drive.target != target).collect();
    for drive in left.iter().filter(|drive| drive.device == Device::Cdrom) {
        let doing = || format!("emptying the drive {} in the definition of {name}", drive.target);
        let disk = new_drive::given_back(&defined, drive, None)?;
        handle.update_device(&disk, Scope::Config, false).with_context(doing)?;
    }
    let was = request.replaced.as_deref().map(Medium::File);
    let doing = || match was {
        Some(was) => format!("writing the VM's metadata; before that, the drive {target} had {was}"),
        None => "writing the VM's metadata".to_owned(),
    };
    handle.set_request(Some(&request.to_xml()), &scopes).with_context(doing)?;

    let mut log = Log::open(host);
    // What is begun is done, also if nobody reads on.
    let mut read = Ok(());
    let mut tell = |line: String| {
        log.info(format_args!("{name}: enable: {line}"));
        if read.is_ok() {
            read = writeln!(out, "{}", vm::on_one_line(&format!("{name}: {line}")));
        }
    };
    tell(outcome(&plan, persistent, running, &request));
    for Drive { target: left, .. } in left.iter().filter(|drive| drive.device == Device::Cdrom) {
        tell(format!("the drive {left}, which had the disc, is empty from its next start on"));
    }
    if let Some(theirs) = live.as_ref().and_then(|live| live.somebodys_medium(target, path)) {
        tell(format!("the running VM has {theirs} in the drive {target}, which is taken out now"));
    }
    let off = off::told(host);
    if let Some(off) = &off {
        tell(format!("{off}; no disc is made before that"));
    }
    let label = request.label_on(config.format);
    let twins_in = |domain: &Domain| medium::twins(host, domain, target, &label);
    let twins: BTreeSet<String> = [Some(&defined), live.as_ref()].into_iter().flatten().flat_map(twins_in).collect();
    for twin in twins {
        log.warning(format_args!("{name}: enable: {twin}"));
        let _nobody_reads =
            writeln!(io::stderr(), "virt-recontext: {name}: {twin}; its guest may take one for the other");
    }
    if off.is_some() {
        return Ok(read.map(|()| WAITING)?);
    }
    let Some(live) = live else { return Ok(read.map(|()| DONE)?) };
    // Where the drive is missing, that it could not be plugged in before is no reason not to try.
    let again = live.drive_called(target).is_none();
    let job = Job::new(uuid.clone(), name, live.machine.driver(), Reason::Refresh, again);
    drop(handle);
    drop(libvirt);
    refresh::deliver_and_watch(host, config, vec![job], refresh::Told { out, code: DONE })
}

/// What has been done.
fn outcome(plan: &Plan, persistent: bool, running: bool, request: &Request) -> String {
    let target = plan.target();
    let how = match (plan, persistent) {
        (_, false) => format!(" with the drive {target} until it stops; it is not persistent"),
        // What becomes of it in the running VM is told next.
        (Plan::Add(..), true) if running => format!("; its definition has the new drive {target}"),
        (Plan::Ready(_), true) => format!(", with the drive {target}"),
        (Plan::Change(..), true) => format!("; the drive {target} holds the disc from its next start on"),
        (Plan::Add(..), true) => format!("; it has the new drive {target} with the disc from its next start on"),
    };
    let was = request.replaced.as_deref().map(Medium::File);
    let back = was.map(|was| format!(", in place of {was}, which disable puts back"));
    format!("takes part{how}{}", back.unwrap_or_default())
}

/// What `disable` is to put back into the drive `target`, from when the VM was enabled before.
///
/// # Errors
/// When that is to go back into another drive, in which the disc is still: there would be two to remember.
fn kept_for(defined: &Domain, request: &Request, target: &str) -> Result<Option<String>> {
    let Some((path, before)) = request.replaced.as_ref().zip(request.target.as_deref()) else { return Ok(None) };
    if before == target {
        return Ok(Some(path.clone()));
    }
    let (name, was) = (&defined.name, Medium::File(path));
    let is_there = defined.drives_with_disc().any(|drive| drive.target == before);
    ensure!(
        !is_there,
        "the drive {before} has the disc in place of {was}; put that back first, with: virt-recontext disable {name}"
    );
    Ok(None)
}
