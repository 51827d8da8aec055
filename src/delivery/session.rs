//! What the helper does with one connection to libvirt's daemon: it waits for events, with a slow look at everything behind
//! them, hands what is due to a few workers, and has written down what became of it.
//!
//! The daemon has some twenty threads for all its clients; no call of ours is parked there while a VM arrives.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::attempt::Attempts;
use super::ledger::Ledger;
use super::maker::Maker;
use super::outcome::Outcome;
use super::schedule::{Action, Due, Order, Presence, Schedule};
use super::workers::{Message, WORKERS, Workers};
use crate::composer::Composers;
use crate::context::domain::driver::Driver;
use crate::context::uuid::Uuid;
use crate::host::config::Config;
use crate::host::log::Subject;
use crate::host::off;
use crate::host::vm::job::{Job, NEVER_CAME};
use crate::host::vm::state::State;
use crate::host::vm::sweep::{Absent, sweep, sweep_images};
use crate::libvirt::connection::Libvirt;
use crate::libvirt::domain::Situation;
use crate::libvirt::saved;
use crate::libvirt::trouble::Trouble;

/// Between two looks at everything, in case an event was missed.
const LOOK: Duration = Duration::from_secs(2);

/// An attempt takes some seconds at most, besides the time of programs: as many as this may take all of theirs.
const ATTEMPT: Duration = Duration::from_secs(120);
const PROGRAMS: u32 = 16;

/// So long attempts that have been begun are waited for, once the connection is lost or one of them hangs.
const COME_BACK: Duration = Duration::from_secs(30);

/// All jobs of this helper for the VMs of one driver, through all its connections.
pub(super) struct Coordinator<'l, 'h> {
    pub(super) ledger: &'l mut Ledger<'h>,
    composers: Arc<Composers>,
    driver: Driver,
    schedule: Schedule<Job>,
}

impl<'l, 'h> Coordinator<'l, 'h> {
    pub(super) fn new(
        ledger: &'l mut Ledger<'h>,
        composers: Arc<Composers>,
        config: &Config,
        driver: Driver,
    ) -> Coordinator<'l, 'h> {
        let longest = ATTEMPT + PROGRAMS * config.limits.program_time;
        Coordinator { ledger, composers, driver, schedule: Schedule::new(config.force_after, longest, WORKERS) }
    }

    /// Works with one connection until every job is done or given up.
    ///
    /// # Errors
    /// [`Trouble::Lost`] when the connection is lost; the next one goes on from here. When an attempt does not come back:
    /// what this process is held by, another one may not be.
    pub(super) fn session(&mut self, libvirt: &Arc<Libvirt>) -> Result<()> {
        let (to_us, messages) = channel();
        // Register for events first and look second, so that nothing happens in between unseen.
        let happened = to_us.clone();
        let _watch = match libvirt.watch(move |uuid| drop(happened.send(Message::Happened(uuid)))) {
            Ok(watch) => Some(watch),
            Err(Trouble::Lost) => return Err(Trouble::Lost.into()),
            Err(trouble) => {
                self.ledger.log.warning(format_args!(
                    "delivering: libvirt gives no events, so it is asked every {} s: {trouble}",
                    LOOK.as_secs()
                ));
                None
            }
        };
        let (host, connection, composers) = (self.ledger.host.clone(), libvirt.clone(), self.composers.clone());
        let attempt = move |due: &Due<Job>| {
            let maker = Maker { host: &host, composers: &composers };
            Attempts { host: &host, libvirt: &connection, maker }.attempt(due).unwrap_or_else(|outcome| outcome)
        };
        let workers = Workers::start(attempt, &to_us);
        let ended = self.coordinate(libvirt, &messages, &workers);
        let all_ended = workers.end(COME_BACK);
        // What the workers ended after the connection was lost counts as well.
        while let Ok(message) = messages.try_recv() {
            if let Message::Ended(uuid, outcome) = message {
                self.ended(libvirt, &uuid, outcome);
            }
        }
        self.schedule.begin_again();
        ensure!(all_ended, "an attempt does not end");
        ended
    }

    fn coordinate(&mut self, libvirt: &Libvirt, messages: &Receiver<Message>, workers: &Workers) -> Result<()> {
        let mut next_look = Instant::now();
        loop {
            if off::is_off(self.ledger.host) {
                return Ok(());
            }
            if Instant::now() >= next_look {
                self.look_at_all(libvirt)?;
                next_look = Instant::now() + LOOK;
            }
            self.schedule.due(Instant::now()).into_iter().for_each(|due| workers.hand_out(due));
            if let Some(job) = self.schedule.stuck(Instant::now()) {
                self.ledger.stuck(job);
                bail!("an attempt does not end");
            }
            if self.schedule.is_empty() {
                return self.sweep(libvirt);
            }
            let wake = self.schedule.next_attempt().map_or(next_look, |next| next.min(next_look));
            match messages.recv_timeout(wake.saturating_duration_since(Instant::now())) {
                Ok(Message::Happened(uuid)) => {
                    self.take_newest(&uuid);
                    if self.schedule.to_look_at().contains(&uuid) {
                        self.look(&uuid, libvirt)?;
                    }
                }
                Ok(Message::Ended(_, Outcome::Lost)) => return Err(Trouble::Lost.into()),
                Ok(Message::Ended(uuid, outcome)) => self.ended(libvirt, &uuid, outcome),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    /// Takes jobs from the spool, but for those that were given up or are another driver's.
    fn take(&mut self, jobs: impl IntoIterator<Item = Job>) {
        for job in jobs {
            if self.ledger.given_up.contains(&job) || job.driver != self.driver {
                continue;
            }
            self.schedule.take(
                job.uuid.clone(),
                Order { force: job.force, may_come: job.is_arrival(), goes_on: job.goes_on(), job },
            );
        }
    }

    /// Takes what is the VM's job now. One that cannot be read just now is found when all are looked at.
    fn take_newest(&mut self, uuid: &Uuid) {
        let job = Job::of(self.ledger.host, uuid).ok().flatten();
        self.take(job);
    }

    /// Looks at the spool, the configuration and every VM, in case an event was missed.
    fn look_at_all(&mut self, libvirt: &Libvirt) -> Result<()> {
        // A configuration that is broken now is told by the attempts.
        if let Ok(config) = Config::load(self.ledger.host) {
            self.schedule.grace = config.force_after;
        }
        self.take(Job::all(self.ledger.host)?);
        self.schedule.to_look_at().iter().try_for_each(|uuid| self.look(uuid, libvirt))
    }

    /// Looks where a VM is, whose job waits for that.
    fn look(&mut self, uuid: &Uuid, libvirt: &Libvirt) -> Result<()> {
        let presence = match libvirt.domain(uuid).and_then(|domain| domain.situation()) {
            Ok(Situation::Arriving) => Presence::Arriving,
            Ok(Situation::Running) => Presence::Running,
            Ok(Situation::Paused) => Presence::Paused,
            Ok(Situation::Gone) | Err(Trouble::Gone) => Presence::Absent { soon: self.may_come_soon(uuid) },
            Err(Trouble::Lost) => return Err(Trouble::Lost.into()),
            Err(trouble) => Presence::Unknown(trouble.to_string()),
        };
        let action = self.schedule.found(Instant::now(), uuid, presence);
        self.write(libvirt, action);
        Ok(())
    }

    /// Whether a VM that is not here may still come, unless the hook was told that it will not.
    fn may_come_soon(&self, uuid: &Uuid) -> bool {
        let is_newest = |job: &Job| job.is_newest(self.ledger.host).unwrap_or_default();
        self.schedule.job(uuid).is_some_and(|job| job.age() < NEVER_CAME && is_newest(job))
    }

    fn ended(&mut self, libvirt: &Libvirt, uuid: &Uuid, outcome: Outcome) {
        let action = self.schedule.ended(Instant::now(), uuid, outcome);
        self.write(libvirt, action);
        // A newer job may have come meanwhile; it starts anew.
        self.take_newest(uuid);
    }

    fn write(&mut self, libvirt: &Libvirt, action: Option<Action<Job>>) {
        if let Some(action) = action {
            self.ledger.write(action, self.schedule.grace, libvirt);
        }
    }

    /// Removes what is left of VMs that do not run here.
    fn sweep(&mut self, libvirt: &Libvirt) -> Result<()> {
        let Ok(running) = libvirt.running() else { return Ok(()) };
        let running = running.iter().filter_map(|vm| vm.uuid().ok()).collect();
        let look = |state: &State| {
            // Xen's driver takes none for running that is just being restored, and that may take its time.
            let situation = libvirt.domain(&state.uuid).and_then(|domain| domain.situation());
            let is_gone = matches!(situation, Ok(Situation::Gone) | Err(Trouble::Gone));
            let wanted = || state.image.as_deref().is_some_and(|image| saved::names(libvirt, &state.uuid, image));
            is_gone.then(|| if wanted() { Absent::Wanted } else { Absent::Gone })
        };
        let Ledger { host, log, .. } = &mut *self.ledger;
        sweep(host, self.driver, running, look, |state, removed| {
            let log = log.about(Subject::vm(&state.name, &state.uuid));
            match removed {
                // Of one that takes part in rules alone there was no disc.
                Ok(()) if state.is_of_rules_alone() => {
                    log.info(format_args!("{}: is no longer running here", state.name))
                }
                Ok(()) => log.info(format_args!("{}: is no longer running here; its disc is removed", state.name)),
                Err(error) => log.warning(format_args!("{}: is no longer running here: {error:#}", state.name)),
            }
        })?;
        let Ok(config) = Config::load(host) else { return Ok(()) };
        // Of another driver's VMs nothing is known here.
        if Driver::ALL.iter().any(|other| *other != self.driver && host.running_vms_dir(*other).is_dir()) {
            return Ok(());
        }
        let is_known = |uuid: &Uuid| !matches!(libvirt.domain(uuid), Err(Trouble::Gone));
        sweep_images(host, &config, is_known, |image, removed| match removed {
            Ok(()) => log.info(format_args!("{}: no VM of this host is known of; removed", image.display())),
            Err(error) => log.warning(format_args!("{}: no VM of this host is known of: {error:#}", image.display())),
        })
    }
}
