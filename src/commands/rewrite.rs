//! `rewrite`: VMs' persistent definitions, changed by this host's rules as their XML is when they come.

use std::io::{self, Write};

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::exit::{DONE, FAILED, WAITING, worse};
use super::{rewritten, vm};
use crate::context::domain::driver::Driver;
use crate::context::domain::rules::Cause;
use crate::delivery::arrived::{Definition, Planned};
use crate::host::config::Config;
use crate::host::log::{Log, Subject};
use crate::host::off;
use crate::host::paths::Host;
use crate::host::vm::Vm;
use crate::host::vm::state::RulesNote;
use crate::libvirt::domain::Handle;
use crate::libvirt::trouble::Trouble;

/// Change VMs' definitions by this host's rules, as when they come.
#[derive(Debug, Args)]
pub(super) struct Rewrite {
    /// Names or UUIDs.
    #[arg(value_name = "VM", required_unless_present = "all")]
    pub vms: Vec<String>,
    /// All VMs that are defined here, running or not.
    #[arg(long, conflicts_with = "vms")]
    pub all: bool,
    /// Show what would be changed, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

pub(super) fn rewrite(host: &Host, options: &Rewrite, out: &mut impl Write) -> Result<u8> {
    let config = Config::load_exactly(host)?;
    if let Some(off) = off::told(host).filter(|_| !options.dry_run) {
        writeln!(out, "virt-recontext: {off}; no rule counts before that")?;
        return Ok(WAITING);
    }
    let xen = config.driver(host) == Driver::Xen;
    ensure!(!xen, "Xen's driver gives no XML of a VM that comes, so no rule counts here");
    let libvirt = vm::connect(host, &config)?;
    let act = |handle: &Handle, out: &mut _| one(host, &config, handle, options, out);
    if let [only] = options.vms.as_slice() {
        return act(&libvirt.find(only)?, out).map(|()| DONE);
    }
    let mut code = DONE;
    let mut tell = |name: &str, done: Result<()>| {
        if let Err(error) = done {
            let line = vm::on_one_line(&format!("{error:#}"));
            let line = if line.contains(name) { line } else { format!("{name}: {line}") };
            let _nobody_reads = writeln!(io::stderr(), "virt-recontext: {line}");
            code = worse(code, FAILED);
        }
    };
    for name in &options.vms {
        tell(name, libvirt.find(name).and_then(|handle| act(&handle, out)));
    }
    let all = if options.all { libvirt.all()? } else { Vec::new() };
    for handle in all {
        let name = handle.name().unwrap_or_default();
        match handle.is_persistent() {
            Ok(true) => tell(&name, act(&handle, out)),
            // One that has no definition, or has none any more, is no fault.
            Ok(false) | Err(Trouble::Gone) => {}
            Err(trouble) => tell(&name, Err(trouble.into())),
        }
    }
    Ok(code)
}

fn one(host: &Host, config: &Config, handle: &Handle, options: &Rewrite, out: &mut impl Write) -> Result<()> {
    let name = vm::on_one_line(&handle.name()?);
    ensure!(
        handle.is_persistent()?,
        "{name} has no definition that outlives it; what runs has been changed when it came"
    );
    let live = vm::runs(handle)?.then(|| vm::current_xml(handle)).transpose()?;
    let definition = Definition { host, config, handle, live: live.as_deref(), cause: Cause::ByHand };
    if options.dry_run {
        return match definition.plan()? {
            None => nothing(&name),
            Some(Planned { before, rewritten }) => {
                writeln!(out, "# {name}: its definition would be changed")?;
                rewritten::diff(&before, &rewritten.changes, out)
            }
        };
    }
    let rewritten = definition.rewrite().with_context(|| name.clone())?;
    let vm = Vm::hold(host, &handle.uuid()?)?;
    match vm.rules()? {
        Some(rules) if !rules.definition_trouble.is_empty() => {
            vm.rules_are(&RulesNote { definition_trouble: String::new(), ..rules })?;
        }
        Some(_) => {}
        None => vm.give_back()?,
    }
    match rewritten {
        None => nothing(&name),
        Some(told) => {
            let line = format_args!("{name}: rewrite: its definition: {told}");
            Log::of(host, Subject::called(&name)).info(line);
            Ok(writeln!(out, "{}", vm::on_one_line(&format!("{name}: {told}")))?)
        }
    }
}

fn nothing(name: &str) -> Result<()> {
    Ok(writeln!(io::stderr(), "virt-recontext: {name}: no rule would change its definition")?)
}
