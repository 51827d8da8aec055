//! `status`: what became of the discs.

use std::collections::HashMap;
use std::io::{self, Write};

use anyhow::{Result, bail, ensure};
use clap::Args;

use super::exit::{DONE, FAILED};
use super::standing::Standing;
use super::vm;
use crate::context::uuid::Uuid;
use crate::host::config::Config;
use crate::host::off;
use crate::host::paths::Host;
use crate::host::programs::printed_for_all;
use crate::host::results::Results;
use crate::host::select;
use crate::host::vm::job::Job;
use crate::host::vm::results;
use crate::host::vm::state::State;
use crate::libvirt::survey::{Survey, Vm};

/// Show what became of the discs of this host's VMs.
///
/// All VMs that take part, and those that did.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Status {
    /// One VM's name or UUID, instead of all.
    pub vm: Option<String>,
    /// Print a JSON array, one object per VM.
    #[arg(long)]
    pub json: bool,
}

const EXIT_CODES: &str = "Exit codes: 0 no disc has failed; 1 one has, or none can be delivered now.";

pub(super) fn status(host: &Host, options: &Status, out: &mut impl Write) -> Result<u8> {
    let mut code = DONE;
    let mut trouble = |line: String| {
        let _nobody_reads = writeln!(io::stderr(), "virt-recontext: {}", vm::on_one_line(&line));
        code = FAILED;
    };
    if let Err(error) = Config::load(host) {
        trouble(format!("{error:#}; no disc is made until that is fixed"));
    }
    if let Some(off) = off::told(host) {
        trouble(off);
    }
    let config = Config::assumed(host);
    vm::tell_unknown_keys(&config);
    let survey = Survey::take(config.uri_of(config.driver(host)));
    if let Err(error) = &survey {
        trouble(format!("{error:#}; what follows is only what was recorded"));
    }
    let mut standings = all(host, &config, survey.as_ref().ok())?;
    let host_wide = printed_for_all(host)?;
    if let Some(vm) = &options.vm {
        let uuid: Option<Uuid> = vm.parse().ok();
        // A UUID means the VM that has it, even if another is called so.
        let by_uuid = standings.iter().any(|standing| Some(&standing.uuid) == uuid.as_ref());
        standings.retain(|standing| if by_uuid { Some(&standing.uuid) == uuid.as_ref() } else { standing.name == *vm });
        if standings.is_empty() {
            return nothing_known(vm, uuid.as_ref(), survey.as_ref().ok());
        }
    }
    if standings.is_empty() && survey.is_ok() && !options.json {
        vm::tell_that_none_takes_part("no VM of this host");
    }
    if standings.iter().any(Standing::is_bad) {
        code = FAILED;
    }
    for program in failing(host, &host_wide, &standings)? {
        let _nobody_reads = writeln!(io::stderr(), "virt-recontext: {}", vm::on_one_line(&program));
    }
    if options.json {
        serde_json::to_writer_pretty(&mut *out, &standings)?;
        writeln!(out)?;
        return Ok(code);
    }
    for standing in &standings {
        write(standing, out)?;
    }
    let good = host_wide.known().filter(|program| options.vm.is_none() && host_wide.is_good(program));
    for program in good {
        writeln!(out, "{}", vm::on_one_line(&host_wide.line(program)))?;
    }
    Ok(code)
}

/// What there is to say of programs whose old facts are used.
fn failing(host: &Host, host_wide: &Results, standings: &[Standing]) -> Result<Vec<String>> {
    let bad = |results: &Results| -> Vec<String> {
        results.known().filter(|program| !results.is_good(program)).map(|program| results.line(program)).collect()
    };
    let mut lines = bad(host_wide);
    for Standing { uuid, name, .. } in standings {
        lines.extend(bad(&results::of(host, uuid)?).iter().map(|line| format!("{name}: {line}")));
    }
    Ok(lines)
}

/// How all VMs stand that take part or are recorded, by name. libvirt has told of those of this host's driver.
fn all(host: &Host, config: &Config, survey: Option<&Survey>) -> Result<Vec<Standing>> {
    let driver = config.driver(host);
    let states = State::all(host)?.into_iter().map(|state| (state.uuid.clone(), state));
    let mut states: HashMap<Uuid, State> = states.collect();
    let has_job = |uuid: &Uuid| Job::of(host, uuid).map(|job| job.is_some());
    let mut standings = Vec::new();
    for vm in survey.map(|survey| survey.vms.as_slice()).unwrap_or_default() {
        if let Some(error) = &vm.error {
            let line = format!("asking libvirt about {}: {error}", vm.name);
            let _nobody_reads = writeln!(io::stderr(), "virt-recontext: {}", vm::on_one_line(&line));
        }
        let rule = select::rule_of(host, config, vm.live.as_deref(), vm.definition.as_deref());
        standings.extend(Standing::of(vm, rule.map(|rule| rule.number), states.remove(&vm.uuid), has_job(&vm.uuid)?));
    }
    // The end of a VM that takes part in rules alone is told by nobody.
    let is_past = |state: &State| state.is_of_rules_alone() && survey.is_some() && state.driver == driver;
    for state in states.into_values().filter(|state| !is_past(state)) {
        let running = survey.filter(|_| state.driver == driver).map(|_| false);
        let job_waiting = has_job(&state.uuid)?;
        standings.push(Standing { running, ..Standing::recorded(state, job_waiting) });
    }
    standings.sort_by(|a, b| (&a.name, &a.uuid).cmp(&(&b.name, &b.uuid)));
    Ok(standings)
}

fn nothing_known(vm: &str, uuid: Option<&Uuid>, survey: Option<&Survey>) -> Result<u8> {
    let Some(survey) = survey else { bail!("no disc is recorded here for the VM {vm:?}") };
    let there = survey.vms.iter().find(|there| Some(&there.uuid) == uuid || there.name == vm);
    // Of one that is just arriving, or that libvirt failed to tell of, there is no XML.
    let is_told = |there: &Vm| there.live.is_some() || there.definition.is_some();
    ensure!(there.is_none_or(is_told), "libvirt does not tell now whether the VM {vm:?} takes part; try again");
    if let Some(there) = there {
        bail!("the VM {vm:?} does not take part; run: virt-recontext enable {}", there.word());
    }
    bail!("there is no VM {vm:?} here; \"virsh list --all\" shows all")
}

fn write(standing: &Standing, out: &mut impl Write) -> Result<()> {
    let Standing { name, state, message, .. } = standing;
    let occasion = standing.reason.zip(standing.since).map(|(reason, since)| {
        let generation = standing.generation.map_or("-".to_owned(), |generation| generation.to_string());
        format!(" ({reason}, disc {generation}, {since})")
    });
    let rules = standing.rules.as_ref().map(|rules| format!("; rules: {rules}")).unwrap_or_default();
    let line = format!("{name}: {}{}: {message}{rules}", state.text(), occasion.unwrap_or_default());
    Ok(writeln!(out, "{}", vm::on_one_line(&line))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::domain::Situation;

    #[test]
    fn of_a_vm_that_libvirt_does_not_tell_of_it_is_not_said_that_it_takes_no_part() {
        let uuid: Uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f".parse().unwrap();
        let said = |definition: Option<&str>| {
            let (name, situation, definition) = ("web".to_owned(), Situation::Arriving, definition.map(str::to_owned));
            let (error, live, run_from_snapshot) = (None, None, None);
            let vm = Vm { name, uuid: uuid.clone(), situation, run_from_snapshot, error, live, definition };
            let survey = Survey { version: (11, 0, 0), vms: vec![vm] };
            nothing_known("web", None, Some(&survey)).unwrap_err().to_string()
        };
        assert!(said(None).contains("does not tell now whether the VM \"web\" takes part"), "{}", said(None));
        assert!(said(Some("<domain/>")).contains("the VM \"web\" does not take part"));
    }
}
