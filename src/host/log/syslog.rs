//! Lines as syslog takes them, where there is no journal.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process;

use syslog::{Facility, LogFormat, Logger, LoggerBackend, Severity};

pub(super) struct Syslog {
    socket: PathBuf,
    logger: Option<Logger<LoggerBackend, Format>>,
}

/// RFC 3164 as the log's socket takes it, but for the time, which readers put to it themselves. They would take ours for the
/// local one, to know which costs more than the line. syslog's own formatter reads the description of a date anew for every line,
/// and is 60 KiB large.
struct Format {
    pid: u32,
}

impl LogFormat<String> for Format {
    fn format<W: Write>(&self, to: &mut W, severity: Severity, line: String) -> syslog::Result<()> {
        let priority = Facility::LOG_DAEMON as u8 | severity as u8;
        write!(to, "<{priority}>virt-recontext[{}]: {line}", self.pid).map_err(syslog::Error::Write)
    }
}

impl Syslog {
    pub(super) fn at(socket: PathBuf) -> Syslog {
        Syslog { socket, logger: None }
    }

    pub(super) fn take(&mut self, severity: Severity, line: String) {
        if self.logger.is_none() {
            self.logger = connect(&self.socket).ok();
        }
        if let Some(Logger { formatter, backend }) = &mut self.logger {
            let _lost_if_full = formatter.format(backend, severity, line);
        }
    }
}

fn connect(path: &Path) -> io::Result<Logger<LoggerBackend, Format>> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    Ok(Logger::new(LoggerBackend::Unix(socket), Format { pid: process::id() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_left_to_who_reads_the_log() {
        let mut line = Vec::new();
        Format { pid: 7 }.format(&mut line, Severity::LOG_ERR, "web: failed".to_owned()).unwrap();
        assert_eq!(line, b"<27>virt-recontext[7]: web: failed");
    }
}
