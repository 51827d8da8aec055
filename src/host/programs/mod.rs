//! Facts from programs: executables in `facts.d` that print a JSON object. Only the helper and the command line run them;
//! the hook, for which libvirtd waits, takes what they printed last: for this VM, or for the host.

pub(crate) mod beginning;
pub(crate) mod run;

use std::fmt;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::context::disc::facts::Facts;
use crate::context::uuid::Uuid;
use crate::host::paths::Host;
use crate::host::results::Results;
use crate::host::vm::{record, results};

/// For whom a program's facts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// All VMs of the host: it lies in `facts.d/host`.
    Host,
    /// The VM that it was run for.
    Vm,
}

pub(crate) trait ProgramFacts {
    /// The facts that `program` gives for the VM that a disc is made for.
    ///
    /// # Errors
    /// When there are none, not even old ones.
    fn facts_of(&mut self, program: &Path, whose: Whose) -> Result<Facts>;
}

/// A program has printed nothing yet, for this VM or on this host; the helper will run it.
#[derive(Debug)]
pub(crate) struct NotRunYet(String);

impl NotRunYet {
    fn of(program: &Path, whose: Whose, results: &Results) -> NotRunYet {
        let shown = program.display();
        let place = match whose {
            Whose::Host => "on this host",
            Whose::Vm => "for this VM",
        };
        NotRunYet(match results.failing(program) {
            Some(failing) => format!("{shown} has given no facts {place} yet; it was run, and {}", failing.why),
            None => format!("{shown} has not been run {place} yet; the helper will run it"),
        })
    }
}

impl fmt::Display for NotRunYet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotRunYet {}

/// What host-wide programs printed last; nothing if they have not run since the host started, or if that is damaged.
pub(crate) fn printed_for_all(host: &Host) -> Result<Results> {
    Ok(record::read(&host.host_facts_file())?.and_then(Result::ok).unwrap_or_default())
}

/// What was printed last: all that the hook and a composer go by.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Printed {
    pub host: Results,
    pub vm: Results,
}

impl Printed {
    /// What is written down for the VM.
    pub(crate) fn known(host: &Host, uuid: &Uuid) -> Result<Printed> {
        Ok(Printed { host: printed_for_all(host)?, vm: results::of(host, uuid)? })
    }

    pub(crate) fn results(&self, whose: Whose) -> &Results {
        match whose {
            Whose::Host => &self.host,
            Whose::Vm => &self.vm,
        }
    }
}

impl ProgramFacts for Printed {
    fn facts_of(&mut self, program: &Path, whose: Whose) -> Result<Facts> {
        let results = self.results(whose);
        results.facts(program).cloned().ok_or_else(|| NotRunYet::of(program, whose, results).into())
    }
}
