//! Runs work in a child process that may crash, run out of memory or never end, without any harm to the caller.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::set_hook;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, alarm, fork, pipe2};

use super::detach::stdio_to_null;

/// Memory that the work may use before it knows the configuration, in bytes.
pub const MEMORY: u64 = 128 << 20;

/// Exit code of a child whose work panicked.
const PANICKED: i32 = 101;

/// What became of the work.
pub enum Outcome {
    /// It said this, which is whole.
    Finished(Vec<u8>),
    /// It did not come to its end.
    Broke {
        /// What it had said until then.
        said: Vec<u8>,
        /// What happened, for a person.
        how: String,
    },
}

/// Runs `work` in a child and takes what it writes, until that `is_whole` or the child ends. If `end` comes before, the
/// child is killed. One that has said all does its last things alone: whoever waits for us need not wait for those, nor
/// for the kernel to take it apart, which takes a tenth of a millisecond.
///
/// The child has none of our pipes to libvirtd, so that even one that cannot be killed keeps nobody waiting.
pub fn run(end: Instant, is_whole: fn(&[u8]) -> bool, work: impl FnOnce(&mut File)) -> Outcome {
    let broke = |said, how| Outcome::Broke { said, how };
    let (from_child, to_us) = match pipe2(OFlag::O_CLOEXEC) {
        Ok(pipe) => pipe,
        Err(error) => return broke(Vec::new(), format!("making a pipe: {error}")),
    };
    // SAFETY: this process has one thread, so the child finds every lock and the heap in a usable state.
    let child = match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            drop(from_child);
            in_child(to_us, end, work)
        }
        Ok(ForkResult::Parent { child }) => child,
        Err(error) => return broke(Vec::new(), format!("starting a child: {error}")),
    };
    drop(to_us);
    let mut said = Vec::new();
    let listened = listen(from_child, &mut said, is_whole, end);
    if is_whole(&said) {
        return Outcome::Finished(said);
    }
    let how = match listened.and_then(|()| reap(child, end)) {
        Ok(Some(WaitStatus::Exited(_, 0))) => "the work ended without a reply".to_owned(),
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

fn in_child(to_parent: OwnedFd, end: Instant, work: impl FnOnce(&mut File)) -> ! {
    set_hook(Box::new(|_| leave(PANICKED)));
    // Ends this process when nobody watches it any more: a second after the parent would have, so that it never comes first.
    let left = end.saturating_duration_since(Instant::now()).as_secs() + 2;
    alarm::set(u32::try_from(left).unwrap_or(u32::MAX));
    if stdio_to_null().is_err() {
        leave(102);
    }
    set_memory_limit(MEMORY);
    work(&mut File::from(to_parent));
    leave(0)
}

/// Ends this process at once, without running what the parent registered for its own end.
fn leave(code: i32) -> ! {
    // SAFETY: it takes a number and does not return.
    unsafe { libc::_exit(code) }
}

/// Reads until all is said or the child closes its end. `Ok` also when the deadline comes first: [`reap`] then tells.
fn listen(from_child: OwnedFd, said: &mut Vec<u8>, is_whole: fn(&[u8]) -> bool, end: Instant) -> io::Result<()> {
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
        if is_whole(said) {
            return Ok(());
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
