//! A process that stands by while a VM's link is down: should the helper be killed, it takes its place, and puts the link up.

use std::io::{Read, Write, stdin};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::links;
use crate::context::uuid::Uuid;
use crate::delivery;
use crate::host::config::Config;
use crate::host::log::{Event, Log, Subject};
use crate::host::paths::Host;
use crate::host::vm::Vm;
use crate::host::vm::lock::HelperLock;
use crate::host::vm::state::{RulesNote, State};
use crate::libvirt::connection::Libvirt;

/// The verb by which the program is started as one.
pub const VERB: &str = "guard";

/// What tells it that it is not needed.
const NOT_NEEDED: &[u8] = b".";

/// So long the lock of a helper that was killed is waited for.
const GIVEN_BACK: Duration = Duration::from_secs(2);

/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(5);

/// So long a daemon is tried to be reached that was killed as well, and is started anew; and how often.
const RESTART: Duration = Duration::from_secs(120);
const RESTARTED: Duration = Duration::from_millis(200);

pub(super) struct Guard(Child);

impl Guard {
    pub(super) fn begin() -> Result<Guard> {
        // Under this name the program is found even if it has been replaced by a newer one.
        let mut command = Command::new("/proc/self/exe");
        command.arg(VERB).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let guard = command.process_group(0).spawn().context("starting a process that puts the VM's link up")?;
        Ok(Guard(guard))
    }

    /// The link is up, or whoever has begun this sees to it.
    pub(super) fn end(mut self) {
        let told = self.0.stdin.take().is_some_and(|mut pipe| pipe.write_all(NOT_NEEDED).is_ok());
        if !told {
            let _ended_already = self.0.kill();
        }
        let _its_own_affair = self.0.wait();
    }
}

/// Puts up all links of VMs here that helpers have taken down, first of all and without a look at the configuration, which may be
/// broken. What is left to do besides, the helper does that this process becomes then.
fn put_up(host: &Host) -> Result<()> {
    let down = |state: State| {
        let subject = Subject::vm(&state.name, &state.uuid);
        Some((state.uuid, subject, state.rules.filter(|rules| !rules.links_down.is_empty())?))
    };
    let down: Vec<(Uuid, Subject, RulesNote)> = State::all_known(host)?.into_iter().filter_map(down).collect();
    let config = Config::assumed(host);
    let uri = config.uri_of(config.driver(host));
    let begin = Instant::now();
    let libvirt = loop {
        match Libvirt::connect(uri, || ()) {
            Err(_) if begin.elapsed() < RESTART => sleep(RESTARTED),
            connected => break connected?,
        }
    };
    for (uuid, subject, rules) in down {
        let Ok(handle) = libvirt.domain(&uuid) else { continue };
        let mut log = Log::of(host, subject);
        match links::put_up(&handle, &rules.links_down) {
            Ok(were_down) => {
                log.info(format_args!("{uuid}: the link of {} is up again", were_down.join(", ")));
                let vm = Vm::hold(host, &uuid)?;
                if vm.rules()?.as_ref() == Some(&rules) {
                    vm.rules_are(&rules.with_links_up(&were_down))?;
                }
            }
            Err(outcome) => log.event(Event::RulesUnfinished).error(format_args!("{uuid}: {outcome:?}")),
        }
    }
    Ok(())
}

/// Waits until the helper that has started this process says that it is not needed, or ends without a word.
///
/// # Errors
/// When the spool cannot be read or libvirt cannot be reached.
pub fn serve(host: &Host) -> Result<()> {
    let mut said = Vec::new();
    let _broken_off = stdin().lock().read_to_end(&mut said);
    if said == NOT_NEEDED {
        return Ok(());
    }
    let mut log = Log::open(host);
    if let Err(error) = put_up(host) {
        log.event(Event::RulesUnfinished).error(format_args!("delivering: putting links up again: {error:#}"));
    }
    // The kernel may close the killed one's end of the pipe before it gives back its lock.
    let begin = Instant::now();
    while HelperLock::try_now(host)?.is_none() && begin.elapsed() < GIVEN_BACK {
        sleep(PAUSE);
    }
    delivery::deliver(host)
}
