//! The system log, one line per event. It never blocks and never fails: without a log, or with one that does not
//! read, the line is lost and the work goes on.

use std::fmt::Display;
use std::os::unix::net::UnixDatagram;
use std::process;

use syslog::{Facility, Formatter3164, Logger, LoggerBackend};

use super::paths::Host;

/// Longest line, in bytes.
const MAX_LINE: usize = 2_000;

/// The system log of one host.
pub struct Log {
    logger: Option<Logger<LoggerBackend, Formatter3164>>,
}

impl Log {
    /// Opens the log; lines go nowhere if there is none.
    pub fn open(host: &Host) -> Log {
        let connect = || {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            socket.connect(host.log_socket())?;
            Ok::<_, std::io::Error>(socket)
        };
        let formatter = Formatter3164 {
            facility: Facility::LOG_DAEMON,
            hostname: None,
            process: "virt-recontext".to_owned(),
            pid: process::id(),
        };
        Log { logger: connect().ok().map(|socket| Logger::new(LoggerBackend::Unix(socket), formatter)) }
    }

    /// What went as it should.
    pub fn info(&mut self, line: impl Display) {
        if let Some(logger) = &mut self.logger {
            let _lost_if_full = logger.info(clean(&line.to_string()));
        }
    }

    /// What went wrong and was got over, or waits.
    pub fn warning(&mut self, line: impl Display) {
        if let Some(logger) = &mut self.logger {
            let _lost_if_full = logger.warning(clean(&line.to_string()));
        }
    }

    /// What went wrong and needs somebody.
    pub fn error(&mut self, line: impl Display) {
        if let Some(logger) = &mut self.logger {
            let _lost_if_full = logger.err(clean(&line.to_string()));
        }
    }
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
}
