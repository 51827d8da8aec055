//! A child process is attended in one way, whoever it is: what it says is limited in size, and it has a deadline. The
//! outcome is a value, which the caller words for its reader.
//!
//! There is more than one way to begin a child. The hook forks (`hook::supervise`), which only a process with one thread
//! may do. What has threads starts a program ([`program`]).

pub(crate) mod listen;
pub(crate) mod program;

use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use listen::{Heard, Stream, listen};

/// Between two looks whether a child has ended.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// What became of a child, when we turned away from it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// How much of what it says was heard. Even of one that has ended it may be a part: somebody whom it left may hold its
    /// output.
    pub heard: Heard,
    /// Whether it has ended. Only of one that was heard to the end, or until the deadline, is that looked at.
    pub ended: bool,
}

/// Listens to a child by its `streams` and waits for its end, until `end` at most. One that has ended is not reaped: its
/// number, and that of its process group, go to nobody else before the caller has done so.
pub(crate) fn attend(child: Pid, streams: &mut [Stream], end: Instant) -> io::Result<Outcome> {
    let heard = listen(streams, end)?;
    let ended = matches!(heard, Heard::All | Heard::Part) && has_ended_by(child, end)?;
    Ok(Outcome { heard, ended })
}

fn has_ended_by(child: Pid, end: Instant) -> io::Result<bool> {
    let mut pause = Duration::from_micros(20);
    loop {
        match waitid(Id::Pid(child), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT) {
            Ok(WaitStatus::StillAlive) => {}
            // EINVAL: by a signal that nix has no name for, a real-time one.
            Ok(_) | Err(Errno::EINVAL) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        sleep(pause.min(left));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Limits the address space of this process, and of those that it starts from now on, to `bytes` or as near to that as it
/// may. A limit of ours can be lifted again, by `u64::MAX`.
///
/// # Errors
/// When the system refuses; the limit is then as it was.
pub(crate) fn limit_memory(bytes: u64) -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_AS)?;
    setrlimit(Resource::RLIMIT_AS, bytes.min(hard), hard)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::pipe;
    use std::os::fd::AsFd;
    use std::process::{Child, Command};

    use super::*;

    fn start(program: &str, arguments: &[&str]) -> (Child, Pid) {
        let child = Command::new(program).args(arguments).spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        (child, pid)
    }

    #[test]
    fn one_that_has_closed_its_output_has_to_end_in_time() {
        let (mut child, pid) = start("sleep", &["1000"]);
        let nothing = File::open("/dev/null").unwrap();
        let mut streams = [Stream::new(nothing.as_fd(), 10)];
        assert_eq!(listen(&mut streams, Instant::now() + Duration::from_secs(60)).unwrap(), Heard::All);
        let end = Instant::now() + Duration::from_millis(20);
        let outcome = attend(pid, &mut streams, end).unwrap();
        assert_eq!(outcome, Outcome { heard: Heard::All, ended: false });
        assert!(Instant::now() >= end);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn one_that_has_ended_may_have_left_somebody_who_holds_its_output() {
        let (mut child, pid) = start("sh", &["-c", "exit 3"]);
        let outcome = attend(pid, &mut [], Instant::now() + Duration::from_secs(60)).unwrap();
        assert_eq!(outcome, Outcome { heard: Heard::All, ended: true });
        let (held, _open) = pipe().unwrap();
        let outcome = attend(pid, &mut [Stream::new(held.as_fd(), 10)], Instant::now()).unwrap();
        assert_eq!(outcome, Outcome { heard: Heard::Part, ended: true });
        // And it was not reaped.
        assert_eq!(child.wait().unwrap().code(), Some(3));
    }
}
