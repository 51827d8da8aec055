//! Facts of programs: they are run if that is wanted, those for the whole host once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::unistd::geteuid;

use super::Question;
use super::candidate::Candidate;
use super::owners::Owners;
use super::sample::Sample;
use crate::composer::Confined;
use crate::context::disc::facts::Facts;
use crate::host::config::Config;
use crate::host::programs::run::Runs;
use crate::host::programs::{Printed, ProgramFacts, Whose};
use crate::host::{file, layers};

/// Where the facts of programs come from.
pub(crate) enum Programs {
    /// From what they printed last, on the host that the directory is in use on; or else what needs them is not judged.
    NotRun,
    /// These stand for them, and for what VMs carry. What lies in the directory wins.
    Given(Facts),
    /// They are run.
    Run,
}

/// What the programs for the whole host have given, or why they have not.
#[derive(Default)]
pub(super) struct HostWide(BTreeMap<PathBuf, Result<Facts, String>>);

impl HostWide {
    /// Runs them, if they are to be run. What is no program there is told by whoever reads the directory.
    pub(super) fn of(candidate: &Candidate, config: &Config, programs: &Programs) -> HostWide {
        if !matches!(programs, Programs::Run) {
            return HostWide::default();
        }
        let programs = layers::host_wide(&candidate.host, &mut Owners::of(candidate)).unwrap_or_default();
        let runs = Runs::of_host(config);
        let ran = |program: PathBuf| {
            let facts = run(runs, &program).map_err(|error| format!("{error:#}"));
            (program, facts)
        };
        HostWide(programs.into_iter().map(ran).collect())
    }
}

/// What all discs are judged by.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub candidate: &'a Candidate,
    pub config: &'a Config,
    pub question: &'a Question,
    pub host_wide: &'a HostWide,
}

/// What programs give for one VM.
pub(super) struct ForVm<'a> {
    how: &'a Programs,
    host_wide: &'a HostWide,
    config: &'a Config,
    sample: &'a Sample,
    confined: Confined<'a>,
    candidate: &'a Candidate,
    /// What they printed last.
    known: Printed,
    /// Whether there is one.
    pub(super) seen: bool,
    /// Whether there is one of which nothing is known.
    pub(super) is_open: bool,
}

impl<'a> ForVm<'a> {
    pub(super) fn new(about: About<'a>, sample: &'a Sample, confined: Confined<'a>) -> ForVm<'a> {
        let About { candidate, config, question, host_wide } = about;
        // Whoever may not look there knows nothing.
        let known = candidate.is_in_use.then(|| Printed::known(&candidate.host, &sample.uuid).unwrap_or_default());
        let (how, known) = (&question.programs, known.unwrap_or_default());
        ForVm { how, host_wide, config, sample, confined, candidate, known, seen: false, is_open: false }
    }

    /// What is known of one that is not run.
    fn known(&mut self, program: &Path, whose: Whose) -> Facts {
        let new = self.candidate.is_laid_over(program);
        let known = self.known.results(whose).facts(&self.candidate.original(program)).filter(|_| !new);
        self.is_open |= known.is_none();
        known.cloned().unwrap_or_default()
    }
}

impl ProgramFacts for ForVm<'_> {
    fn facts_of(&mut self, program: &Path, whose: Whose) -> Result<Facts> {
        self.seen = true;
        match (self.how, self.host_wide.0.get(program), whose) {
            (Programs::NotRun, ..) => Ok(self.known(program, whose)),
            (Programs::Given(_), ..) => Ok(Facts::default()),
            (Programs::Run, Some(facts), _) => facts.clone().map_err(|why| anyhow!(why)),
            (Programs::Run, None, Whose::Host) => Ok(Facts::default()),
            (Programs::Run, None, Whose::Vm) => {
                let runs = Runs::of_vm(self.config, &self.sample.name, &self.sample.uuid);
                self.confined.outside(|| run(runs, program))?
            }
        }
    }
}

/// For so long the programs of a VM may run, as many as there may be.
pub(super) fn time(candidate: &Candidate, config: &Config, sample: &Sample) -> Duration {
    let dir = candidate.host.config_dir();
    let domains = dir.join("domains");
    let dirs = [dir, domains.join(&sample.name), domains.join(sample.uuid.to_string())];
    let count = dirs.iter().filter_map(|dir| fs::read_dir(dir.join("facts.d")).ok()).flatten().count();
    config.limits.program_time.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
}

fn run(runs: Runs, program: &Path) -> Result<Facts> {
    // In a checkout they may be anybody's.
    if geteuid().is_root() {
        let metadata = fs::metadata(program).with_context(|| format!("looking at {}", program.display()))?;
        file::check_trusted(program, &metadata).context("root does not run it")?;
    }
    runs.run(program).with_context(|| format!("running {}", program.display()))
}
