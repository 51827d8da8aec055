//! The coordinator of the helper: knows where each job stands, waits for libvirt's events, with a slow look at
//! everything behind them, and hands what is ready to a few workers.
//!
//! The daemon has some twenty threads for all its clients; no call of ours is parked there while a VM arrives.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::attempt::Swap;
use super::outcome::Outcome;
use super::workers::{Message, Task, work};
use crate::context::disc::marker::Reason;
use crate::context::domain::driver::Driver;
use crate::context::uuid::Uuid;
use crate::host::config::{Config, ForceAfter};
use crate::host::log::Log;
use crate::host::paths::Host;
use crate::host::vm::Vm;
use crate::host::vm::job::Job;
use crate::host::vm::state::{About, Progress, State};
use crate::host::vm::sweep::{Absent, sweep};
use crate::libvirt::connection::Libvirt;
use crate::libvirt::domain::Situation;
use crate::libvirt::saved;
use crate::libvirt::trouble::Trouble;

/// Attempts at the same time. libvirtd serves a client five calls at once; one is left for the coordinator.
const WORKERS: usize = 4;

/// Between two looks at everything, in case an event was missed.
const LOOK: Duration = Duration::from_secs(2);

/// Between two attempts at a drive that the guest holds, or a VM that something else works on.
const PAUSE: Duration = Duration::from_secs(1);

/// An arrival that has not even begun after so many seconds never will.
const NEVER_CAME: u64 = 30;

/// So long the helper stays for a VM whose disc cannot be changed now; its job then waits for the next helper.
const PATIENCE: Duration = Duration::from_secs(600);

/// Attempts that fail for no reason that we know of, before they are given up.
const TRIES: u32 = 4;

/// How a session with the daemon ended.
pub enum Session {
    /// Every job is done or given up.
    Finished,
    /// The daemon went away.
    Lost,
}

/// Whether the daemon is still there.
#[derive(PartialEq, Eq)]
enum Connection {
    Alive,
    Lost,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// An event will come: the VM arrives, or stands still.
    Waiting,
    /// Another attempt then, or at once.
    From(Instant),
    /// A worker is at it, since then.
    InWork(Instant),
}

/// Where a job stands.
struct Entry {
    job: Job,
    step: Step,
    /// The first attempt.
    tried: Option<Instant>,
    /// The beginning of the first attempt at which a running guest held the old disc.
    held: Option<Instant>,
    /// The last attempt found the guest standing still with the old disc in its hands.
    held_paused: bool,
    failures: u32,
}

/// All jobs of this helper for the VMs of one driver.
pub struct Desk<'a> {
    host: &'a Host,
    driver: Driver,
    /// How long a guest may hold its old disc; follows the configuration.
    force_after: ForceAfter,
    pub(super) log: &'a mut Log,
    /// Jobs that stay in the spool for another helper.
    given_up: &'a mut HashSet<Job>,
    entries: HashMap<Uuid, Entry>,
}

impl<'a> Desk<'a> {
    /// An empty desk.
    pub fn new(
        host: &'a Host,
        config: &Config,
        driver: Driver,
        log: &'a mut Log,
        given_up: &'a mut HashSet<Job>,
    ) -> Desk<'a> {
        Desk { host, driver, force_after: config.force_after, log, given_up, entries: HashMap::new() }
    }

    /// Works with one connection until every job is done or given up, or the connection is lost.
    ///
    /// # Errors
    /// When the spool cannot be read or a state cannot be written.
    pub fn session(&mut self, libvirt: &Libvirt) -> Result<Session> {
        let (to_us, messages) = channel();
        // Register for events first and look second, so that nothing happens in between unseen.
        let happened = to_us.clone();
        match libvirt.watch(move |uuid| drop(happened.send(Message::Happened(uuid)))) {
            Ok(()) => {}
            Err(Trouble::Lost) => return Ok(Session::Lost),
            Err(trouble) => self.log.warning(format_args!("delivering: no events from libvirt, so slower: {trouble}")),
        }
        let swap = Swap { host: self.host, libvirt };
        let (tasks, queue) = channel();
        let queue = Mutex::new(queue);
        let ended = thread::scope(|scope| {
            for _ in 0..WORKERS {
                let (queue, to_us) = (&queue, to_us.clone());
                scope.spawn(move || work(swap, queue, &to_us));
            }
            let ended = self.coordinate(libvirt, &messages, &tasks);
            // With no more tasks to come, the workers end after the one that they are at.
            drop(tasks);
            ended
        });
        // What the workers ended after the connection was lost counts as well.
        while let Ok(message) = messages.try_recv() {
            if let Message::Ended(job, attempt) = message {
                self.note(libvirt, job, attempt)?;
            }
        }
        for entry in self.entries.values_mut().filter(|entry| matches!(entry.step, Step::InWork(_))) {
            entry.step = Step::Waiting;
        }
        ended
    }

    fn coordinate(&mut self, libvirt: &Libvirt, messages: &Receiver<Message>, tasks: &Sender<Task>) -> Result<Session> {
        let mut next_look = Instant::now();
        loop {
            if Instant::now() >= next_look {
                if self.look_at_all(libvirt)? == Connection::Lost {
                    return Ok(Session::Lost);
                }
                next_look = Instant::now() + LOOK;
            }
            self.hand_out(tasks);
            if self.entries.is_empty() {
                self.sweep(libvirt)?;
                return Ok(Session::Finished);
            }
            let wake = self.next_attempt().map_or(next_look, |next| next.min(next_look));
            match messages.recv_timeout(wake.saturating_duration_since(Instant::now())) {
                Ok(Message::Happened(uuid)) => {
                    Job::of(self.host, &uuid)?.into_iter().for_each(|job| self.take(job));
                    if self.look(&uuid, libvirt)? == Connection::Lost {
                        return Ok(Session::Lost);
                    }
                }
                Ok(Message::Ended(_, Outcome::Lost)) => return Ok(Session::Lost),
                Ok(Message::Ended(job, attempt)) => self.note(libvirt, job, attempt)?,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    /// Puts a job from the spool on the desk, unless it is there already, was given up, or is another driver's.
    fn take(&mut self, job: Job) {
        let in_work = |entry: &Entry| matches!(entry.step, Step::InWork(_));
        let known = self.entries.get(&job.uuid).is_some_and(|entry| entry.job == job || in_work(entry));
        if !known && !self.given_up.contains(&job) && job.driver == self.driver {
            let entry = Entry { step: Step::Waiting, tried: None, held: None, held_paused: false, failures: 0, job };
            self.entries.insert(entry.job.uuid.clone(), entry);
        }
    }

    /// Looks at the spool, the configuration and every VM, in case an event was missed.
    fn look_at_all(&mut self, libvirt: &Libvirt) -> Result<Connection> {
        // A configuration that is broken now is told by the attempts.
        self.force_after = Config::load(self.host).map_or(self.force_after, |config| config.force_after);
        for job in Job::all(self.host)? {
            self.take(job);
        }
        let all: Vec<Uuid> = self.entries.keys().cloned().collect();
        for uuid in all {
            if self.look(&uuid, libvirt)? == Connection::Lost {
                return Ok(Connection::Lost);
            }
        }
        Ok(Connection::Alive)
    }

    /// Looks where a VM is, and makes its job ready for an attempt or drops it.
    fn look(&mut self, uuid: &Uuid, libvirt: &Libvirt) -> Result<Connection> {
        let Some(entry) = self.entries.get_mut(uuid).filter(|entry| entry.step == Step::Waiting) else {
            return Ok(Connection::Alive);
        };
        match libvirt.domain(uuid).and_then(|domain| domain.situation()) {
            Ok(Situation::Arriving) => {}
            Ok(Situation::Paused) if entry.held_paused => self.lose_patience(uuid)?,
            Ok(Situation::Running | Situation::Paused) => entry.step = Step::From(Instant::now()),
            Ok(Situation::Gone) | Err(Trouble::Gone) => self.gone(libvirt, uuid)?,
            Err(Trouble::Lost) => return Ok(Connection::Lost),
            Err(trouble) => self.fail(uuid, &trouble.to_string())?,
        }
        Ok(Connection::Alive)
    }

    /// Gives the workers what is ready.
    fn hand_out(&mut self, tasks: &Sender<Task>) {
        let now = Instant::now();
        for entry in self.entries.values_mut() {
            let Step::From(then) = entry.step else { continue };
            if then > now {
                continue;
            }
            entry.tried.get_or_insert(now);
            let grace_over = match (self.force_after, entry.held) {
                (ForceAfter::Grace(grace), Some(held)) => now.duration_since(held) >= grace,
                _ => false,
            };
            let task = Task { job: entry.job.clone(), force: entry.job.force || grace_over };
            // The workers live as long as the session; without them the next look finds the job again.
            entry.step = if tasks.send(task).is_ok() { Step::InWork(now) } else { Step::Waiting };
        }
    }

    fn next_attempt(&self) -> Option<Instant> {
        let from = |entry: &Entry| match entry.step {
            Step::From(then) => Some(then),
            Step::Waiting | Step::InWork(_) => None,
        };
        self.entries.values().filter_map(from).min()
    }

    /// Notes how an attempt ended.
    fn note(&mut self, libvirt: &Libvirt, job: Job, attempt: Outcome) -> Result<()> {
        let uuid = job.uuid.clone();
        let Some(entry) = self.entries.get_mut(&uuid) else { return Ok(()) };
        let begun = std::mem::replace(&mut entry.step, Step::Waiting);
        entry.held_paused = false;
        let name = &job.name;
        match attempt {
            Outcome::Done(line) => {
                let generation = self.finish(&job, &line, Ending::Delivered)?;
                self.log.info(format_args!("{name}: {}: disc {generation}: {line}", job.reason.as_str()));
                // A newer job may have come meanwhile; then it starts anew.
                Job::of(self.host, &uuid)?.into_iter().for_each(|job| self.take(job));
                return Ok(());
            }
            Outcome::AtNextStart(line) => {
                // Told once: a timer may ask every few minutes.
                let told =
                    State::of(self.host, &uuid)?.is_some_and(|state| state.until_next_start && state.message == line);
                self.finish(&job, &line, Ending::AtNextStart)?;
                if !told {
                    self.log.info(format_args!("{name}: {}: {line}", job.reason.as_str()));
                }
                Job::of(self.host, &uuid)?.into_iter().for_each(|job| self.take(job));
                return Ok(());
            }
            // The state stays as well, so that it tells of the disc that is in the drive.
            Outcome::Unchanged => {
                self.entries.remove(&uuid);
                Vm::hold(self.host, &uuid)?.done(&job)?;
                Job::of(self.host, &uuid)?.into_iter().for_each(|job| self.take(job));
                return Ok(());
            }
            // The next event, or the next look, tells.
            Outcome::NotYet => entry.tried = None,
            Outcome::Lost => {}
            Outcome::Gone => return self.gone(libvirt, &uuid),
            Outcome::Busy(message) => {
                entry.step = Step::From(Instant::now() + PAUSE);
                self.write_state(&job, Progress::Waiting, &format!("something else works on the VM: {message}"))?;
            }
            Outcome::Held => {
                let first = entry.held.is_none();
                if let Step::InWork(begun) = begun {
                    entry.held.get_or_insert(begun);
                }
                entry.step = Step::From(Instant::now() + PAUSE);
                let line = held_line(name, self.force_after);
                self.write_state(&job, Progress::Waiting, &line)?;
                if first {
                    self.log.warning(format_args!("{name}: {line}"));
                }
            }
            Outcome::HeldPaused => {
                entry.held_paused = true;
                entry.held = None;
                self.write_state(
                    &job,
                    Progress::Waiting,
                    "the VM is paused with the old disc in use; it is changed when it runs",
                )?;
            }
            Outcome::Failed(message) => return self.fail(&uuid, &message),
            Outcome::Hopeless(message) => return self.give_up(&uuid, Progress::Failed, &message),
        }
        self.lose_patience(&uuid)
    }

    /// Something did not work that may work another time.
    fn fail(&mut self, uuid: &Uuid, message: &str) -> Result<()> {
        let Some(entry) = self.entries.get_mut(uuid) else { return Ok(()) };
        entry.failures += 1;
        if entry.failures >= TRIES {
            return self.give_up(uuid, Progress::Failed, message);
        }
        entry.step = Step::From(Instant::now() + PAUSE * 2_u32.pow(entry.failures));
        let job = entry.job.clone();
        self.write_state(&job, Progress::Waiting, &format!("trying again after: {message}"))
    }

    /// Gives up a job that could not be done for a long time.
    fn lose_patience(&mut self, uuid: &Uuid) -> Result<()> {
        match self.entries.get(uuid) {
            Some(entry) if entry.tried.is_some_and(|tried| tried.elapsed() >= PATIENCE) => {
                let message = State::of(self.host, uuid)?.map(|state| state.message).unwrap_or_default();
                self.give_up(uuid, Progress::Waiting, &message)
            }
            _ => Ok(()),
        }
    }

    fn give_up(&mut self, uuid: &Uuid, progress: Progress, message: &str) -> Result<()> {
        let Some(entry) = self.entries.remove(uuid) else { return Ok(()) };
        self.write_state(&entry.job, progress, message)?;
        let name = &entry.job.name;
        self.log
            .error(format_args!("{name}: {message}; given up for now, \"virt-recontext refresh {name}\" tries again"));
        self.given_up.insert(entry.job);
        Ok(())
    }

    /// The VM does not run here. One that was to arrive may still come, unless the hook was told that it will not; of any
    /// other nothing is left to do here.
    fn gone(&mut self, libvirt: &Libvirt, uuid: &Uuid) -> Result<()> {
        let Some(entry) = self.entries.get_mut(uuid) else { return Ok(()) };
        let may_come = matches!(entry.job.reason, Reason::Migrate | Reason::Restore) && entry.tried.is_none();
        if may_come && entry.job.age() < NEVER_CAME && entry.job.is_newest(self.host)? {
            entry.step = Step::Waiting;
            return Ok(());
        }
        let Some(entry) = self.entries.remove(uuid) else { return Ok(()) };
        let image = State::known(self.host, uuid)?.and_then(|state| state.image);
        let wanted = image.is_some_and(|image| saved::names(libvirt, uuid, &image));
        let vm = Vm::hold(self.host, uuid)?;
        if !entry.job.is_newest(self.host)? {
            return vm.give_back();
        }
        if wanted {
            return vm.leave();
        }
        self.log.info(format_args!("{}: does not run here; its disc is removed", entry.job.name));
        vm.forget()
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
        sweep(self.host, self.driver, running, look, |state| {
            self.log.info(format_args!("{}: does not run here any more; its disc is removed", state.name));
        })
    }

    /// Notes how a job ended, and takes it out of the spool; gives the disc's number.
    fn finish(&mut self, job: &Job, line: &str, ending: Ending) -> Result<u64> {
        self.entries.remove(&job.uuid);
        let vm = Vm::hold(self.host, &job.uuid)?;
        let edition = State::of(self.host, &job.uuid)?.and_then(|state| state.edition);
        if job.is_newest(self.host)? {
            match ending {
                Ending::Delivered => vm.delivered(About::job(job), None, line),
                Ending::AtNextStart => vm.waits_until_next_start(About::job(job), line),
            }
            .context(NOTING)?;
            vm.done(job)?;
        }
        Ok(edition.map(|edition| edition.generation.0).unwrap_or_default())
    }

    fn write_state(&self, job: &Job, progress: Progress, message: &str) -> Result<()> {
        let vm = Vm::hold(self.host, &job.uuid)?;
        // What a newer job has written is not overwritten.
        if !job.is_newest(self.host)? {
            return vm.give_back();
        }
        let about = About::job(job);
        match progress {
            Progress::Failed => vm.failed(about, message),
            Progress::Waiting | Progress::Delivered => vm.waits(about, None, message),
        }
        .context(NOTING)
    }
}

/// What fails when a state cannot be written.
const NOTING: &str = "noting how far a disc has come";

/// How a job ended.
enum Ending {
    /// The disc is in the drive, and the guest knows as far as it can.
    Delivered,
    /// The newest content gets there at the VM's next start, restore or arrival.
    AtNextStart,
}

/// What there is to say of a guest that does not let go.
fn held_line(name: &str, force_after: ForceAfter) -> String {
    match force_after {
        ForceAfter::Grace(grace) => {
            format!(
                "the guest holds the old disc; asking again, and after {} s it is changed by force",
                grace.as_secs()
            )
        }
        ForceAfter::Never => {
            format!(
                "the guest holds the old disc; asking again; \"virt-recontext refresh {name} --force\" does not ask"
            )
        }
    }
}
