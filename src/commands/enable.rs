//! `enable`: the VM's own XML says that it wants context, and where.

use std::io::Write;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::exit::DONE;
use super::{refresh, vm};
use crate::context::disc::format::Format;
use crate::context::disc::marker::Reason;
use crate::context::domain::Domain;
use crate::context::domain::driver::Device;
use crate::context::domain::new_drive::{self, Plan};
use crate::context::domain::request::{self, Request};
use crate::context::iso9660::label::Label;
use crate::host::config::Config;
use crate::host::paths::Host;
use crate::host::vm::image;
use crate::host::vm::job::Job;
use crate::libvirt::domain::Scope;

/// Let a VM take part: mark its XML, and find or add its CD-ROM drive.
#[derive(Debug, Args)]
pub(super) struct Enable {
    /// The VM's name or UUID.
    pub vm: String,
    /// The drive for the disc, such as sda; else an empty one.
    #[arg(long, value_name = "DEV", value_parser = request::target)]
    pub target: Option<String>,
    /// On a read-only disk, for a paravirtual guest of Xen.
    #[arg(long)]
    pub disk: bool,
    /// files, nocloud, configdrive or opennebula.
    #[arg(long, value_parser = formats(), hide_possible_values = true)]
    pub format: Option<Format>,
    /// The disc's volume label; else that of the format.
    #[arg(long)]
    pub label: Option<Label>,
}

/// The formats by their names, which shells complete.
fn formats() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::name)).try_map(|name| name.parse::<Format>())
}

/// Lets the VM take part. Everything is checked before the first change; running it again changes nothing.
pub(super) fn enable(host: &Host, options: &Enable, out: &mut impl Write) -> Result<u8> {
    let config = Config::load_exactly(host)?;
    let libvirt = vm::connect(host, &config)?;
    let handle = libvirt.find(&options.vm)?;
    let (persistent, running) = (handle.is_persistent()?, vm::runs(&handle)?);
    let live = running.then(|| vm::current_xml(&handle)).transpose()?;
    let definition =
        if persistent { handle.xml(Scope::Config)? } else { live.clone().context("the VM no longer exists")? };
    let defined = Domain::read(&definition)?;
    let (name, uuid) = (&defined.name, &defined.uuid);
    let path = image::path(&config, uuid);
    let path = path.to_str().context("image_dir is not UTF-8")?;

    let mut request = defined.request()?.cloned().unwrap_or_default();
    if let Some(unknown) = request.unknown.told() {
        bail!(
            "{unknown}; enable would lose it. Use the version of virt-recontext that wrote it, or begin with disable"
        );
    }
    let device = if options.disk { Device::Disk } else { Device::Cdrom };
    // Whoever wants a disk from now on does not want the drive from before.
    let before = request.target.take().filter(|_| !options.disk);
    let target = options.target.clone().or(before);
    let live = live.as_deref().map(Domain::read).transpose()?;
    let plan = new_drive::plan(&defined, live.as_ref(), target.as_deref(), device, path)?;
    let target = plan.target();
    let no_drive = !persistent && matches!(plan, Plan::Add(..));
    ensure!(!no_drive, "the VM {name} has no drive {target}, and none can be added to a VM that is not persistent");
    let request = Request {
        target: Some(target.to_owned()),
        format: options.format.or(request.format),
        label: options.label.clone().or(request.label),
        ..request
    };
    let scopes = [persistent.then_some(Scope::Config), running.then_some(Scope::Live)];
    let scopes: Vec<Scope> = scopes.into_iter().flatten().collect();
    if persistent {
        match &plan {
            Plan::Ready(_) => {}
            Plan::Change(_, disk) => handle.update_device(disk, Scope::Config, false)?,
            Plan::Add(_, disk) => handle.add_device(disk, Scope::Config)?,
        }
    }
    handle.set_request(Some(&request.to_xml()), &scopes).context("writing the VM's metadata")?;

    let how = match (&plan, persistent) {
        (_, false) => format!(" with the drive {target} until it stops; it is not persistent"),
        (Plan::Ready(_), true) => format!(", with the drive {target}"),
        (Plan::Change(..), true) => format!("; the drive {target} holds the disc from its next start on"),
        (Plan::Add(..), true) => format!("; it has the new drive {target} with the disc from its next start on"),
    };
    writeln!(out, "{name}: takes part{how}")?;
    let Some(live) = live else { return Ok(DONE) };
    match live.drives.iter().find(|drive| drive.target == target) {
        None => writeln!(
            out,
            "{name}: is running without that drive; it gets its disc when it is shut down and started again"
        )?,
        Some(drive) if drive.is_empty() || drive.image().is_some_and(|path| image::is_called_ours(path, uuid)) => {
            let job = Job::new(uuid.clone(), name, live.machine.driver(), Reason::Refresh, false);
            drop(handle);
            drop(libvirt);
            return refresh::deliver_and_watch(host, &config, vec![job], refresh::Told { out, code: DONE });
        }
        Some(_) => writeln!(
            out,
            "{name}: is running with another disc in {target}; it is changed when the VM migrates, or now with: virt-recontext refresh {name}"
        )?,
    }
    Ok(DONE)
}
