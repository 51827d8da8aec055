//! `status`: what became of the discs.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use super::exit::DONE;
use crate::context::disc::marker::Reason;
use crate::context::moment::Moment;
use crate::context::uuid::Uuid;
use crate::host::paths::Host;
use crate::host::vm::job::Job;
use crate::host::vm::state::{Progress, State};

/// Show what became of the discs of this host's VMs.
#[derive(Debug, Args)]
pub(super) struct Status {
    /// One VM's name or UUID, instead of all.
    pub vm: Option<String>,
    /// Print a JSON array, one object per VM.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Serialize)]
struct Line {
    name: String,
    uuid: Uuid,
    state: Progress,
    reason: Reason,
    generation: Option<u64>,
    since: Moment,
    message: String,
    image: Option<PathBuf>,
    job_waiting: bool,
}

pub(super) fn status(host: &Host, options: &Status, out: &mut impl Write) -> Result<u8> {
    let mut states = State::all(host)?;
    if let Some(vm) = &options.vm {
        states.retain(|state| state.name == *vm || state.uuid.to_string() == vm.to_lowercase());
        let none =
            || format!("no disc is known here for the VM {vm:?}; see whether it takes part: virt-recontext doctor");
        states.first().with_context(none)?;
    }
    let lines = states.into_iter().map(|state| line(host, state)).collect::<Result<Vec<_>>>()?;
    if options.json {
        serde_json::to_writer_pretty(&mut *out, &lines)?;
        writeln!(out)?;
        return Ok(DONE);
    }
    for line in lines {
        let generation = line.generation.map_or("-".to_owned(), |generation| generation.to_string());
        let Line { name, state, reason, since, message, .. } = line;
        let state = word(state);
        writeln!(out, "{name}: {state} ({reason}, disc {generation}, {since}): {message}")?;
    }
    Ok(DONE)
}

fn line(host: &Host, state: State) -> Result<Line> {
    Ok(Line {
        job_waiting: Job::of(host, &state.uuid)?.is_some(),
        name: state.name,
        uuid: state.uuid,
        state: state.progress,
        reason: state.reason,
        generation: state.edition.map(|edition| edition.generation.0),
        since: Moment(state.since),
        message: state.message,
        image: state.image,
    })
}

fn word(progress: Progress) -> &'static str {
    match progress {
        Progress::Delivered => "delivered",
        Progress::Waiting => "waiting",
        Progress::Failed => "failed",
    }
}
