//! One composer, as whoever asks it sees it: a child process at the other end of a socket.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use super::VERB;
use super::order::{Answer, Order, receive, send};
use super::serve::PROCESSOR;

/// A disc takes milliseconds. Longer than this takes what cannot go on, such as reading from a server that is gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// So long a composer that was killed is waited for; one that the kernel holds is left alone.
const REAP: Duration = Duration::from_millis(500);

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Because of what was to be composed; it would be so again.
    Order(String),
    /// For a reason that has nothing to do with that, as far as is known.
    Composer(String),
}

pub(super) struct Composer {
    process: Child,
    socket: UnixStream,
}

impl Composer {
    /// Starts one. Its libraries are linked while we do other things.
    pub(super) fn start() -> Result<Composer> {
        let (socket, its_socket) = UnixStream::pair().context("making a socket for a composer")?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        // Under this name the program is found even if it has been replaced by a newer one.
        let mut command = Command::new("/proc/self/exe");
        command.arg(VERB).stdin(std::os::fd::OwnedFd::from(its_socket)).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.process_group(0).spawn().context("starting a composer")?;
        Ok(Composer { process, socket })
    }

    /// Has one disc composed. After a fault this composer is of no use any more.
    pub(super) fn ask(&mut self, order: &Order) -> Result<Answer, Fault> {
        let asked = send(&mut self.socket, order).and_then(|()| receive(&mut self.socket));
        match asked {
            Ok(Some(answer)) => Ok(answer),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(Fault::Order(format!("composing the disc took longer than {} s and was ended", PATIENCE.as_secs())))
            }
            Ok(None) | Err(_) => Err(self
                .ended()
                .map_or_else(|| Fault::Composer("the process that composes discs does not answer".to_owned()), fault)),
        }
    }

    /// How it ended, once it has.
    fn ended(&mut self) -> Option<ExitStatus> {
        let end = Instant::now() + REAP;
        loop {
            match self.process.try_wait() {
                Ok(None) if Instant::now() < end => sleep(Duration::from_millis(1)),
                ended => return ended.unwrap_or_default(),
            }
        }
    }
}

impl Drop for Composer {
    fn drop(&mut self) {
        let _perhaps_ended = self.process.kill();
        self.ended();
    }
}

fn fault(status: ExitStatus) -> Fault {
    let signal = status.signal().and_then(|signal| Signal::try_from(signal).ok());
    match signal {
        Some(signal @ (Signal::SIGXCPU | Signal::SIGABRT)) => Fault::Order(why_killed(signal)),
        Some(signal @ (Signal::SIGKILL | Signal::SIGTERM)) => Fault::Composer(why_killed(signal)),
        _ => Fault::Order(format!(
            "composing the disc failed for a fault in virt-recontext ({status}); please report it"
        )),
    }
}

/// What a composer has done that was killed by this signal.
pub(super) fn why_killed(signal: Signal) -> String {
    match signal {
        Signal::SIGXCPU => format!(
            "composing the disc takes more than {PROCESSOR} s of a processor's time, or for a large limits.disc_size than a \
             second for each 64 MiB; simpler templates, or fewer, help"
        ),
        Signal::SIGABRT => "composing the disc takes more memory than 128 MiB and twice limits.disc_size".to_owned(),
        Signal::SIGKILL | Signal::SIGTERM => "the process that composes discs was killed".to_owned(),
        other => format!("composing the disc failed for a fault in virt-recontext ({other}); please report it"),
    }
}
