//! Facts from programs, all of those that are run for a VM: they take their time, so they are gathered before anything else is
//! read, and before anybody is kept waiting.

use anyhow::Result;

use super::layers;
use super::paths::Host;
use super::programs::run::Runner;
use super::programs::{ProgramFacts, Whose};
use crate::context::domain::Domain;

/// Lets `programs` run all that there are for the VM.
///
/// # Errors
/// When one fails and has no last good result. Those before it have run.
pub(crate) fn gather(host: &Host, domain: &Domain, programs: &mut Runner) -> Result<()> {
    layers::programs(host, &domain.name, &domain.uuid)?
        .iter()
        .try_for_each(|program| programs.facts_of(program, Whose::Vm).map(drop))
}
