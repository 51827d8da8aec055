//! A composer for whoever looks at many discs and wants none: a fork of this process, with the limits of any composer. What
//! it may not do, such as loop through links or fill the memory, costs it its life, and this process a sentence.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::set_hook;
use std::slice;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::prctl::set_dumpable;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, alarm, dup2_stderr, fork, pipe2};

use super::process;
use super::serve::{address_space, limit_processor, memory};
use crate::host::child::listen::{Heard, Stream};
use crate::host::child::{attend, limit_memory};
use crate::host::config::Config;

/// Exit code of a child that has panicked.
const PANICKED: i32 = 101;

/// Most that it may write, in bytes.
const MOST: usize = 64 << 20;

/// The limits under which a disc is composed, which can be lifted for what is no part of that.
#[derive(Clone, Copy)]
pub(crate) struct Confined<'c> {
    config: &'c Config,
    begin: u64,
}

impl Confined<'_> {
    /// Has as much time of a processor as one disc may take, from now on, and as much memory.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn begin_disc(&self) -> Result<()> {
        limit_memory(self.begin.saturating_add(memory(self.config)))?;
        limit_processor(self.config)
    }

    /// Does `work`, which may be to start a program, without the limits.
    pub(crate) fn outside<T>(&self, work: impl FnOnce() -> T) -> Result<T> {
        limit_memory(u64::MAX)?;
        super::serve::lift_processor()?;
        let done = work();
        self.begin_disc()?;
        Ok(done)
    }
}

/// Does `work` in a fork, which takes so long at `most`, and gives what it has written and how it ended: when it has not come to
/// its end, with the limit that it went beyond. Only for a process with one thread.
pub(crate) fn apart(
    config: &Config,
    most: Duration,
    work: impl FnOnce(Confined, &mut File) -> Result<()>,
) -> (Vec<u8>, Result<()>) {
    let mut said = Vec::new();
    let ended = listen_apart(config, most, work, &mut said);
    (said, ended)
}

fn listen_apart(
    config: &Config,
    most: Duration,
    work: impl FnOnce(Confined, &mut File) -> Result<()>,
    said: &mut Vec<u8>,
) -> Result<()> {
    // Not for the programs that it starts: what they leave running would hold it.
    let (from_child, to_us) = pipe2(OFlag::O_CLOEXEC).context("making a pipe")?;
    // SAFETY: this process has one thread, so the child finds every lock and the heap in a usable state.
    let child = match unsafe { fork() }.context("starting a process that composes discs")? {
        ForkResult::Child => {
            drop(from_child);
            in_child(config, to_us, most, work)
        }
        ForkResult::Parent { child } => child,
    };
    drop(to_us);
    let mut stream = Stream::new(from_child.as_fd(), MOST);
    let outcome = attend(child, slice::from_mut(&mut stream), Instant::now() + most);
    *said = stream.said();
    // Harms no other process: one that has ended keeps its number until it is waited for.
    let _perhaps_ended = kill(child, Signal::SIGKILL);
    let outcome = outcome.context("waiting for the process that composes discs")?;
    ensure!(outcome.heard != Heard::TooMuch, "there is more to tell than {MOST} bytes");
    ensure!(outcome.ended, "composing the disc took longer than {} s and was ended", most.as_secs());
    match how_it_ended(child)? {
        None => Ok(()),
        Some(how) => bail!(how),
    }
}

fn in_child(
    config: &Config,
    to_parent: OwnedFd,
    most: Duration,
    work: impl FnOnce(Confined, &mut File) -> Result<()>,
) -> ! {
    set_hook(Box::new(|_| leave(PANICKED)));
    let _as_it_was = set_dumpable(false);
    // Ends this process when nobody watches it any more.
    alarm::set(u32::try_from(most.as_secs().saturating_add(2)).unwrap_or(u32::MAX));
    let confined = Confined { config, begin: address_space() };
    let done = || -> Result<()> {
        // Whoever runs out of memory says so there, and the parent says it better.
        dup2_stderr(OpenOptions::new().write(true).open("/dev/null")?)?;
        confined.begin_disc()?;
        work(confined, &mut File::from(to_parent))
    };
    leave(if done().is_ok() { 0 } else { 1 })
}

/// Ends this process at once, without writing once more what the parent has to write.
fn leave(code: i32) -> ! {
    // SAFETY: it takes a number and does not return.
    unsafe { libc::_exit(code) }
}

/// Why it did not come to its end, if so.
fn how_it_ended(child: Pid) -> Result<Option<String>> {
    Ok(match waitpid(child, Some(WaitPidFlag::WNOHANG)).map_err(io::Error::from)? {
        WaitStatus::Exited(_, 0) => None,
        WaitStatus::Exited(_, PANICKED) => {
            Some("composing the disc failed for a fault in virt-recontext; please report it".to_owned())
        }
        WaitStatus::Signaled(_, signal, _) => Some(process::why_killed(signal)),
        _ => Some("the process that composes discs could not do its work".to_owned()),
    })
}
