//! The system log, one line per event. It never blocks and never fails: without a log, or with one that does not
//! read, the line is lost and the work goes on.

use std::fmt::Display;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process;

use syslog::{Facility, LogFormat, Logger, LoggerBackend, Severity};

use super::paths::Host;

/// Longest line, in bytes.
const MAX_LINE: usize = 2_000;

pub(crate) struct Log {
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

impl Log {
    /// The log of `host`; lines go nowhere if there is none. It is opened for the first line.
    pub(crate) fn open(host: &Host) -> Log {
        Log { socket: host.log_socket(), logger: None }
    }

    /// What went as it should.
    pub(crate) fn info(&mut self, line: impl Display) {
        self.say(Severity::LOG_INFO, &line.to_string());
    }

    /// What went wrong and was got over, or waits.
    pub(crate) fn warning(&mut self, line: impl Display) {
        self.say(Severity::LOG_WARNING, &line.to_string());
    }

    /// What went wrong and needs somebody.
    pub(crate) fn error(&mut self, line: impl Display) {
        self.say(Severity::LOG_ERR, &line.to_string());
    }

    fn say(&mut self, severity: Severity, line: &str) {
        if self.logger.is_none() {
            self.logger = connect(&self.socket).ok();
        }
        if let Some(Logger { formatter, backend }) = &mut self.logger {
            let _lost_if_full = formatter.format(backend, severity, clean(line));
        }
    }
}

fn connect(path: &Path) -> io::Result<Logger<LoggerBackend, Format>> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    Ok(Logger::new(LoggerBackend::Unix(socket), Format { pid: process::id() }))
}

/// One line: names and messages from elsewhere cannot start another.
fn clean(line: &str) -> String {
    let mut clean: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.len() > MAX_LINE {
        clean.truncate((0..=MAX_LINE).rev().find(|&at| clean.is_char_boundary(at)).unwrap_or(0));
        clean.push('…');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line_of_bounded_length() {
        assert_eq!(clean("a\nb\tc"), "a b c");
        assert!(clean(&"ä".repeat(5_000)).len() <= MAX_LINE + 3);
    }

    #[test]
    fn the_time_is_left_to_who_reads_the_log() {
        let mut line = Vec::new();
        Format { pid: 7 }.format(&mut line, Severity::LOG_ERR, "web: failed".to_owned()).unwrap();
        assert_eq!(line, b"<27>virt-recontext[7]: web: failed");
    }
}
