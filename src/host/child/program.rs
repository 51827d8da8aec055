//! A program as a child: in a session of its own, without a terminal, and with its own children it ends.

use std::io::{self, PipeReader, pipe};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, setsid};

use super::listen::Stream;
use super::{Outcome, attend, has_ended_by};

/// So long one that was killed is waited for.
const REAP: Duration = Duration::from_millis(500);

pub(crate) struct Ran {
    /// What became of it, before what was left of it was killed.
    pub outcome: Outcome,
    pub status: ExitStatus,
    pub output: Vec<u8>,
    /// How its stderr begins.
    pub stderr: Vec<u8>,
}

/// Runs `command`, which reads `stdin`, until `end`. It may print `max` bytes; of what it complains, `max_stderr` are kept. Nothing of it is
/// left afterwards but what has begun a session of its own.
pub(crate) fn run(command: Command, stdin: Stdio, end: Instant, max: usize, max_stderr: usize) -> Result<Ran> {
    let (mut child, output, stderr) = start(command, stdin).context("starting it")?;
    let leader = Pid::from_raw(child.id().cast_signed());
    let mut streams = [Stream::new(output.as_fd(), max), Stream::new(stderr.as_fd(), max_stderr).cut()];
    let outcome = attend(leader, &mut streams, end);
    // Whatever it left running; and before it is reaped, since from then on the number may be another group's.
    let _all_gone = killpg(leader, Signal::SIGKILL);
    // One that the kernel holds ends when that lets go of it, and whoever waited for it would be held as well.
    let ended = has_ended_by(leader, Instant::now() + REAP).context("waiting for its end")?;
    ensure!(
        ended,
        "it was killed and does not end: the kernel holds it, as it does when a disk or a server does not answer"
    );
    let status = child.wait().context("waiting for its end")?;
    let [output, stderr] = streams.map(Stream::said);
    Ok(Ran { outcome: outcome.context("reading its output")?, status, output, stderr })
}

/// The program, what it prints and what it complains.
fn start(mut command: Command, stdin: Stdio) -> io::Result<(Child, PipeReader, PipeReader)> {
    let ((output, its_stdout), (stderr, its_stderr)) = (pipe()?, pipe()?);
    command.stdin(stdin).stdout(its_stdout).stderr(its_stderr);
    // SAFETY: setsid is a plain system call, allowed between fork and exec. It takes the terminal away and makes a
    // process group, so that the program's own children end with it.
    unsafe { command.pre_exec(|| setsid().map(drop).map_err(io::Error::from)) };
    // Afterwards, with the command, our copies of the ends that it writes to are closed.
    command.spawn().map(|child| (child, output, stderr))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::super::listen::Heard;
    use super::*;

    fn sh(script: &str, time: Duration) -> Ran {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        run(command, Stdio::null(), Instant::now() + time, 100, 4).unwrap()
    }

    #[test]
    fn it_is_heard_and_its_end_is_known() {
        let ran = sh("echo said; echo complained >&2; exit 3", Duration::from_secs(60));
        assert_eq!((ran.output.as_slice(), ran.stderr.as_slice()), (b"said\n".as_slice(), b"comp".as_slice()));
        assert_eq!((ran.outcome, ran.status.code()), (Outcome { heard: Heard::All, ended: true }, Some(3)));
    }

    #[test]
    fn it_may_end_by_a_signal_without_a_name() {
        let ran = sh("kill -35 $$", Duration::from_secs(60));
        assert_eq!((ran.outcome, ran.status.signal()), (Outcome { heard: Heard::All, ended: true }, Some(35)));
    }

    #[test]
    fn it_is_killed_when_it_takes_or_says_too_much() {
        let ran = sh("sleep 1000", Duration::from_millis(20));
        assert_eq!((ran.outcome, ran.status.signal()), (Outcome { heard: Heard::Part, ended: false }, Some(9)));
        let ran = sh("while :; do echo more; done", Duration::from_secs(60));
        assert_eq!((ran.outcome.heard, ran.status.signal()), (Heard::TooMuch, Some(9)));
    }
}
