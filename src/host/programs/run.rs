//! Runs the executables in `facts.d`: as a child with a clean environment and no terminal, for a limited time, with a
//! limited output. A program that fails keeps its last good result, and one that loses facts keeps those for a while.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};

use super::{Printed, ProgramFacts, Whose, beginning};
use crate::context::disc::facts::{self, Facts};
use crate::context::uuid::Uuid;
use crate::host::child::listen::Heard;
use crate::host::child::program;
use crate::host::config::{Config, Limits};
use crate::host::log::Event;
use crate::host::results::{News, Results, some};

/// How much of a failing program's complaint is kept, in bytes.
const MAX_STDERR: usize = 500;

/// How programs are run, and for whom.
#[derive(Clone, Copy)]
pub(crate) struct Runs<'a> {
    pub limits: &'a Limits,
    /// For how long is kept what is lost.
    pub grace: Duration,
    /// Whether a smaller result is taken as it is.
    pub accept_loss: bool,
    /// The VM's name and UUID; `None` for all VMs.
    pub vm: Option<(&'a str, &'a Uuid)>,
}

/// What there is to say of a program that was run.
pub(crate) struct Said {
    pub event: Event,
    pub line: String,
    /// Whether it was so already the last time.
    pub again: bool,
}

impl<'a> Runs<'a> {
    pub(crate) fn of_host(config: &'a Config) -> Runs<'a> {
        Runs { limits: &config.limits, grace: config.facts_grace, accept_loss: false, vm: None }
    }

    pub(crate) fn of_vm(config: &'a Config, name: &'a str, uuid: &'a Uuid) -> Runs<'a> {
        Runs { vm: Some((name, uuid)), ..Runs::of_host(config) }
    }

    /// Runs a program, and notes what comes of it. Gives what there is to say of it where something goes wrong and is got over,
    /// or works again.
    ///
    /// # Errors
    /// When it fails, and there are no facts of it, not even old ones.
    pub(crate) fn noted(&self, program: &Path, results: &mut Results) -> Result<Option<Said>, Said> {
        let shown = program.display();
        match self.run(program) {
            Ok(facts) => Ok(self.tell(program, results.works(program, facts, self.grace(), self.most()))),
            Err(error) => {
                let why = format!("{error:#}");
                let line = format!("running {shown}: {why}");
                let (event, again) = (Event::FactsFail, !results.fails(program, why));
                match results.age(program) {
                    Some(age) => {
                        Ok(Some(Said { event, line: format!("{line}; its facts from {age} s ago are used"), again }))
                    }
                    None => Err(Said { event, line, again }),
                }
            }
        }
    }

    fn grace(&self) -> Duration {
        if self.accept_loss { Duration::ZERO } else { self.grace }
    }

    /// The bytes that it may print.
    fn most(&self) -> usize {
        usize::try_from(self.limits.program_output).unwrap_or(usize::MAX)
    }

    /// What there is to say of one that works.
    fn tell(&self, program: &Path, news: News) -> Option<Said> {
        let News { kept, again, let_go, back, failed } = news;
        let grace = self.grace.as_secs();
        let mut said = Vec::new();
        said.extend(failed.map(|time| format!("it works again, after {time} s")));
        if !kept.is_empty() {
            let kept = some(&kept);
            said.push(format!(
                "it did not print what it printed before: {kept}; that is kept for facts_grace = {grace} s"
            ));
        }
        if !let_go.is_empty() {
            let why = if self.accept_loss { ", as --accept-loss asks" } else { "" };
            said.push(format!("what it does not print any more is let go{why}: {}", some(&let_go)));
        }
        if back {
            said.push("it prints again what it had not printed for a while".to_owned());
        }
        let event = if kept.is_empty() && let_go.is_empty() { Event::FactsBack } else { Event::FactsLost };
        let line = format!("running {}: {}", program.display(), said.join("; "));
        (!said.is_empty()).then_some(Said { event, line, again: again && failed.is_none() })
    }

    /// What the program gives, whatever it gave before.
    pub(crate) fn run(&self, program: &Path) -> Result<Facts> {
        let mut command = clean(program);
        if let Some((name, uuid)) = self.vm {
            command.env("VIRT_RECONTEXT_DOMAIN_NAME", name).env("VIRT_RECONTEXT_DOMAIN_UUID", uuid.to_string());
        }
        let printed = printed_by(command, Stdio::null(), self.limits).map_err(|error| {
            let why = error.downcast_ref().and_then(|error| beginning::why_not_started(program, error));
            why.map_or(error, Error::msg)
        })?;
        ensure!(!printed.trim().is_empty(), "it printed nothing; with no facts, it prints {{}}");
        facts::from_json(&printed).context("what it printed gives no facts")
    }
}

/// A program, to be run with a clean environment.
pub(crate) fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    command.current_dir("/");
    command
}

/// What a program prints that is given `stdin`.
///
/// # Errors
/// When it fails, or goes beyond the limits of programs.
pub(crate) fn printed_by(command: Command, stdin: Stdio, limits: &Limits) -> Result<String> {
    let (time, max) = (limits.program_time, usize::try_from(limits.program_output).unwrap_or(usize::MAX));
    let ran = program::run(command, stdin, Instant::now() + time, max, MAX_STDERR)?;
    match (ran.outcome.heard, ran.outcome.ended) {
        (Heard::TooMuch, _) => bail!("it printed more than limits.program_output = {max} bytes"),
        (Heard::Part, true) => bail!(
            "it ended, and what it has left running still holds its output after limits.program_time = {} s; start that \
                 with >/dev/null 2>&1",
            time.as_secs()
        ),
        (Heard::Part, false) => bail!("it took longer than limits.program_time = {} s", time.as_secs()),
        (Heard::All | Heard::Whole, ended) => ensure!(ended, "it closed its output and did not end"),
    }
    let complaint = as_line(&ran.stderr);
    let complaint = if complaint.is_empty() { "it said nothing on stderr" } else { &complaint };
    ensure!(ran.status.success(), "it failed ({}): {complaint}", ran.status);
    String::from_utf8(ran.output).context("what it printed is not UTF-8")
}

/// Runs programs for one VM, and remembers their results.
pub(crate) struct Runner<'a> {
    runs: Runs<'a>,
    /// The last good results.
    pub(crate) printed: Printed,
    /// What went wrong with the VM's own and is got over, or works again.
    pub(crate) warnings: Vec<String>,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(runs: Runs<'a>, printed: Printed) -> Runner<'a> {
        Runner { runs, printed, warnings: Vec::new() }
    }
}

impl ProgramFacts for Runner<'_> {
    fn facts_of(&mut self, program: &Path, whose: Whose) -> Result<Facts> {
        if whose == Whose::Vm {
            let said = self.runs.noted(program, &mut self.printed.vm).map_err(|said| anyhow!(said.line))?;
            self.warnings.extend(said.map(|said| said.line));
        }
        self.printed.facts_of(program, whose)
    }
}

/// What a program complains, as one line.
fn as_line(stderr: &[u8]) -> String {
    String::from_utf8_lossy(stderr).split_whitespace().collect::<Vec<_>>().join(" ")
}
