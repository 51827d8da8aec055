//! What was found in a directory: one line each, in the order in which it was found.

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::{Error, Result, bail};
use serde::{Deserialize, Serialize};

use super::Programs;
use super::candidate::Candidate;

/// So many faults of one disc are told.
const MOST: usize = 1000;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Finding {
    /// No disc could be made, or not the one that is meant.
    Error(String),
    Note(String),
    /// It may be good or bad, by what a program prints.
    NotJudged(String),
    /// On a host this would not be read, since others than root can write it.
    Loose(String),
}

#[derive(Debug, Default)]
pub(crate) struct Findings {
    all: Vec<Finding>,
    known: BTreeSet<Finding>,
    loose: Vec<String>,
}

impl Findings {
    pub(super) fn push(&mut self, finding: Finding) {
        if self.known.insert(finding.clone()) {
            match finding {
                Finding::Loose(path) => self.loose.push(path),
                other => self.all.push(other),
            }
        }
    }

    pub(super) fn knows(&self, finding: &Finding) -> bool {
        self.known.contains(finding)
    }

    pub(super) fn error(&mut self, message: impl ToString) {
        self.push(Finding::Error(message.to_string()));
    }

    pub(super) fn note(&mut self, message: impl ToString) {
        self.push(Finding::Note(message.to_string()));
    }

    /// Says with the paths that a person knows, and once, what was found in many places.
    pub(super) fn settle(&mut self, candidate: &Candidate, programs: &Programs) {
        if self.all.iter().any(|finding| matches!(finding, Finding::NotJudged(_)))
            && matches!(programs, Programs::NotRun)
        {
            self.note(
                "programs in facts.d are not run: --facts FILE says what they print, or --run-programs runs them",
            );
        }
        if let [first, others @ ..] = self.loose.as_slice() {
            let others = if others.is_empty() { String::new() } else { format!(", and of {} more", others.len()) };
            self.note(format!("{first}{others}; on a host, such files are not read"));
        }
        for finding in &mut self.all {
            let (Finding::Error(text) | Finding::Note(text) | Finding::NotJudged(text) | Finding::Loose(text)) =
                finding;
            *text = candidate.told(text);
        }
    }

    /// What was wrong `before` is not the fault of the files at `places`, unless it is about them. That one of them is not read
    /// is.
    pub(super) fn blame(&mut self, places: &[String], before: &Findings) {
        let names_one = |text: &str| places.iter().any(|place| text.contains(place.as_str()));
        let lies_in_unread = |text: &str| {
            let unread = text.split_once(" is not read; ").map(|(unread, _)| format!("{unread}/"));
            unread.is_some_and(|unread| places.iter().any(|place| place.starts_with(&unread)))
        };
        let was_so = |text: &str| before.errors().any(|error| essence(error) == essence(text));
        for finding in &mut self.all {
            *finding = match finding.clone() {
                Finding::Error(text) if !names_one(&text) && was_so(&text) => {
                    Finding::Note(format!("it is so already: {text}"))
                }
                Finding::Note(text) if names_one(&text) || lies_in_unread(&text) => Finding::Error(text),
                other => other,
            };
        }
    }

    fn errors(&self) -> impl Iterator<Item = &str> {
        self.all.iter().filter_map(|finding| match finding {
            Finding::Error(text) => Some(text.as_str()),
            _ => None,
        })
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    /// Writes one line a finding, and a last one with their numbers.
    pub(crate) fn write(&self, out: &mut impl Write) -> Result<()> {
        for finding in &self.all {
            let line = match finding {
                Finding::Error(text) => format!("error: {text}"),
                Finding::Note(text) | Finding::Loose(text) => format!("note: {text}"),
                Finding::NotJudged(text) => format!("note: not judged, since it may be what a program prints: {text}"),
            };
            writeln!(out, "{}", on_one_line(&line))?;
        }
        let errors = self.errors().count();
        let counted = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        writeln!(out, "{}, {}", counted(errors, "error"), counted(self.all.len() - errors, "note"))?;
        Ok(())
    }
}

/// A message without what stands in it for help, such as which facts there are instead.
fn essence(text: &str) -> &str {
    text.split_once("; ").map_or(text, |(begin, _)| begin)
}

/// Names from elsewhere cannot start a line of their own.
fn on_one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Faults of one disc, as many as are worth to be told.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) found: Vec<Finding>,
}

impl Faults {
    /// Notes a fault. Fails when it is one too many.
    pub(super) fn note(&mut self, fault: &Error) -> Result<()> {
        let finding = Finding::Error(format!("{fault:#}"));
        if self.found.last() == Some(&finding) {
            return Ok(());
        }
        if self.found.len() >= MOST {
            bail!("there are more than {MOST} faults, of which the others are not told");
        }
        self.found.push(finding);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_so_already_is_not_the_new_files_fault() {
        let mut before = Findings::default();
        before.error("the template d/context/a.j2, line 1: it uses facts.x, which is not defined; facts has a");
        before.error("reading d/config.toml: line 1: bad");
        let mut now = Findings::default();
        now.error("the template d/context/a.j2, line 1: it uses facts.x, which is not defined; facts has a, b");
        now.error("reading d/config.toml: line 1: bad");
        now.error("new");
        now.note("d/config.toml does not count");
        now.blame(&["d/config.toml".to_owned()], &before);
        let errors: Vec<&str> = now.errors().collect();
        assert_eq!(errors, ["reading d/config.toml: line 1: bad", "new", "d/config.toml does not count"]);
    }

    #[test]
    fn each_finding_is_told_once_and_on_one_line() {
        let mut findings = Findings::default();
        findings.error("a\nb");
        findings.error("a\nb");
        findings.note("c");
        let mut text = Vec::new();
        findings.write(&mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "error: a b\nnote: c\n1 error, 1 note\n");
    }
}
