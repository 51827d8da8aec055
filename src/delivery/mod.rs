//! The helper: does the jobs in the spool, one process for the whole host, and ends when there is nothing left to do.
//! A job leaves the spool when it is done or its VM is gone, so that a helper that dies loses nothing.

pub mod arrived;
pub(crate) mod attempt;
pub(crate) mod change;
mod last_good;
mod ledger;
mod maker;
pub(crate) mod outcome;
mod phases;
mod schedule;
mod selected;
mod session;
mod workers;

use std::collections::HashSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use self::ledger::Ledger;
use self::session::Coordinator;
use crate::composer::Composers;
use crate::context::domain::driver::Driver;
use crate::host::config::Config;
use crate::host::log::{Event, Log};
use crate::host::metrics::export;
use crate::host::off;
use crate::host::paths::Host;
use crate::host::vm::job::Job;
use crate::host::vm::lock::HelperLock;
use crate::host::vm::sweep;
use crate::libvirt::connection::Libvirt;
use crate::libvirt::trouble::Trouble;

/// So long the helper tries to reach a daemon that is being restarted.
const RECONNECT: Duration = Duration::from_secs(120);

/// So long a configuration is taken for half written.
const HALF_WRITTEN: Duration = Duration::from_secs(10);

/// Between two tries to reach the daemon, or to read the configuration.
const PAUSE: Duration = Duration::from_millis(500);

/// Does all jobs, unless another helper is at it already.
///
/// # Errors
/// When the spool cannot be read or libvirt cannot be reached. The jobs stay.
pub(crate) fn deliver(host: &Host) -> Result<()> {
    let mut has_worked = false;
    let done = do_all(host, &mut has_worked);
    if has_worked {
        export(host);
    }
    done
}

/// The same; `has_worked` tells whether this was the helper.
fn do_all(host: &Host, has_worked: &mut bool) -> Result<()> {
    let mut ledger = Ledger { host, log: Log::open(host), given_up: HashSet::new(), told: Vec::new() };
    let composers = Arc::new(Composers::new());
    loop {
        if off::is_off(host) {
            return Ok(());
        }
        let Some(lock) = HelperLock::try_now(host)? else { return Ok(()) };
        *has_worked = true;
        // While it is linked, the daemon is called.
        if let Err(error) = composers.stand_by() {
            ledger.log.warning(format_args!("delivering: {error:#}"));
        }
        let done = drain_all(&mut ledger, &composers);
        drop(lock);
        if let Err(error) = done {
            let line = format_args!("delivering: {error:#}; the jobs are left for the next helper");
            ledger.log.event(Event::JobsLeft).error(line);
            return Err(error);
        }
        // A hook that noted a job while we held the lock has started no helper of its own.
        if Job::all(host)?.iter().all(|job| ledger.given_up.contains(job)) {
            return Ok(());
        }
    }
}

/// Does the jobs of one driver after the other's: few hosts have two, and there one may have to wait for the other.
fn drain_all(ledger: &mut Ledger, composers: &Arc<Composers>) -> Result<()> {
    let host = ledger.host;
    let config = load_configuration(host)?;
    let newer = Job::of_newer_version(host)
        .into_iter()
        .map(|file| format!("{} is the job of a newer version of virt-recontext, and left for that", file.display()));
    let unknown = config.unknown.iter().cloned();
    ledger.tell_once(unknown.chain(newer).collect());
    // Nothing that lies around keeps a VM from its disc.
    if let Err(error) = sweep::tidy(host, &config) {
        ledger.log.warning(format_args!("delivering: {error:#}"));
    }
    let jobs = Job::all(host)?;
    let waiting = |driver: &Driver| jobs.iter().any(|job| job.driver == *driver && !ledger.given_up.contains(job));
    let mut drivers: Vec<Driver> = Driver::ALL.into_iter().filter(waiting).collect();
    if drivers.is_empty() {
        // There may still be something to clear away.
        drivers.push(config.driver(host));
    }
    // One that cannot be reached keeps nobody else waiting.
    let failed = drivers.into_iter().filter_map(|driver| drain(ledger, composers, &config, driver).err());
    let failed: Vec<String> = failed.map(|error| format!("{error:#}")).collect();
    ensure!(failed.is_empty(), failed.join("; "));
    Ok(())
}

/// The host's configuration. One that is faulty may be half written, which is waited for where a VM has come or started: that
/// no other trigger sees to.
fn load_configuration(host: &Host) -> Result<Config> {
    let begin = Instant::now();
    loop {
        let config = Config::load(host);
        if config.is_ok() || begin.elapsed() >= HALF_WRITTEN || Job::all(host)?.iter().all(Job::goes_on) {
            return config;
        }
        thread::sleep(PAUSE);
    }
}

/// Does the jobs of one driver until none is left but those that were given up, through restarts of the daemon.
fn drain(ledger: &mut Ledger, composers: &Arc<Composers>, config: &Config, driver: Driver) -> Result<()> {
    let host = ledger.host;
    let mut coordinator = Coordinator::new(ledger, composers.clone(), config, driver);
    let mut lost: Option<Instant> = None;
    loop {
        let libvirt = match (connect(host, config.uri_of(driver)), lost) {
            (Ok(libvirt), _) => libvirt,
            (Err(_), Some(since)) if since.elapsed() < RECONNECT => {
                thread::sleep(PAUSE);
                continue;
            }
            (Err(error), _) => return Err(error),
        };
        match coordinator.session(&Arc::new(libvirt)) {
            Err(error) if matches!(error.downcast_ref(), Some(Trouble::Lost)) => {
                coordinator.ledger.log.warning("delivering: the connection to libvirt was lost; trying again");
                lost = Some(Instant::now());
            }
            ended => return ended,
        }
    }
}

fn connect(host: &Host, uri: &str) -> Result<Libvirt> {
    let (host, silent) = (host.clone(), uri.to_owned());
    Libvirt::connect(uri, move || {
        Log::open(&host)
            .event(Event::JobsLeft)
            .error(format_args!("delivering: {silent} does not answer; the jobs are left for the next helper"));
    })
}
