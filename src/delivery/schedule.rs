//! When what is done: knows where each job stands, and says what follows when something happens. It looks at no clock, asks
//! nobody and writes nothing: the time and what happened come in, what is to be done goes out.

use std::collections::HashMap;
use std::mem::replace;
use std::time::{Duration, Instant};

use super::outcome::{Done, Outcome};
use crate::context::uuid::Uuid;

/// Between two attempts at a drive that the guest holds, or a VM that something else works on.
const PAUSE: Duration = Duration::from_secs(1);

/// So long after its start a VM's firmware may still reset an empty drive; it does so within some tens of milliseconds.
const FIRMWARE: Duration = Duration::from_secs(1);

/// So long the helper stays for a VM whose disc cannot be changed now; its job then waits for the next helper.
const PATIENCE: Duration = Duration::from_secs(600);

/// Attempts that fail for no reason that we know of, before they are given up.
const TRIES: u32 = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order<J> {
    /// Which one it is: a newer one of the same VM is another.
    pub job: J,
    /// Whether a guest that does not let go is made to at once.
    pub force: bool,
    /// Whether the VM may still have to come.
    pub may_come: bool,
    /// Whether the guest may have been asked to let go for an older job.
    pub goes_on: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Presence {
    /// It arrives, or was not looked at.
    Arriving,
    Running,
    Paused,
    /// It is not here; `soon` if its job is so young that it may still come.
    Absent {
        soon: bool,
    },
    /// libvirt does not tell, for this reason.
    Unknown(String),
}

/// An attempt that is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due<J> {
    pub job: J,
    /// Whether a guest that holds its disc is made to let go.
    pub force: bool,
    /// Whether nothing has been tried for this job since its VM was found here.
    pub first: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action<J> {
    Done(J, Done),
    /// The job is done as far as it can be before the VM's next start, restore or arrival; the line says why.
    AtNextStart(J, String),
    /// The job is done without anything being done.
    Unchanged(J),
    /// The job waits; the line says for what.
    Waits(J, String),
    /// The job waits for a guest that holds its disc; `first` at the first such attempt.
    Held {
        job: J,
        first: bool,
    },
    Failed(J, String),
    /// The job has waited for as long as one helper does.
    Late(J),
    /// The VM is not here and will not come.
    Gone(J),
}

impl<J> Action<J> {
    pub(super) fn job(&self) -> &J {
        match self {
            Action::Done(job, _)
            | Action::AtNextStart(job, _)
            | Action::Unchanged(job)
            | Action::Waits(job, _)
            | Action::Held { job, .. }
            | Action::Failed(job, _)
            | Action::Late(job)
            | Action::Gone(job) => job,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// An event will come: the VM arrives, or stands still.
    Waiting,
    From(Instant),
    /// A worker is at it, since then.
    InWork(Instant),
}

#[derive(Debug)]
struct Entry<J> {
    order: Order<J>,
    step: Step,
    tried: Option<Instant>,
    /// The beginning of the first attempt at which a running guest held the old disc.
    held: Option<Instant>,
    /// The last attempt found the guest standing still, and has to wait for it to go on.
    stands_still: bool,
    failures: u32,
}

/// All jobs of a helper for the VMs of one driver.
#[derive(Debug)]
pub(super) struct Schedule<J> {
    entries: HashMap<Uuid, Entry<J>>,
    /// How long a guest may hold its old disc; for ever without.
    pub grace: Option<Duration>,
    /// How long an attempt may take.
    longest: Duration,
    /// How many attempts there may be at the same time.
    workers: usize,
}

impl<J: Clone + PartialEq> Schedule<J> {
    pub(super) fn new(grace: Option<Duration>, longest: Duration, workers: usize) -> Schedule<J> {
        Schedule { entries: HashMap::new(), grace, longest, workers }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The VMs that have to be looked at, for what they wait for may have come.
    pub(super) fn to_look_at(&self) -> Vec<Uuid> {
        let waiting = self.entries.iter().filter(|(_, entry)| entry.step == Step::Waiting);
        waiting.map(|(uuid, _)| uuid.clone()).collect()
    }

    pub(super) fn job(&self, uuid: &Uuid) -> Option<&J> {
        self.entries.get(uuid).map(|entry| &entry.order.job)
    }

    /// When the next attempt is due for which a worker is free. If none is, what comes next is that one has ended.
    pub(super) fn next_attempt(&self) -> Option<Instant> {
        let at_work = self.at_work();
        let from = |entry: &Entry<J>| match entry.step {
            Step::From(then) if at_work < self.room_for(&entry.order) => Some(then),
            _ => None,
        };
        self.entries.values().filter_map(from).min()
    }

    fn at_work(&self) -> usize {
        self.entries.values().filter(|entry| matches!(entry.step, Step::InWork(_))).count()
    }

    /// How many workers there are for such a job. One is left for VMs that have just come or started, so that none of these
    /// waits behind all that a timer has asked for.
    fn room_for(&self, order: &Order<J>) -> usize {
        if order.goes_on { (self.workers - 1).max(1) } else { self.workers }
    }

    /// A job at which a worker has been for longer than an attempt may take.
    pub(super) fn stuck(&self, now: Instant) -> Option<&J> {
        let is_stuck =
            |entry: &&Entry<J>| matches!(entry.step, Step::InWork(then) if now.duration_since(then) >= self.longest);
        self.entries.values().find(is_stuck).map(|entry| &entry.order.job)
    }

    /// The connection was lost: whoever was at work has ended, and all is looked at again.
    pub(super) fn begin_again(&mut self) {
        for entry in self.entries.values_mut().filter(|entry| matches!(entry.step, Step::InWork(_))) {
            entry.step = Step::Waiting;
        }
    }

    /// The attempts that are due at `now` and for which a worker is free: those of VMs that have just come or started first.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Due<J>> {
        let mut waiting: Vec<(bool, Instant, Uuid)> = Vec::new();
        for (uuid, entry) in &self.entries {
            if let Step::From(then) = entry.step
                && then <= now
            {
                waiting.push((entry.order.goes_on, then, uuid.clone()));
            }
        }
        waiting.sort_unstable();
        let (mut at_work, mut due) = (self.at_work(), Vec::new());
        for (_, _, uuid) in waiting {
            let Some(entry) = self.entries.get(&uuid) else { continue };
            if at_work < self.room_for(&entry.order) {
                at_work += 1;
                due.extend(self.begin(now, &uuid));
            }
        }
        due
    }

    fn begin(&mut self, now: Instant, uuid: &Uuid) -> Option<Due<J>> {
        let grace = self.grace;
        let entry = self.entries.get_mut(uuid)?;
        let first = entry.tried.replace(entry.tried.unwrap_or(now)).is_none();
        entry.step = Step::InWork(now);
        let is_over = |(grace, held)| now.duration_since(held) >= grace;
        let force = entry.order.force || grace.zip(entry.held).is_some_and(is_over);
        Some(Due { job: entry.order.job.clone(), force, first })
    }

    /// Takes a job of the VM `uuid`; not one that is there already, nor while a worker is at the VM.
    pub(super) fn take(&mut self, uuid: Uuid, order: Order<J>) {
        let in_work = |entry: &Entry<J>| matches!(entry.step, Step::InWork(_));
        let known = self.entries.get(&uuid).is_some_and(|entry| entry.order.job == order.job || in_work(entry));
        if !known {
            // A timer that asks again and again does not give the guest more time.
            let held = self.entries.get(&uuid).filter(|_| order.goes_on).and_then(|entry| entry.held);
            let entry = Entry { order, step: Step::Waiting, tried: None, held, stands_still: false, failures: 0 };
            self.entries.insert(uuid, entry);
        }
    }

    /// What follows when the VM `uuid` was looked at.
    pub(super) fn found(&mut self, now: Instant, uuid: &Uuid, presence: Presence) -> Option<Action<J>> {
        let entry = self.entries.get_mut(uuid).filter(|entry| entry.step == Step::Waiting)?;
        match presence {
            Presence::Arriving => None,
            Presence::Paused if entry.stands_still => self.lose_patience(now, uuid),
            Presence::Running | Presence::Paused => {
                entry.step = Step::From(now);
                None
            }
            // One that was to arrive may still come, unless an attempt at it was begun.
            Presence::Absent { soon } if soon && entry.order.may_come && entry.tried.is_none() => None,
            Presence::Absent { .. } => self.end(uuid, Action::Gone),
            Presence::Unknown(message) => self.fail(now, uuid, message),
        }
    }

    /// What follows when an attempt at the VM `uuid` has ended.
    pub(super) fn ended(&mut self, now: Instant, uuid: &Uuid, outcome: Outcome) -> Option<Action<J>> {
        let entry = self.entries.get_mut(uuid)?;
        let begun = replace(&mut entry.step, Step::Waiting);
        entry.stands_still = false;
        let action = match outcome {
            Outcome::Done(done) => return self.end(uuid, |job| Action::Done(job, done)),
            Outcome::AtNextStart(line) => return self.end(uuid, |job| Action::AtNextStart(job, line)),
            Outcome::Unchanged => return self.end(uuid, Action::Unchanged),
            Outcome::Failed(message) => return self.fail(now, uuid, message),
            Outcome::Hopeless(message) => return self.end(uuid, |job| Action::Failed(job, message)),
            Outcome::HostsFault(message) => return self.fail_by_host(now, uuid, message),
            Outcome::Gone => return self.end(uuid, Action::Gone),
            Outcome::Lost => None,
            // The next event, or the next look, tells.
            Outcome::NotYet => {
                entry.tried = None;
                None
            }
            Outcome::TooEarly => {
                entry.step = Step::From(now + FIRMWARE);
                None
            }
            Outcome::Busy(message) => {
                entry.step = Step::From(now + PAUSE);
                Some(Action::Waits(entry.order.job.clone(), format!("something else is working on the VM: {message}")))
            }
            Outcome::Held => {
                let first = entry.held.is_none();
                if let Step::InWork(begun) = begun {
                    entry.held.get_or_insert(begun);
                }
                entry.step = Step::From(now + PAUSE);
                Some(Action::Held { job: entry.order.job.clone(), first })
            }
            Outcome::StandsStill(line) => {
                entry.stands_still = true;
                entry.held = None;
                Some(Action::Waits(entry.order.job.clone(), line))
            }
        };
        // What one that is given up now waits for was written before.
        self.lose_patience(now, uuid).or(action)
    }

    /// Something did not work that may work another time.
    fn fail(&mut self, now: Instant, uuid: &Uuid, message: String) -> Option<Action<J>> {
        let entry = self.entries.get_mut(uuid)?;
        entry.failures += 1;
        if entry.failures >= TRIES {
            return self.end(uuid, |job| Action::Failed(job, message));
        }
        entry.step = Step::From(now + PAUSE * 2_u32.pow(entry.failures));
        Some(Action::Waits(entry.order.job.clone(), format!("trying again after: {message}")))
    }

    /// This host's data are faulty, or half written. A refresh is asked for by somebody who is told, or again by what is written
    /// next. A VM that has come or started is tried again, for as long as there is other work and not only for a few times.
    fn fail_by_host(&mut self, now: Instant, uuid: &Uuid, message: String) -> Option<Action<J>> {
        // One that waits for its last try is no reason for another to go on.
        let other_work = self.entries.values().any(|entry| entry.failures < TRIES - 1);
        let entry = self.entries.get_mut(uuid)?;
        if entry.order.goes_on {
            return self.end(uuid, |job| Action::Failed(job, message));
        }
        if other_work {
            entry.failures = entry.failures.min(TRIES - 2);
        }
        self.fail(now, uuid, message)
    }

    /// Gives up a job that could not be done for a long time; not while the guest still has its time to let go.
    fn lose_patience(&mut self, now: Instant, uuid: &Uuid) -> Option<Action<J>> {
        let entry = self.entries.get(uuid)?;
        let (tried, is_asked) = (entry.tried?, entry.held.is_some() && self.grace.is_some());
        if now.duration_since(tried) >= PATIENCE && !is_asked { self.end(uuid, Action::Late) } else { None }
    }

    fn end(&mut self, uuid: &Uuid, action: impl FnOnce(J) -> Action<J>) -> Option<Action<J>> {
        self.entries.remove(uuid).map(|entry| action(entry.order.job))
    }
}

#[cfg(test)]
mod tests;
