//! Runs the executables in `facts.d`: as a child with a clean environment and no terminal, for a limited time, with a
//! limited output. A program that fails keeps its last good result.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Error, Result, anyhow, bail, ensure};

use super::{ProgramFacts, beginning};
use crate::context::disc::facts::{self, Facts};
use crate::context::uuid::Uuid;
use crate::host::child::listen::Heard;
use crate::host::child::program;
use crate::host::config::Limits;
use crate::host::paths::Host;
use crate::host::vm::results::Results;

/// How much of a failing program's complaint is kept, in bytes.
const MAX_STDERR: usize = 500;

/// Runs programs for one VM, and remembers their results.
pub(crate) struct Runner<'a> {
    name: &'a str,
    uuid: &'a Uuid,
    limits: &'a Limits,
    /// The last good results.
    pub(crate) results: Results,
    /// What went wrong, and what is used instead.
    pub(crate) warnings: Vec<String>,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(host: &'a Host, name: &'a str, uuid: &'a Uuid, limits: &'a Limits) -> Result<Runner<'a>> {
        Ok(Runner { name, uuid, limits, results: Results::of(host, uuid)?, warnings: Vec::new() })
    }

    fn run(&self, program: &Path) -> Result<Facts> {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C");
        command.env("VIRT_RECONTEXT_DOMAIN_NAME", self.name).env("VIRT_RECONTEXT_DOMAIN_UUID", self.uuid.to_string());
        command.current_dir("/");
        let time = self.limits.program_time;
        let max = usize::try_from(self.limits.program_output).unwrap_or(usize::MAX);
        let ran = program::run(command, Instant::now() + time, max, MAX_STDERR).map_err(|error| {
            let why = error.downcast_ref().and_then(|error| beginning::why_not_started(program, error));
            why.map_or(error, Error::msg)
        })?;
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
        ensure!(ran.status.success(), "it failed ({}): {}", ran.status, as_line(&ran.stderr));
        facts::from_json(&String::from_utf8(ran.output).context("what it printed is not UTF-8")?)
    }
}

impl ProgramFacts for Runner<'_> {
    fn facts_of(&mut self, program: &Path) -> Result<Facts> {
        let shown = program.display();
        match self.run(program).with_context(|| format!("running {shown}")) {
            Ok(facts) => {
                self.results.note(program, facts.clone());
                Ok(facts)
            }
            Err(error) => {
                let (last, age) = self.results.last(program).ok_or_else(|| anyhow!("{error:#}"))?;
                self.warnings.push(format!("{error:#}; its facts from {age} s ago are used"));
                Ok(last.clone())
            }
        }
    }
}

/// What a program complains, as one line.
fn as_line(stderr: &[u8]) -> String {
    String::from_utf8_lossy(stderr).split_whitespace().collect::<Vec<_>>().join(" ")
}
