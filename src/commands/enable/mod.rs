//! `enable`: the VM's own XML says that it wants context, and where.

mod change;

use std::collections::BTreeSet;
use std::io::{self, Write};

use anyhow::{Context, Result};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use self::change::{Change, Found};
use super::each::Vms;
use super::exit::{DONE, WAITING};
use super::{refresh, vm};
use crate::context::disc::format::Format;
use crate::context::disc::marker::Reason;
use crate::context::domain::Domain;
use crate::context::domain::drive::Drive;
use crate::context::domain::request;
use crate::context::domain::select::Number;
use crate::context::iso9660::label::Label;
use crate::delivery::change::plug::LEAST;
use crate::doctor;
use crate::host::config::Config;
use crate::host::log::{Log, Subject};
use crate::host::medium;
use crate::host::off;
use crate::host::paths::Host;
use crate::host::select;
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
pub(super) fn formats() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::name)).try_map(|name| name.parse::<Format>())
}

pub(super) fn enable(host: &Host, options: &Enable, out: &mut impl Write) -> Result<u8> {
    let config = Config::load_exactly(host)?;
    let code = options.vms.each(host, &config, |vm| one(host, &config, vm, options, out))?;
    for lack in doctor::lacks(host, &config) {
        let _nobody_reads = writeln!(io::stderr(), "virt-recontext: {}", vm::on_one_line(&lack));
    }
    Ok(code)
}

/// Lets the VM take part. Everything is checked before the first change; running it again changes nothing.
fn one(host: &Host, config: &Config, vm: &str, options: &Enable, out: &mut impl Write) -> Result<u8> {
    let libvirt = vm::connect(host, config)?;
    let handle = libvirt.find(vm)?;
    let (persistent, can_plug) = (handle.is_persistent()?, libvirt.version()? >= LEAST);
    let live = vm::runs(&handle)?.then(|| vm::current_xml(&handle)).transpose()?;
    let definition =
        if persistent { handle.xml(Scope::Config)? } else { live.clone().context("the VM no longer exists")? };
    let (defined, live) = (Domain::read(&definition)?, live.as_deref().map(Domain::read).transpose()?);
    let found = Found { defined, live, persistent, can_plug };
    if let Some(number) = rule(config, &found, options)? {
        drop(handle);
        drop(libvirt);
        return by_rule(host, config, &found, number, options.dry_run, out);
    }
    let (name, uuid) = (&found.defined.name, &found.defined.uuid);
    let path = image::path(config, uuid);
    let path = path.to_str().context("image_dir is not UTF-8")?;

    let change = Change::plan(&found, options, path)?;
    if options.dry_run {
        let line = format!("{name}: would be done: {}", change.would_be_done(path));
        writeln!(out, "{}", vm::on_one_line(&line))?;
        return Ok(DONE);
    }
    if let Some(manager) = manager(&definition).filter(|_| persistent) {
        let _nobody_reads = writeln!(
            io::stderr(),
            "virt-recontext: {name}: {manager} writes this VM's definition, and may lose or refuse what is added there; a rule \
             of [[select]] in config.toml leaves it alone"
        );
    }
    change.write(&handle)?;
    select::put_back(host, uuid)?;

    let mut log = Log::of(host, Subject::vm(name, uuid));
    // What is begun is done, also if nobody reads on.
    let mut read = Ok(());
    let mut tell = |line: String| {
        log.info(format_args!("{name}: enable: {line}"));
        if read.is_ok() {
            read = writeln!(out, "{}", vm::on_one_line(&format!("{name}: {line}")));
        }
    };
    tell(change.outcome());
    for Drive { target: left, .. } in &change.left {
        tell(format!("the drive {left}, which had the disc, is empty from its next start on"));
    }
    let target = change.target();
    if let Some(theirs) = found.live.as_ref().and_then(|live| live.somebodys_medium(target, path)) {
        tell(format!("the running VM has {theirs} in the drive {target}, which is taken out now"));
    }
    let off = off::told(host);
    if let Some(off) = &off {
        tell(format!("{off}; no disc is made before that"));
    }
    for twin in twins(host, config, &found, &change) {
        log.warning(format_args!("{name}: enable: {twin}"));
        let _nobody_reads =
            writeln!(io::stderr(), "virt-recontext: {name}: {twin}; its guest may take one for the other");
    }
    if off.is_some() {
        return Ok(read.map(|()| WAITING)?);
    }
    let Some(live) = &found.live else { return Ok(read.map(|()| DONE)?) };
    // Where the drive is missing, that it could not be plugged in before is no reason not to try.
    let again = live.drive_called(target).is_none();
    let job = Job::new(uuid.clone(), name, live.machine.driver(), Reason::Refresh, again);
    drop(handle);
    drop(libvirt);
    refresh::deliver_and_watch(host, config, vec![job], refresh::Told { out, code: DONE })
}

/// The manager that writes the VM's XML, as far as that shows in its metadata.
fn manager(xml: &str) -> Option<&'static str> {
    let managers = [
        ("http://openstack.org/xmlns/libvirt/nova/", "Nova (OpenStack)"),
        ("http://opennebula.org/xmlns/libvirt/", "OpenNebula"),
        ("http://ovirt.org/vm/", "oVirt"),
    ];
    managers.into_iter().find(|(namespace, _)| xml.contains(namespace)).map(|(_, manager)| manager)
}

/// The rule by which the VM takes part, if nothing else is asked of it: then it needs no element in its definition, which its manager
/// might not get along with.
fn rule(config: &Config, found: &Found, options: &Enable) -> Result<Option<Number>> {
    let Enable { vms: _, target, replace, disk, format, label, dry_run: _ } = options;
    let asks_for_more = target.is_some() || *replace || *disk || format.is_some() || label.is_some();
    let has_element = found.persistent && found.defined.takes_part();
    let domain = found.live.as_ref().unwrap_or(&found.defined);
    let fits = select::fitting(config, domain)?.filter(|_| !asks_for_more && !has_element);
    Ok(fits.map(|selected| selected.number))
}

/// Lets a VM that the rule selects take part by it, also if `disable` had taken it out.
fn by_rule(
    host: &Host,
    config: &Config,
    found: &Found,
    number: Number,
    dry_run: bool,
    out: &mut impl Write,
) -> Result<u8> {
    let Domain { name, uuid, machine, .. } = &found.defined;
    let when =
        if found.live.is_some() { "" } else { "; it gets its disc when it starts, if it has room for the drive" };
    let line = format!("takes part, because {number} selects it; nothing is written into its definition{when}");
    if dry_run {
        writeln!(out, "{}", vm::on_one_line(&format!("{name}: would be done: {line}")))?;
        return Ok(DONE);
    }
    select::put_back(host, uuid)?;
    Log::of(host, Subject::vm(name, uuid)).info(format_args!("{name}: enable: {line}"));
    let read = writeln!(out, "{}", vm::on_one_line(&format!("{name}: {line}")));
    let off = off::told(host);
    if let Some(off) = off.filter(|_| found.live.is_none()) {
        writeln!(out, "{}", vm::on_one_line(&format!("{name}: {off}; no disc is made before that")))?;
        return Ok(WAITING);
    }
    if found.live.is_none() {
        return Ok(read.map(|()| DONE)?);
    }
    let job = Job::new(uuid.clone(), name, machine.driver(), Reason::Refresh, false);
    refresh::deliver_and_watch(host, config, vec![job], refresh::Told { out, code: DONE })
}

/// Other discs that the guest may take for ours.
fn twins(host: &Host, config: &Config, found: &Found, change: &Change) -> BTreeSet<String> {
    let label = change.request.label_on(config.format);
    let twins_in = |domain: &Domain| medium::twins(host, domain, change.target(), &label);
    [Some(&found.defined), found.live.as_ref()].into_iter().flatten().flat_map(twins_in).collect()
}
