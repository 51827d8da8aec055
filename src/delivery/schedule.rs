//! When what is done: knows where each job stands, and says what follows when something happens. It looks at no clock, asks
//! nobody and writes nothing: the time and what happened come in, what is to be done goes out.

use std::collections::HashMap;
use std::mem::replace;
use std::time::{Duration, Instant};

use super::outcome::Outcome;
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
    Done(J, String),
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
    /// The last attempt found the guest standing still with the old disc in its hands.
    held_paused: bool,
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
            let entry = Entry { order, step: Step::Waiting, tried: None, held, held_paused: false, failures: 0 };
            self.entries.insert(uuid, entry);
        }
    }

    /// What follows when the VM `uuid` was looked at.
    pub(super) fn found(&mut self, now: Instant, uuid: &Uuid, presence: Presence) -> Option<Action<J>> {
        let entry = self.entries.get_mut(uuid).filter(|entry| entry.step == Step::Waiting)?;
        match presence {
            Presence::Arriving => None,
            Presence::Paused if entry.held_paused => self.lose_patience(now, uuid),
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
        entry.held_paused = false;
        let action = match outcome {
            Outcome::Done(line) => return self.end(uuid, |job| Action::Done(job, line)),
            Outcome::AtNextStart(line) => return self.end(uuid, |job| Action::AtNextStart(job, line)),
            Outcome::Unchanged => return self.end(uuid, Action::Unchanged),
            Outcome::Failed(message) => return self.fail(now, uuid, message),
            Outcome::Hopeless(message) => return self.end(uuid, |job| Action::Failed(job, message)),
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
            Outcome::HeldPaused => {
                entry.held_paused = true;
                entry.held = None;
                let line = "the VM is paused and holds the old disc; the disc is changed when the VM runs again";
                Some(Action::Waits(entry.order.job.clone(), line.to_owned()))
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
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    /// A schedule with one job, and the VM's name in it.
    fn with_job(grace: Option<Duration>) -> (Schedule<&'static str>, Uuid, Instant) {
        let uuid: Uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f".parse().unwrap();
        let mut schedule = Schedule::new(grace, 100 * S, 4);
        let now = Instant::now();
        schedule.take(uuid.clone(), Order { job: "a", force: false, may_come: true, goes_on: false });
        (schedule, uuid, now)
    }

    fn attempt(job: &'static str, force: bool) -> Vec<Due<&'static str>> {
        vec![Due { job, force, first: false }]
    }

    fn first(job: &'static str, force: bool) -> Vec<Due<&'static str>> {
        vec![Due { job, force, first: true }]
    }

    /// Lets an attempt begin, and end so.
    fn try_once(
        schedule: &mut Schedule<&'static str>,
        uuid: &Uuid,
        now: Instant,
        outcome: Outcome,
    ) -> Option<Action<&'static str>> {
        schedule.found(now, uuid, Presence::Running);
        assert!(matches!(schedule.due(now).as_slice(), [Due { .. }]), "no attempt is due");
        schedule.ended(now, uuid, outcome)
    }

    #[test]
    fn a_vm_is_tried_when_it_is_here_and_not_before() {
        let (mut schedule, uuid, now) = with_job(None);
        assert_eq!(schedule.found(now, &uuid, Presence::Arriving), None);
        assert_eq!(schedule.found(now, &uuid, Presence::Absent { soon: true }), None);
        assert_eq!((schedule.due(now), schedule.to_look_at()), (vec![], vec![uuid.clone()]));
        assert_eq!(schedule.found(now, &uuid, Presence::Running), None);
        assert_eq!((schedule.next_attempt(), schedule.due(now)), (Some(now), first("a", false)));
        assert_eq!((schedule.due(now), schedule.to_look_at()), (vec![], vec![]), "a worker is at it");
        let done = Outcome::Done("so".to_owned());
        assert_eq!(schedule.ended(now, &uuid, done), Some(Action::Done("a", "so".to_owned())));
        assert!(schedule.is_empty());
    }

    #[test]
    fn what_is_too_early_is_tried_again_after_a_second() {
        let (mut schedule, uuid, now) = with_job(None);
        assert_eq!(try_once(&mut schedule, &uuid, now, Outcome::TooEarly), None);
        assert_eq!((schedule.next_attempt(), schedule.due(now + S)), (Some(now + S), attempt("a", false)));
    }

    #[test]
    fn as_many_as_there_are_workers_are_tried_and_who_has_just_come_does_not_wait_behind_a_timer() {
        let (mut schedule, now) = (Schedule::new(None, 100 * S, 3), Instant::now());
        let uuid = |number: usize| format!("6695eb01-f6a4-8304-79aa-{number:012}").parse::<Uuid>().unwrap();
        let come = |schedule: &mut Schedule<usize>, job, goes_on: bool| {
            schedule.take(uuid(job), Order { job, force: false, may_come: !goes_on, goes_on });
            schedule.found(now, &uuid(job), Presence::Running);
        };
        (0..5).for_each(|job| come(&mut schedule, job, true));
        let jobs = |due: Vec<Due<usize>>| due.into_iter().map(|due| due.job).collect::<Vec<_>>();
        assert_eq!(jobs(schedule.due(now)), [0, 1], "one worker is left");
        assert_eq!((schedule.next_attempt(), jobs(schedule.due(now))), (None, vec![]));
        (7..9).for_each(|job| come(&mut schedule, job, false));
        assert_eq!((schedule.next_attempt(), jobs(schedule.due(now))), (Some(now), vec![7]));
        assert_eq!((schedule.next_attempt(), jobs(schedule.due(now))), (None, vec![]));
        // Who waits for a worker is at no work that could hang.
        assert_eq!(schedule.stuck(now + 99 * S), None);
        schedule.ended(now, &uuid(0), Outcome::Unchanged);
        assert_eq!(jobs(schedule.due(now + 99 * S)), [8], "who has just come goes first");
    }

    #[test]
    fn an_attempt_that_does_not_come_back_is_known_and_waiting_is_none() {
        let (mut schedule, uuid, now) = with_job(None);
        assert_eq!(schedule.stuck(now + 500 * S), None, "nobody is at it");
        schedule.found(now, &uuid, Presence::Running);
        schedule.due(now + S);
        assert_eq!((schedule.stuck(now + 100 * S), schedule.stuck(now + 101 * S)), (None, Some(&"a")));
    }

    #[test]
    fn a_vm_that_does_not_come_is_given_up_when_its_job_is_old_or_was_begun() {
        let (mut schedule, uuid, now) = with_job(None);
        assert_eq!(schedule.found(now, &uuid, Presence::Absent { soon: false }), Some(Action::Gone("a")));
        let (mut schedule, uuid, now) = with_job(None);
        schedule.found(now, &uuid, Presence::Running);
        schedule.due(now);
        assert_eq!(schedule.ended(now, &uuid, Outcome::Gone), Some(Action::Gone("a")));
    }

    #[test]
    fn a_newer_job_takes_the_place_of_an_older_one_unless_a_worker_is_at_it() {
        let (mut schedule, uuid, now) = with_job(None);
        let newer = || Order { job: "b", force: true, may_come: false, goes_on: false };
        schedule.found(now, &uuid, Presence::Running);
        assert_eq!(schedule.due(now), first("a", false));
        schedule.take(uuid.clone(), newer());
        assert_eq!(schedule.job(&uuid), Some(&"a"));
        schedule.ended(now, &uuid, Outcome::Unchanged);
        schedule.take(uuid.clone(), newer());
        schedule.found(now, &uuid, Presence::Running);
        assert_eq!(schedule.due(now), first("b", true));
    }

    #[test]
    fn a_guest_that_holds_its_disc_is_asked_every_second_and_made_to_let_go_after_the_grace() {
        let (mut schedule, uuid, begin) = with_job(Some(3 * S));
        for second in 0..3 {
            let now = begin + second * S;
            let held = try_once(&mut schedule, &uuid, now, Outcome::Held);
            assert_eq!(held, Some(Action::Held { job: "a", first: second == 0 }));
            assert_eq!(schedule.next_attempt(), Some(now + S));
        }
        assert_eq!(schedule.due(begin + 3 * S), attempt("a", true));
        let (mut schedule, uuid, begin) = with_job(None);
        try_once(&mut schedule, &uuid, begin, Outcome::Held);
        assert_eq!(schedule.due(begin + 500 * S), attempt("a", false), "never by force");
    }

    #[test]
    fn the_grace_of_a_guest_that_stood_still_begins_when_it_runs() {
        let (mut schedule, uuid, begin) = with_job(Some(3 * S));
        try_once(&mut schedule, &uuid, begin, Outcome::Held);
        assert_eq!(schedule.due(begin + 2 * S), attempt("a", false));
        schedule.ended(begin + 2 * S, &uuid, Outcome::HeldPaused);
        assert_eq!(schedule.found(begin + 4 * S, &uuid, Presence::Paused), None);
        assert_eq!(schedule.due(begin + 4 * S), [], "nobody could answer");
        schedule.found(begin + 9 * S, &uuid, Presence::Running);
        assert_eq!(schedule.due(begin + 9 * S), attempt("a", false));
    }

    #[test]
    fn what_fails_for_no_known_reason_is_tried_four_times_with_longer_pauses() {
        let (mut schedule, uuid, mut now) = with_job(None);
        for pause in [2, 4, 8] {
            let action = try_once(&mut schedule, &uuid, now, Outcome::Failed("so".to_owned()));
            assert_eq!(action, Some(Action::Waits("a", "trying again after: so".to_owned())));
            assert_eq!(schedule.next_attempt(), Some(now + pause * S));
            now += pause * S;
        }
        let action = try_once(&mut schedule, &uuid, now, Outcome::Failed("so".to_owned()));
        assert_eq!(action, Some(Action::Failed("a", "so".to_owned())));
        assert!(schedule.is_empty());
    }

    #[test]
    fn a_job_that_waits_for_ten_minutes_is_left_to_another_helper() {
        let (mut schedule, uuid, begin) = with_job(None);
        let busy = || Outcome::Busy("it migrates".to_owned());
        assert!(matches!(try_once(&mut schedule, &uuid, begin, busy()), Some(Action::Waits("a", _))));
        assert_eq!(try_once(&mut schedule, &uuid, begin + PATIENCE, busy()), Some(Action::Late("a")));
        assert!(schedule.is_empty());
    }

    #[test]
    fn the_grace_runs_from_the_first_attempt_though_a_timer_asks_again_and_is_waited_for() {
        let longer = PATIENCE + 100 * S;
        let again = |job| Order { job, force: false, may_come: false, goes_on: true };
        for (newer, force) in [(again("a"), true), (Order { goes_on: false, ..again("a") }, false)] {
            let (mut schedule, uuid, begin) = with_job(Some(longer));
            try_once(&mut schedule, &uuid, begin, Outcome::Held);
            assert!(matches!(
                try_once(&mut schedule, &uuid, begin + PATIENCE, Outcome::Held),
                Some(Action::Held { .. })
            ));
            schedule.take(uuid.clone(), Order { job: "b", ..newer });
            schedule.found(begin + longer, &uuid, Presence::Running);
            assert_eq!(schedule.due(begin + longer), first("b", force), "a new guest has time of its own");
        }
    }

    #[test]
    fn what_was_at_work_when_the_connection_was_lost_is_looked_at_again() {
        let (mut schedule, uuid, now) = with_job(None);
        schedule.found(now, &uuid, Presence::Running);
        schedule.due(now);
        schedule.begin_again();
        assert_eq!(schedule.to_look_at(), [uuid]);
    }
}
