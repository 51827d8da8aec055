//! The log, one line per event: in journald's own form where its socket takes the line, or else in syslog's. It never blocks and
//! never fails: without a log, or with one that does not read, the line is lost and the work goes on.

mod event;
mod journal;
mod subject;
mod syslog;

pub(crate) use self::event::Event;
pub(crate) use self::subject::Subject;

use std::fmt::Display;

use ::syslog::Severity;

use self::journal::Journal;
use self::syslog::Syslog;
use super::paths::Host;

/// Longest line, in bytes.
const MAX_LINE: usize = 2_000;

pub(crate) struct Log {
    sinks: Sinks,
    /// What every line is about that says nothing else.
    pub subject: Subject,
}

/// Where lines go.
struct Sinks {
    journal: Journal,
    syslog: Syslog,
}

/// A line that is about to be said, and what there is to know of it.
pub(crate) struct Line<'l> {
    sinks: &'l mut Sinks,
    event: Option<Event>,
    subject: Subject,
}

impl Log {
    /// The log of `host`; lines go nowhere if there is none. It is opened for the first line.
    pub(crate) fn open(host: &Host) -> Log {
        Log::of(host, Subject::default())
    }

    /// The same, if all lines are about one VM.
    pub(crate) fn of(host: &Host, subject: Subject) -> Log {
        let sinks = Sinks { journal: Journal::at(host.journal_socket()), syslog: Syslog::at(host.log_socket()) };
        Log { sinks, subject }
    }

    /// A line about something that people act on.
    pub(crate) fn event(&mut self, event: Event) -> Line<'_> {
        Line { event: Some(event), ..self.line() }
    }

    /// A line about a VM.
    pub(crate) fn about(&mut self, subject: Subject) -> Line<'_> {
        Line { subject, ..self.line() }
    }

    /// What went as it should.
    pub(crate) fn info(&mut self, line: impl Display) {
        self.line().info(line);
    }

    /// What went wrong and was got over, or waits.
    pub(crate) fn warning(&mut self, line: impl Display) {
        self.line().warning(line);
    }

    /// What went wrong and needs somebody.
    pub(crate) fn error(&mut self, line: impl Display) {
        self.line().error(line);
    }

    fn line(&mut self) -> Line<'_> {
        Line { sinks: &mut self.sinks, event: None, subject: self.subject.clone() }
    }
}

impl Line<'_> {
    pub(crate) fn event(self, event: Event) -> Self {
        Line { event: Some(event), ..self }
    }

    /// As [`Log::info`].
    pub(crate) fn info(self, line: impl Display) {
        self.say(Severity::LOG_INFO, &line.to_string());
    }

    /// As [`Log::warning`].
    pub(crate) fn warning(self, line: impl Display) {
        self.say(Severity::LOG_WARNING, &line.to_string());
    }

    /// As [`Log::error`].
    pub(crate) fn error(self, line: impl Display) {
        self.say(Severity::LOG_ERR, &line.to_string());
    }

    fn say(self, severity: Severity, line: &str) {
        let Line { sinks: Sinks { journal, syslog }, event, subject } = self;
        let line = clean(line);
        if journal.take(severity, &line, event, &subject).is_err() {
            syslog.take(severity, line);
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
