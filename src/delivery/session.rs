//! What the helper does with one connection to libvirt's daemon: it waits for events, with a slow look at everything behind
//! them, hands what is due to a few workers, and has written down what became of it.
//!
//! The daemon has some twenty threads for all its clients; no call of ours is parked there while a VM arrives.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::attempt::Attempts;
use super::ledger::Ledger;
use super::maker::Maker;
use super::outcome::Outcome;
use super::schedule::{Action, Event, Order, Presence, Schedule};
use super::workers::{Message, Workers};
use crate::composer::Composers;
use crate::context::domain::driver::Driver;
use crate::context::uuid::Uuid;
use crate::host::config::{Config, ForceAfter};
use crate::host::vm::job::{Job, NEVER_CAME};
use crate::host::vm::state::State;
use crate::host::vm::sweep::{Absent, sweep};
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Session {
    Finished,
    Lost,
    /// An attempt has not come back: what this process is held by, another one may not be.
    Stuck,
}

/// All jobs of this helper for the VMs of one driver, through all its connections.
pub(super) struct Coordinator<'a> {
    pub(super) ledger: Ledger<'a>,
    composers: Arc<Composers>,
    driver: Driver,
    /// How long a guest may hold its old disc; follows the configuration.
    force_after: ForceAfter,
    schedule: Schedule<Job>,
}

impl<'a> Coordinator<'a> {
    pub(super) fn new(
        ledger: Ledger<'a>,
        composers: Arc<Composers>,
        config: &Config,
        driver: Driver,
    ) -> Coordinator<'a> {
        let force_after = config.force_after;
        let longest = ATTEMPT + PROGRAMS * config.limits.program_time;
        Coordinator { ledger, composers, driver, force_after, schedule: Schedule::new(force_after.grace(), longest) }
    }

    /// Works with one connection until every job is done or given up, or the connection is lost.
    pub(super) fn session(&mut self, libvirt: &Arc<Libvirt>) -> Result<Session> {
        let (to_us, messages) = channel();
        // Register for events first and look second, so that nothing happens in between unseen.
        let happened = to_us.clone();
        match libvirt.watch(move |uuid| drop(happened.send(Message::Happened(uuid)))) {
            Ok(()) => {}
            Err(Trouble::Lost) => return Ok(Session::Lost),
            Err(trouble) => {
                self.ledger.log.warning(format_args!(
                    "delivering: libvirt gives no events, so it is asked every {} s: {trouble}",
                    LOOK.as_secs()
                ));
            }
        }
        let (host, connection, composers) = (self.ledger.host.clone(), libvirt.clone(), self.composers.clone());
        let attempt = move |job: &Job, how| {
            let maker = Maker { host: &host, composers: &composers };
            Attempts { host: &host, libvirt: &connection, maker }.attempt(job, how)
        };
        let workers = Workers::start(attempt, &to_us);
        let mut ended = self.coordinate(libvirt, &messages, &workers);
        if !workers.end(COME_BACK) {
            ended = ended.map(|_| Session::Stuck);
        }
        // What the workers ended after the connection was lost counts as well.
        while let Ok(message) = messages.try_recv() {
            if let Message::Ended(job, outcome) = message {
                self.ended(libvirt, job, outcome);
            }
        }
        self.schedule.begin_again();
        ended
    }

    fn coordinate(&mut self, libvirt: &Libvirt, messages: &Receiver<Message>, workers: &Workers) -> Result<Session> {
        let mut next_look = Instant::now();
        loop {
            if Instant::now() >= next_look {
                if self.look_at_all(libvirt)? == Session::Lost {
                    return Ok(Session::Lost);
                }
                next_look = Instant::now() + LOOK;
            }
            for action in self.schedule.due(Instant::now()) {
                if let Action::Attempt(job, how) = action {
                    workers.hand_out(job, how);
                }
            }
            if let Some(job) = self.schedule.stuck(Instant::now()) {
                self.ledger.stuck(job);
                return Ok(Session::Stuck);
            }
            if self.schedule.is_empty() {
                self.sweep(libvirt)?;
                return Ok(Session::Finished);
            }
            let wake = self.schedule.next_attempt().map_or(next_look, |next| next.min(next_look));
            match messages.recv_timeout(wake.saturating_duration_since(Instant::now())) {
                Ok(Message::Happened(uuid)) => {
                    self.take_newest(&uuid);
                    if self.schedule.to_look_at().contains(&uuid) && self.look(&uuid, libvirt)? == Session::Lost {
                        return Ok(Session::Lost);
                    }
                }
                Ok(Message::Ended(_, Outcome::Lost)) => return Ok(Session::Lost),
                Ok(Message::Ended(job, outcome)) => self.ended(libvirt, job, outcome),
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
            let uuid = job.uuid.clone();
            let order = Order { uuid: uuid.clone(), force: job.force, may_come: job.is_arrival(), job };
            self.schedule.on(Instant::now(), &uuid, Event::Job(order));
        }
    }

    /// Takes what is the VM's job now. One that cannot be read just now is found when all are looked at.
    fn take_newest(&mut self, uuid: &Uuid) {
        let job = Job::of(self.ledger.host, uuid).ok().flatten();
        self.take(job);
    }

    /// Looks at the spool, the configuration and every VM, in case an event was missed.
    fn look_at_all(&mut self, libvirt: &Libvirt) -> Result<Session> {
        // A configuration that is broken now is told by the attempts.
        self.force_after = Config::load(self.ledger.host).map_or(self.force_after, |config| config.force_after);
        self.schedule.grace = self.force_after.grace();
        self.take(Job::all(self.ledger.host)?);
        for uuid in self.schedule.to_look_at() {
            if self.look(&uuid, libvirt)? == Session::Lost {
                return Ok(Session::Lost);
            }
        }
        Ok(Session::Finished)
    }

    /// Looks where a VM is, whose job waits for that.
    fn look(&mut self, uuid: &Uuid, libvirt: &Libvirt) -> Result<Session> {
        let presence = match libvirt.domain(uuid).and_then(|domain| domain.situation()) {
            Ok(Situation::Arriving) => Presence::Arriving,
            Ok(Situation::Running) => Presence::Running,
            Ok(Situation::Paused) => Presence::Paused,
            Ok(Situation::Gone) | Err(Trouble::Gone) => Presence::Absent { soon: self.may_come_soon(uuid) },
            Err(Trouble::Lost) => return Ok(Session::Lost),
            Err(trouble) => Presence::Unknown(trouble.to_string()),
        };
        let action = self.schedule.on(Instant::now(), uuid, Event::Found(presence));
        self.write(libvirt, action);
        Ok(Session::Finished)
    }

    /// Whether a VM that is not here may still come, unless the hook was told that it will not.
    fn may_come_soon(&self, uuid: &Uuid) -> bool {
        let is_newest = |job: &Job| job.is_newest(self.ledger.host).unwrap_or_default();
        self.schedule.job(uuid).is_some_and(|job| job.age() < NEVER_CAME && is_newest(job))
    }

    fn ended(&mut self, libvirt: &Libvirt, job: Job, outcome: Outcome) {
        let uuid = job.uuid.clone();
        let action = self.schedule.on(Instant::now(), &uuid, Event::Ended(job, outcome));
        self.write(libvirt, action);
        // A newer job may have come meanwhile; it starts anew.
        self.take_newest(&uuid);
    }

    fn write(&mut self, libvirt: &Libvirt, action: Option<Action<Job>>) {
        if let Some(action) = action {
            self.ledger.write(action, self.force_after, |job, image| saved::names(libvirt, &job.uuid, image));
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
        let Ledger { host, log, .. } = &mut self.ledger;
        sweep(host, self.driver, running, look, |state, removed| match removed {
            Ok(()) => log.info(format_args!("{}: is no longer running here; its disc is removed", state.name)),
            Err(error) => log.warning(format_args!("{}: is no longer running here: {error:#}", state.name)),
        })
    }
}
