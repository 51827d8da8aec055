//! The helper's workers: each makes one attempt after the other, as the coordinator hands them out.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender};

use super::attempt::Attempts;
use super::outcome::Outcome;
use crate::context::uuid::Uuid;
use crate::host::vm::job::Job;

pub(super) enum Message {
    Happened(Uuid),
    Ended(Job, Outcome),
}

pub(super) struct Task {
    pub job: Job,
    /// Whether the guest is made to let go of the old disc.
    pub force: bool,
}

/// A worker: attempts until there are no more tasks, or the daemon is gone.
pub(super) fn work(attempts: Attempts, queue: &Mutex<Receiver<Task>>, reports: &Sender<Message>) {
    loop {
        // One worker waits for a task while the others wait for their turn.
        let task = match queue.lock() {
            Ok(queue) => queue.recv(),
            Err(_) => return,
        };
        let Ok(Task { job, force }) = task else { return };
        let outcome = attempts.attempt(&job, force);
        if reports.send(Message::Ended(job, outcome)).is_err() {
            return;
        }
    }
}
