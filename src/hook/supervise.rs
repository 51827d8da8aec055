//! Runs work in a child process that may crash, run out of memory or never end, without any harm to the caller.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::set_hook;
use std::slice;
use std::time::Instant;

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

/// The work did not come to its end.
pub(super) struct Broke {
    pub said: Vec<u8>,
    /// What happened, for a person.
    pub how: String,
}

/// Runs `work` in a child and gives what it writes, which `is_whole`, as soon as it is. If `end` comes before, the child is
/// killed. One that has said all does its last things alone: whoever waits for us need not wait for those, nor for the
/// kernel to take it apart, which takes a tenth of a millisecond.
///
/// The child has none of our pipes to libvirtd, so that even one that cannot be killed keeps nobody waiting.
pub(super) fn run(end: Instant, is_whole: fn(&[u8]) -> bool, work: impl FnOnce(&mut File)) -> Result<Vec<u8>, Broke> {
    let unheard = |how| Broke { said: Vec::new(), how };
    let (from_child, to_us) = pipe2(OFlag::O_CLOEXEC).map_err(|error| unheard(format!("making a pipe: {error}")))?;
    // SAFETY: this process has one thread, so the child finds every lock and the heap in a usable state.
    let child = match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            drop(from_child);
            in_child(to_us, end, work)
        }
        Ok(ForkResult::Parent { child }) => child,
        Err(error) => return Err(unheard(format!("starting a child process: {error}"))),
    };
    drop(to_us);
    let mut reply = Stream::new(from_child.as_fd(), MOST).until(is_whole);
    let outcome = attend(child, slice::from_mut(&mut reply), end);
    if outcome.as_ref().is_ok_and(|outcome| outcome.heard == Heard::Whole) {
        return Ok(reply.said());
    }
    // Harms no other process: one that has ended keeps its number until it is waited for.
    let _perhaps_ended = kill(child, Signal::SIGKILL);
    let how = match outcome {
        Ok(Outcome { ended: true, .. }) => how_it_ended(child),
        Ok(Outcome { heard: Heard::TooMuch, .. }) => {
            format!("the child process wrote more than {MOST} bytes and was killed")
        }
        Ok(_) => "the child process took too long and was killed".to_owned(),
        Err(error) => format!("waiting for the child process: {error}"),
    };
    Err(Broke { said: reply.said(), how })
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
