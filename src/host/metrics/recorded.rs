//! What is recorded on this host of discs, jobs and programs, counted. libvirt is not asked, which may take its time while VMs
//! migrate: what it has written down tells which VMs run here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;

use crate::host::config::Config;
use crate::host::layers;
use crate::host::paths::Host;
use crate::host::programs::printed_for_all;
use crate::host::results::Results;
use crate::host::vm::job::Job;
use crate::host::vm::results;
use crate::host::vm::state::{Progress, RulesNote, State};

/// By what the programs are called together that are run for single VMs.
const DOMAINS: &str = "domains";

#[derive(Debug, Default)]
pub(super) struct Recorded {
    /// The discs of VMs that run here, as far as libvirt's files tell.
    pub delivered: u64,
    pub waiting: u64,
    pub until_next_start: u64,
    pub failed: u64,
    /// Since when the disc waits that has waited longest, in hundredths of a second since 1970.
    pub oldest_waiting: Option<u64>,
    /// The VMs that run here whose XML rules have changed, and those where they could not.
    pub rewritten: u64,
    pub not_rewritten: u64,
    pub programs: BTreeMap<String, Program>,
}

/// How a program for facts stands, or several together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Program {
    pub works: bool,
    /// When it last printed facts, in hundredths of a second since 1970; of several, the one for which that is longest ago.
    pub last: Option<u64>,
}

impl Recorded {
    pub(super) fn read(host: &Host) -> Result<Recorded> {
        let config = Config::assumed(host);
        let mut recorded = Recorded::default();
        let states = State::all(host)?;
        for state in states.iter().filter(|state| runs_here(host, &config, state)) {
            recorded.add_state(state);
            let there = layers::programs(host, &state.name, &state.uuid);
            recorded.add_programs(results::of(host, &state.uuid)?, there, |_| DOMAINS.to_owned());
        }
        let name = |program: &PathBuf| program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        recorded.add_programs(printed_for_all(host)?, layers::host_wide_programs(host), name);
        let has_failed =
            |job: &Job| states.iter().any(|state| state.uuid == job.uuid && state.progress == Progress::Failed);
        // One that is new may be of a VM that is still on its way, which can take long. The next refresh asks again for each
        // that is here.
        let waits = |job: &Job| !job.rules_alone && job.goes_on() && !has_failed(job);
        recorded.oldest_waiting = Job::all(host)?.iter().filter(|job| waits(job)).map(Job::waits_since).min();
        Ok(recorded)
    }

    fn add_state(&mut self, state: &State) {
        match state.rules.as_ref().map(RulesNote::has_fault) {
            Some(true) => self.not_rewritten += 1,
            Some(false) if state.rules.as_ref().is_some_and(|rules| !rules.changed.is_empty()) => self.rewritten += 1,
            _ => {}
        }
        if state.is_of_rules_alone() {
            return;
        }
        let of_its_kind = match state.progress {
            Progress::Delivered => &mut self.delivered,
            Progress::Waiting if state.until_next_start => &mut self.until_next_start,
            Progress::Waiting => &mut self.waiting,
            Progress::Failed => &mut self.failed,
        };
        *of_its_kind += 1;
    }

    /// Of those that are still there: what another one printed is kept for a while.
    fn add_programs(&mut self, mut results: Results, there: Result<Vec<PathBuf>>, name: impl Fn(&PathBuf) -> String) {
        if let Ok(there) = there {
            results.retain(&there);
        }
        for program in results.known() {
            let now = Program { works: results.failing(program).is_none(), last: results.printed_at(program) };
            let all = self.programs.entry(name(&program.to_owned())).or_insert(now);
            *all = Program { works: all.works && now.works, last: all.last.min(now.last) };
        }
    }
}

/// Whether the VM runs here. Where libvirt's own files do not tell, it does: its state goes with its end.
fn runs_here(host: &Host, config: &Config, state: &State) -> bool {
    let dir = host.running_vms_dir(state.driver);
    let is_told = config.uri_of(state.driver) == state.driver.default_uri() && dir.is_dir();
    !is_told || dir.join(format!("{}.xml", state.name)).exists()
}
