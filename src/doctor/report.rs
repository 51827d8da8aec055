//! What was found: one line for each check, for a person or as JSON.

use std::fmt::{self, Display};
use std::io::Write;

use anyhow::Result;
use serde::Serialize;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Good,
    /// It works, or may work; somebody should look.
    Warning,
    /// VMs do not get their context, or soon will not.
    Bad,
}

impl Display for Level {
    /// The word for it that is in JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// One line. The names of the fields, of the checks and of the levels are promised: programs read them.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    vm: Option<String>,
    level: Level,
    message: String,
    remedy: Option<String>,
}

/// What a person reads besides what is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    Warnings,
    /// What is good, too.
    All,
}

/// All that was found, in the order of the checks, but that what stops all VMs comes first.
#[derive(Debug, Default)]
pub(crate) struct Report {
    findings: Vec<Finding>,
    /// How many of them, the first ones, stop all VMs.
    stopping: usize,
}

impl Report {
    /// What one check finds is said to this.
    pub(crate) fn check(&mut self, check: &'static str) -> Check<'_> {
        Check { report: self, check, vm: None, clean: true }
    }

    /// What is found about one VM is said to this.
    pub(crate) fn vm(&mut self, name: &str) -> Check<'_> {
        self.of_vm("vm", name)
    }

    /// What one check finds about one VM is said to this.
    pub(crate) fn of_vm(&mut self, check: &'static str, name: &str) -> Check<'_> {
        Check { report: self, check, vm: Some(name.to_owned()), clean: true }
    }

    pub(crate) fn has_bad(&self) -> bool {
        self.count(Level::Bad) > 0
    }

    /// Writes one line a finding, and a last one with their numbers: what is bad comes first. The rest is warnings, or all that is
    /// left in the order of the checks.
    pub(crate) fn write_text(&self, rest: Rest, out: &mut impl Write) -> Result<()> {
        let (bad, others): (Vec<&Finding>, Vec<&Finding>) =
            self.findings.iter().partition(|finding| finding.level == Level::Bad);
        let is_told = |finding: &&Finding| rest == Rest::All || finding.level == Level::Warning;
        for finding in bad.into_iter().chain(others.into_iter().filter(is_told)) {
            let Finding { check, vm, level, message, remedy } = finding;
            let whose = vm.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
            let remedy = remedy.as_ref().map(|remedy| format!(" -> {remedy}")).unwrap_or_default();
            let line = format!("{level}: {check}{whose}: {message}{remedy}");
            writeln!(out, "{}", one_line(&line))?;
        }
        let [good, warning, bad] = [Level::Good, Level::Warning, Level::Bad].map(|level| self.count(level));
        Ok(writeln!(out, "{good} good, {warning} warning, {bad} bad")?)
    }

    /// Writes a JSON array, one object a finding.
    pub(crate) fn write_json(&self, out: &mut impl Write) -> Result<()> {
        serde_json::to_writer_pretty(&mut *out, &self.findings)?;
        Ok(writeln!(out)?)
    }

    fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }
}

pub(crate) struct Check<'r> {
    report: &'r mut Report,
    check: &'static str,
    vm: Option<String>,
    clean: bool,
}

impl Check<'_> {
    pub(crate) fn is_clean(&self) -> bool {
        self.clean
    }

    pub(crate) fn good(&mut self, message: impl Display) {
        self.found(Level::Good, message, None);
    }

    pub(crate) fn warning(&mut self, message: impl Display, remedy: impl Display) {
        self.found(Level::Warning, message, Some(remedy.to_string()));
    }

    pub(crate) fn bad(&mut self, message: impl Display, remedy: impl Display) {
        self.found(Level::Bad, message, Some(remedy.to_string()));
    }

    /// VMs do not start, ours or not: it is the first thing to read.
    pub(crate) fn stops_all(&mut self, message: impl Display, remedy: impl Display) {
        self.bad(message, remedy);
        let (_others, later) = self.report.findings.split_at_mut(self.report.stopping);
        later.rotate_right(1);
        self.report.stopping += 1;
    }

    fn found(&mut self, level: Level, message: impl Display, remedy: Option<String>) {
        self.clean &= level == Level::Good;
        let (check, vm, message) = (self.check, self.vm.clone(), message.to_string());
        self.report.findings.push(Finding { check, vm, level, message, remedy });
    }
}

/// Names and messages from elsewhere cannot start a line of their own, or reach the terminal as more than text.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_is_one_line_and_its_remedy_is_told() {
        let mut report = Report::default();
        report.check("log").good("there is one");
        report.vm("a\nb").bad("no\tdrive", "add one");
        assert_eq!(
            text(&report, Rest::All),
            "bad: vm a b: no drive -> add one\ngood: log: there is one\n1 good, 0 warning, 1 bad\n"
        );
        assert!(report.has_bad());
    }

    fn text(report: &Report, rest: Rest) -> String {
        let mut text = Vec::new();
        report.write_text(rest, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn what_is_bad_comes_first_then_warnings_and_what_is_good_is_counted_unless_all_is_asked_for() {
        let mut report = Report::default();
        (0..1000).for_each(|_| report.check("rewrite").good("a rule"));
        report.check("log").warning("it is full", "empty it");
        report.vm("web").bad("no drive", "add one");
        let first = "bad: vm web: no drive -> add one\nwarning: log: it is full -> empty it\n";
        assert_eq!(text(&report, Rest::Warnings), format!("{first}1000 good, 1 warning, 1 bad\n"));
        let all = text(&report, Rest::All);
        let lines: Vec<&str> = all.lines().collect();
        assert!(lines.len() == 1003 && lines[0].starts_with("bad: ") && lines[1001].starts_with("warning: "));
    }

    #[test]
    fn what_stops_all_vms_comes_first_in_the_order_in_which_it_was_found() {
        let mut report = Report::default();
        report.check("hook").good("there is one");
        let mut check = report.check("apparmor");
        check.stops_all("a", "fix a");
        check.stops_all("b", "fix b");
        assert!(!check.is_clean());
        let found: Vec<&str> = report.findings.iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!(found, ["a", "b", "there is one"]);
        assert!(report.has_bad());
    }

    #[test]
    fn the_fields_of_json_stay_as_they_are_documented() {
        let mut report = Report::default();
        report.vm("web").warning("it waits", "look");
        let mut json = Vec::new();
        report.write_json(&mut json).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let wanted = r#"[{"check":"vm","vm":"web","level":"warning","message":"it waits","remedy":"look"}]"#;
        assert_eq!(json, serde_json::from_str::<serde_json::Value>(wanted).unwrap());
    }
}
