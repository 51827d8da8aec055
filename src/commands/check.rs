//! `check`: is a directory of configuration fit for a host?

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::enable::formats;
use super::exit::{DONE, FAILED};
use crate::check::{Candidate, Programs, Question, Sample, With, judge, judge_with};
use crate::context::disc::facts::{self, Facts};
use crate::context::disc::format::Format;
use crate::context::uuid::Uuid;
use crate::host::file;
use crate::host::paths::Host;

/// Largest file of facts, in bytes.
const MAX_FACTS: u64 = 1 << 20;

/// Check a directory of configuration, on this host or in a checkout.
///
/// One line per finding, error or note. Anybody may do it; it needs no VM, and no libvirt. Nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Check {
    /// The directory; without it, the one of this host.
    pub dir: Option<PathBuf>,
    /// Judge it as if FILE were at PLACE in it.
    #[arg(long, value_name = "PLACE=FILE")]
    pub with: Vec<With>,
    /// Facts that stand for what programs print and VMs carry.
    #[arg(long, value_name = "FILE", conflicts_with = "run_programs")]
    pub facts: Option<PathBuf>,
    /// Run the programs in facts.d.
    #[arg(long)]
    pub run_programs: bool,
    /// Judge discs of this format, too.
    #[arg(long, value_parser = formats(), hide_possible_values = true)]
    pub format: Vec<Format>,
    /// The name of the VM for which a disc is thought of.
    #[arg(long, default_value = "sample")]
    pub name: String,
    /// Its UUID.
    #[arg(long, default_value = "00000000-0000-0000-0000-000000000000")]
    pub uuid: Uuid,
}

const EXIT_CODES: &str = "Exit codes: 0 there is no error, though there may be notes; 1 there is one.";

pub(super) fn check(host: &Host, options: &Check, out: &mut impl Write) -> Result<u8> {
    let programs = match &options.facts {
        Some(file) => Programs::Given(facts_in(file)?),
        None if options.run_programs => Programs::Run,
        None => Programs::NotRun,
    };
    let sample = Sample { name: options.name.clone(), uuid: options.uuid.clone(), place: None };
    let question = Question { sample, formats: options.format.clone(), programs };
    let dir = options.dir.clone().unwrap_or_else(|| host.config_dir());
    let candidate = Candidate::new(host, &dir)?;
    let findings = match options.with.as_slice() {
        [] => {
            ensure!(candidate.is_there(), "there is no directory {}", dir.display());
            judge(&candidate, &question)
        }
        with => judge_with(host, &candidate, with, &question)?,
    };
    findings.write(out)?;
    Ok(if findings.has_errors() { FAILED } else { DONE })
}

fn facts_in(path: &Path) -> Result<Facts> {
    let reading = || format!("reading {}", path.display());
    let text = String::from_utf8(file::read(path, MAX_FACTS)?).with_context(reading)?;
    let is_toml = path.extension().is_some_and(|extension| extension == "toml");
    if is_toml { facts::from_toml(&text) } else { facts::from_json(&text) }.with_context(reading)
}
