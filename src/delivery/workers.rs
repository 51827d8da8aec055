//! The helper's workers: each makes one attempt after the other, as the coordinator hands them out. An attempt that panics is
//! one job's trouble; one that never comes back is left behind.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::outcome::Outcome;
use super::schedule::Due;
use crate::context::uuid::Uuid;
use crate::host::vm::job::Job;

/// Attempts at the same time. libvirtd serves a client five calls at once; one is left for looking.
pub(super) const WORKERS: usize = 4;

/// Between two looks whether a worker has ended.
const PAUSE: Duration = Duration::from_millis(1);

pub(super) enum Message {
    Happened(Uuid),
    Ended(Uuid, Outcome),
}

pub(super) struct Workers {
    tasks: Sender<Due<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Workers that `attempt` jobs, and tell what came of each.
    pub(super) fn start(
        attempt: impl Fn(&Due<Job>) -> Outcome + Clone + Send + 'static,
        reports: &Sender<Message>,
    ) -> Workers {
        let (tasks, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let worker = |_| {
            let (attempt, queue, reports) = (attempt.clone(), queue.clone(), reports.clone());
            thread::spawn(move || work(attempt, &queue, &reports))
        };
        Workers { tasks, threads: (0..WORKERS).map(worker).collect() }
    }

    pub(super) fn hand_out(&self, due: Due<Job>) {
        // The workers live as long as this.
        let _nobody_there = self.tasks.send(due);
    }

    /// Lets the workers end after the attempts that they are at; false when one is still at it after `patience`.
    pub(super) fn end(self, patience: Duration) -> bool {
        drop(self.tasks);
        let end = Instant::now() + patience;
        let at_work = |threads: &[JoinHandle<()>]| threads.iter().any(|thread| !thread.is_finished());
        while at_work(&self.threads) && Instant::now() < end {
            thread::sleep(PAUSE);
        }
        !at_work(&self.threads)
    }
}

/// A worker: attempts until there are no more tasks.
fn work(attempt: impl Fn(&Due<Job>) -> Outcome, queue: &Mutex<Receiver<Due<Job>>>, reports: &Sender<Message>) {
    loop {
        // One worker waits for a task while the others wait for their turn.
        let task = queue.lock().ok().and_then(|queue| queue.recv().ok());
        let Some(due) = task else { return };
        let outcome = catch_unwind(AssertUnwindSafe(|| attempt(&due))).unwrap_or_else(|panic| panicked(&*panic));
        if reports.send(Message::Ended(due.job.uuid, outcome)).is_err() {
            return;
        }
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Outcome {
    let message = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    Outcome::Hopeless(format!("a fault in virt-recontext: {}; please report it", message.unwrap_or("it panicked")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::disc::marker::Reason;
    use crate::context::domain::driver::Driver;

    #[test]
    fn an_attempt_that_panics_or_hangs_is_one_jobs_trouble() {
        let job = |name: &str| {
            let uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f".parse().unwrap();
            Due { job: Job::new(uuid, name, Driver::Qemu, Reason::Refresh, false), force: false, first: true }
        };
        let (hold, held) = channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let attempt = move |due: &Due<Job>| match due.job.name.as_str() {
            "panics" => panic!("index out of bounds"),
            "hangs" => Outcome::Busy(format!("{:?}", held.lock().unwrap().recv())),
            _ => Outcome::Unchanged,
        };
        let (to_us, messages) = channel();
        let workers = Workers::start(attempt, &to_us);
        workers.hand_out(job("hangs"));
        (0..2 * WORKERS).for_each(|_| workers.hand_out(job("panics")));
        (0..2 * WORKERS).for_each(|_| workers.hand_out(job("fine")));
        let (mut fine, mut panicked) = (0, 0);
        for _ in 0..4 * WORKERS {
            match messages.recv_timeout(Duration::from_secs(60)).unwrap() {
                Message::Ended(_, Outcome::Unchanged) => fine += 1,
                Message::Ended(_, Outcome::Hopeless(message)) => {
                    assert!(message.contains("index out of bounds"), "{message}");
                    panicked += 1;
                }
                _ => panic!("not what was attempted"),
            }
        }
        assert_eq!((fine, panicked), (2 * WORKERS, 2 * WORKERS));
        assert!(!workers.end(Duration::from_millis(20)), "one hangs");
        drop(hold);
    }
}
