//! Runs work in a child process that may crash, run out of memory or never end, without any harm to the caller.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::set_hook;
use std::slice;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, alarm, fork, pipe2};

use super::detach::stdio_to_null;
use super::stdin::MAX_XML;
use crate::host::child::listen::{Heard, Stream};
use crate::host::child::{Outcome, attend, limit_memory};

/// Memory that the work may use before it knows the configuration, in bytes.
pub(super) const MEMORY: u64 = 128 << 20;

/// Exit code of a child whose work panicked.
const PANICKED: i32 = 101;

/// Most that the work may say, in bytes. A reply is the XML with other values in it, or a sentence; there may be two.
const MOST: usize = 4 * MAX_XML;

/// So long one that is killed may take to die: it does nothing in it but what it was just asking the kernel for.
const DEATH: Duration = Duration::from_millis(100);

/// The work did not come to its end.
pub(super) struct Broke {
    pub said: Vec<u8>,
    /// What happened, for a person.
    pub how: String,
}

/// A part of what the work says, and until when that has to be whole.
pub(super) struct Stage {
    pub end: Instant,
    pub is_whole: fn(&[u8]) -> bool,
}

/// Runs `work` in a child and gives what it writes, as soon as that is whole, stage by stage. If the end of a stage comes
/// before, the child is killed. One that has said all does its last things alone: whoever waits for us need not wait for
/// those, nor for the kernel to take it apart, which takes a tenth of a millisecond.
///
/// The child has none of our pipes to libvirtd, so that even one that cannot be killed keeps nobody waiting.
pub(super) fn run(stages: &[Stage], work: impl FnOnce(&mut File)) -> Result<Vec<u8>, Broke> {
    let unheard = |how| Broke { said: Vec::new(), how };
    let Some(last) = stages.last() else { return Err(unheard("no time was given to it".to_owned())) };
    let (from_child, to_us) = pipe2(OFlag::O_CLOEXEC).map_err(|error| unheard(format!("making a pipe: {error}")))?;
    // SAFETY: this process has one thread, so the child finds every lock and the heap in a usable state.
    let child = match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            drop(from_child);
            in_child(to_us, last.end, work)
        }
        Ok(ForkResult::Parent { child }) => child,
        Err(error) => return Err(unheard(format!("starting a child process: {error}"))),
    };
    drop(to_us);
    let mut reply = Stream::new(from_child.as_fd(), MOST);
    for stage in stages {
        reply = reply.until(stage.is_whole);
        let outcome = attend(child, slice::from_mut(&mut reply), stage.end);
        if outcome.as_ref().is_ok_and(|outcome| outcome.heard == Heard::Whole) {
            continue;
        }
        // Harms no other process: one that has ended keeps its number until it is waited for.
        let _perhaps_ended = kill(child, Signal::SIGKILL);
        let how = how_it_broke(child, outcome);
        if stage.end < last.end {
            // What it said up to its death counts: it may have gone on in that very moment.
            reply = reply.until(|_| false);
            let _perhaps_not_to_be_killed =
                attend(child, slice::from_mut(&mut reply), last.end.min(Instant::now() + DEATH));
        }
        return Err(Broke { said: reply.said(), how });
    }
    Ok(reply.said())
}

fn how_it_broke(child: Pid, outcome: io::Result<Outcome>) -> String {
    match outcome {
        Ok(Outcome { ended: true, .. }) => how_it_ended(child),
        Ok(Outcome { heard: Heard::TooMuch, .. }) => {
            format!("the child process wrote more than {MOST} bytes and was killed")
        }
        Ok(_) => "the child process took too long and was killed".to_owned(),
        Err(error) => format!("waiting for the child process: {error}"),
    }
}

fn in_child(to_parent: OwnedFd, end: Instant, work: impl FnOnce(&mut File)) -> ! {
    set_hook(Box::new(|_| leave(PANICKED)));
    // Ends this process when nobody watches it any more: a second after the parent would have, so that it never comes first.
    let left = end.saturating_duration_since(Instant::now()).as_secs() + 2;
    alarm::set(u32::try_from(left).unwrap_or(u32::MAX));
    if stdio_to_null().is_err() {
        leave(102);
    }
    let _as_it_was = limit_memory(MEMORY);
    work(&mut File::from(to_parent));
    leave(0)
}

/// Ends this process at once, without running what the parent registered for its own end.
fn leave(code: i32) -> ! {
    // SAFETY: it takes a number and does not return.
    unsafe { libc::_exit(code) }
}

fn how_it_ended(child: Pid) -> String {
    match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::Exited(_, 0)) => "the child process ended without a reply".to_owned(),
        Ok(WaitStatus::Signaled(_, Signal::SIGABRT, _)) => {
            "the child process was aborted, as it is when it runs out of memory".to_owned()
        }
        Ok(WaitStatus::Signaled(_, signal, _)) => format!("the child process was killed by {signal}"),
        Ok(WaitStatus::Exited(_, PANICKED)) => "the child process panicked".to_owned(),
        Ok(_) => "the child process could not begin its work".to_owned(),
        Err(error) => format!("waiting for the child process: {}", io::Error::from(error)),
    }
}
