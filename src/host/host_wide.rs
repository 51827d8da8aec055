//! Programs in `facts.d/host`, whose facts are the same for all VMs: `refresh` runs them, once for the host, and what they print
//! is kept for whoever makes a disc, so that a VM that was never here before finds it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use crate::host::config::Config;
use crate::host::layers;
use crate::host::paths::Host;
use crate::host::programs::printed_for_all;
use crate::host::programs::run::{Runs, Said};
use crate::host::results::Results;
use crate::host::vm::{lock, record};

/// Between two tries of a program that has never printed any facts, in seconds, when a disc is wanted: each VM would wait for
/// it.
const AGAIN: u64 = 30;

/// Between two looks whether somebody else has run them.
const LOOK: Duration = Duration::from_millis(20);

/// How all came out.
#[derive(Default)]
pub(crate) struct Refreshed {
    /// What went wrong and was got over, and what has recovered.
    pub said: Vec<Said>,
    /// What went wrong with those that have no facts at all.
    pub failed: Vec<Said>,
}

/// The right to run them.
pub(crate) struct Turn(#[expect(dead_code, reason = "held, not used: dropping it gives the lock back")] File);

impl Turn {
    /// Waits until nobody else runs them.
    pub(crate) fn wait(host: &Host) -> Result<Turn> {
        lock::wait(host, &host.host_facts_lock_file()).map(Turn)
    }

    fn try_now(host: &Host) -> Result<Option<Turn>> {
        Ok(lock::try_now(host, &host.host_facts_lock_file())?.map(Turn))
    }
}

/// Runs all of them, and writes down what they print; whoever does the same meanwhile waits.
///
/// # Errors
/// When that cannot be written, or `facts.d` cannot be read.
pub(crate) fn refresh(host: &Host, config: &Config, accept_loss: bool, _turn: Turn) -> Result<Refreshed> {
    let mut refreshed = Refreshed::default();
    // Not before it is our turn: another may be there since, and is not to be forgotten.
    let programs = layers::host_wide_programs(host)?;
    let mut results = printed_for_all(host)?;
    if programs.is_empty() && results.is_empty() {
        return Ok(refreshed);
    }
    results.retain(&programs);
    let runs = Runs { accept_loss, ..Runs::of_host(config) };
    for program in &programs {
        match runs.noted(program, &mut results) {
            Ok(said) => refreshed.said.extend(said),
            Err(said) => refreshed.failed.push(said),
        }
    }
    record::write(&host.host_facts_file(), &results).map(|()| refreshed)
}

/// What they printed last. One that has not been run yet is run now, once for the host.
///
/// # Errors
/// As of [`refresh`].
pub(crate) fn make_sure(host: &Host, config: &Config) -> Result<Results> {
    let programs = layers::host_wide_programs(host)?;
    let known_now = || -> Result<Option<Results>> {
        let results = printed_for_all(host)?;
        Ok(programs.iter().all(|program| is_known(&results, program)).then_some(results))
    };
    // Not in the queue: many refreshes may stand there, of which the first finds out what is wanted.
    let _turn = loop {
        if let Some(results) = known_now()? {
            return Ok(results);
        }
        match Turn::try_now(host)? {
            Some(turn) => break turn,
            None => sleep(LOOK),
        }
    };
    let mut results = printed_for_all(host)?;
    run_unknown(config, &programs, &mut results);
    record::write(&host.host_facts_file(), &results).map(|()| results)
}

/// The same for somebody who only looks: nothing is written down.
///
/// # Errors
/// When `facts.d` cannot be read.
pub(crate) fn look(host: &Host, config: &Config) -> Result<Results> {
    let mut results = printed_for_all(host)?;
    run_unknown(config, &layers::host_wide_programs(host)?, &mut results);
    Ok(results)
}

/// Runs those of which nothing is known; how one fails is in `results`.
fn run_unknown(config: &Config, programs: &[PathBuf], results: &mut Results) {
    let runs = Runs::of_host(config);
    let unknown: Vec<_> = programs.iter().filter(|program| !is_known(results, program)).cloned().collect();
    for program in unknown {
        let _in_the_results = runs.noted(&program, results);
    }
}

fn is_known(results: &Results, program: &Path) -> bool {
    results.facts(program).is_some() || results.failing(program).is_some_and(|failing| failing.age() < AGAIN)
}
