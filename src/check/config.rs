//! config.toml: every wrong value, every key that is not known, and rules that cannot be meant.

use anyhow::{Context, Error, Result};

use super::candidate::Candidate;
use super::findings::Findings;
use super::owners::Owners;
use crate::context::domain::driver::Driver;
use crate::host::config::{Config, ExposeHost};
use crate::host::judge::Judge;
use crate::host::{file, identity};

/// The configuration, without what is wrong in it.
pub(super) fn judge(candidate: &Candidate, findings: &mut Findings) -> Config {
    let mut owners = Owners::of(candidate);
    let mut config = read(candidate, &mut owners, findings).unwrap_or_else(|error| {
        findings.error(format_args!("{error:#}"));
        Config::default()
    });
    owners.faults.found.into_iter().for_each(|finding| findings.push(finding));
    let path = candidate.host.config_file();
    for key in &config.unknown {
        findings.error(format_args!("reading {}: {key}", path.display()));
    }
    if config.uri.as_deref().is_some_and(|uri| Driver::of_uri(uri) == Driver::Xen) && !config.select.is_empty() {
        findings.note(format_args!("{}: [[select]] selects no VM of Xen", path.display()));
    }
    for (rule, above) in config.select.hidden() {
        let path = path.display();
        findings
            .note(format_args!("{path}: {rule} selects no VM: {above} fits all that it fits, and the first one wins"));
    }
    // The machine that judges need not be a host of VMs, nor have what a host has.
    if !candidate.is_in_use && identity::shown(&candidate.host, &config).is_err() {
        config.expose_host = ExposeHost::Name;
    }
    config
}

fn read(candidate: &Candidate, owners: &mut Owners, findings: &mut Findings) -> Result<Config> {
    let path = candidate.host.config_file();
    let text = file::read_checked_text(&path, |metadata| owners.check(&path, metadata));
    let Some(text) = file::if_there(text)? else { return Ok(Config::default()) };
    let reading = || format!("reading {}", path.display());
    let mut fault = |fault: Error| {
        findings.error(format_args!("{}: {fault:#}", reading()));
        Ok(())
    };
    Config::parse_judged(&text, &mut fault).with_context(reading)
}
