//! How all VMs stand that take part or are recorded.

use std::collections::HashMap;
use std::io::{self, Write};

use anyhow::Result;

use super::standing::{Standing, Word};
use crate::commands::vm;
use crate::context::uuid::Uuid;
use crate::host::config::Config;
use crate::host::paths::Host;
use crate::host::select;
use crate::host::vm::job::Job;
use crate::host::vm::state::State;
use crate::libvirt::survey::Survey;

/// By name. libvirt has told of those of this host's driver, if it has.
pub(super) fn all(host: &Host, config: &Config, survey: Option<&Survey>) -> Result<Vec<Standing>> {
    let driver = config.driver(host);
    // Before the states: the helper writes a state first, and then takes the job away.
    let jobs: HashMap<Uuid, Job> = Job::all(host)?.into_iter().map(|job| (job.uuid.clone(), job)).collect();
    let states = State::all(host)?.into_iter().map(|state| (state.uuid.clone(), state));
    let mut states: HashMap<Uuid, State> = states.collect();
    let mut standings = Vec::new();
    for vm in survey.map(|survey| survey.vms.as_slice()).unwrap_or_default() {
        if let Some(error) = &vm.error {
            let line = format!("asking libvirt about {}: {error}", vm.name);
            let _nobody_reads = writeln!(io::stderr(), "virt-recontext: {}", vm::on_one_line(&line));
        }
        let rule = select::rule_of(host, config, vm.live.as_deref(), vm.definition.as_deref());
        standings.extend(Standing::of(vm, rule.map(|rule| rule.number), states.remove(&vm.uuid), jobs.get(&vm.uuid)));
    }
    // The end of a VM that takes part in rules alone is told by nobody.
    let is_past = |state: &State| state.is_of_rules_alone() && survey.is_some() && state.driver == driver;
    for state in states.into_values().filter(|state| !is_past(state)) {
        let running = survey.filter(|_| state.driver == driver).map(|_| false);
        let job = jobs.get(&state.uuid);
        standings.push(Standing::without_libvirt(state, job, running));
    }
    standings.sort_by(|a, b| (&a.name, &a.uuid).cmp(&(&b.name, &b.uuid)));
    Ok(standings)
}

/// As a person reads them. Those that are alike stay in their order.
pub(super) fn what_is_wrong_first(standings: &mut [Standing]) {
    standings.sort_by_key(|standing| match standing.state {
        _ if standing.is_bad() => 0,
        Word::Failed => 0,
        Word::Waiting => 1,
        Word::None | Word::NextStart => 2,
        // A guest that goes on with what was in a snapshot.
        _ if standing.is_stale() => 2,
        _ if standing.is_unread() => 3,
        Word::Delivered => 4,
        Word::Rules => 5,
    });
}
