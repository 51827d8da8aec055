//! Runs work in a child process that may crash, run out of memory or never end, without any harm to the caller.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe2};

use super::detach::stdio_to_null;

/// Memory that the work may use before it knows the configuration, in bytes.
pub const MEMORY: u64 = 128 << 20;

/// Exit code of a child whose work panicked.
const PANICKED: i32 = 101;

/// What became of the work.
pub enum Outcome {
    /// It came to its end and said this.
    Finished(Vec<u8>),
    /// It did not come to its end.
    Broke {
        /// What it had said until then.
        said: Vec<u8>,
        /// What happened, for a person.
        how: String,
    },
}

/// Runs `work` in a child and takes what it writes, until the child ends or `end` comes; then it is killed.
///
/// The child has none of our pipes to libvirtd, so that even one that cannot be killed keeps nobody waiting.
pub fn run(end: Instant, work: impl FnOnce(&mut File)) -> Outcome {
    let broke = |said, how| Outcome::Broke { said, how };
    let (from_child, to_us) = match pipe2(OFlag::O_CLOEXEC) {
        Ok(pipe) => pipe,
        Err(error) => return broke(Vec::new(), format!("making a pipe: {error}")),
    };
    // SAFETY: this process has one thread, so the child finds every lock and the heap in a usable state.
    let child = match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            drop(from_child);
            in_child(to_us, work)
        }
        Ok(ForkResult::Parent { child }) => child,
        Err(error) => return broke(Vec::new(), format!("starting a child: {error}")),
    };
    drop(to_us);
    let mut said = Vec::new();
    let how = match listen(from_child, &mut said, end).and_then(|()| reap(child, end)) {
        Ok(Some(WaitStatus::Exited(_, 0))) => return Outcome::Finished(said),
        Ok(Some(WaitStatus::Signaled(_, Signal::SIGABRT, _))) => {
            "the work was aborted, perhaps for lack of memory".to_owned()
        }
        Ok(Some(WaitStatus::Signaled(_, signal, _))) => format!("the work was killed by {signal}"),
        Ok(Some(WaitStatus::Exited(_, PANICKED))) => "the work panicked".to_owned(),
        Ok(Some(_)) => "the work could not begin".to_owned(),
        Ok(None) => "the work took too long and was stopped".to_owned(),
        Err(error) => format!("waiting for the work: {error}"),
    };
    let _gone_already = kill(child, Signal::SIGKILL);
    broke(said, how)
}

fn in_child(to_parent: OwnedFd, work: impl FnOnce(&mut File)) -> ! {
    let code = match stdio_to_null() {
        Ok(()) => {
            set_memory_limit(MEMORY);
            let mut out = File::from(to_parent);
            catch_unwind(AssertUnwindSafe(|| work(&mut out))).map_or(PANICKED, |()| 0)
        }
        Err(_) => 102,
    };
    // SAFETY: ends this process at once, without running what the parent registered for its own end.
    unsafe { libc::_exit(code) }
}

/// Reads until the child closes its end. `Ok` also when the deadline comes first: [`reap`] then tells.
fn listen(from_child: OwnedFd, said: &mut Vec<u8>, end: Instant) -> io::Result<()> {
    let mut from_child = File::from(from_child);
    let mut chunk = [0; 1 << 14];
    loop {
        let mut ready = [PollFd::new(from_child.as_fd(), PollFlags::POLLIN)];
        let left = PollTimeout::try_from(end.saturating_duration_since(Instant::now())).map_err(io::Error::other)?;
        match poll(&mut ready, left) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let read = from_child.read(&mut chunk)?;
        match chunk.get(..read) {
            None | Some([]) => return Ok(()),
            Some(more) => said.extend_from_slice(more),
        }
    }
}

/// How the child ended; `None` when it has not by the deadline.
fn reap(child: Pid, end: Instant) -> io::Result<Option<WaitStatus>> {
    let mut pause = Duration::from_micros(20);
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) if Instant::now() >= end => return Ok(None),
            Ok(WaitStatus::StillAlive) => sleep(pause),
            Ok(status) => return Ok(Some(status)),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// Limits the memory of this process; the helper, started from it, lifts the limit again.
pub fn set_memory_limit(bytes: u64) {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_AS) {
        let _as_it_was = setrlimit(Resource::RLIMIT_AS, bytes.min(hard), hard);
    }
}
