//! What rules would change in a VM's XML, for a person: the lines before and after, with the rule.

use std::io::{self, Write};
use std::ops::Range;

use anyhow::{Result, anyhow};

use super::vm;
use crate::context::disc::marker::Reason;
use crate::context::domain::Domain;
use crate::context::domain::rewrite::apply;
use crate::context::domain::rules::{Change, Edit, Fault, Moved, To};
use crate::host::config::Config;
use crate::host::paths::Host;
use crate::host::rules::{self, Looking};

/// Shows what the rules of this host would do to the VM if it arrived now.
///
/// # Errors
/// When no rule would be applied, or it would be refused: with the reason.
pub(super) fn show(host: &Host, config: &Config, domain: &Domain, out: &mut impl Write) -> Result<()> {
    let files = rules::read(host, domain)?;
    let mut looking = Looking { host, config, domain };
    let rewritten = rules::apply(host, config, (domain, Reason::Migrate, To::Arriving), &files, &mut looking);
    match rewritten {
        Err(Fault::Refused(error)) => Err(error.context("it would be refused")),
        Err(Fault::Dropped(error)) => {
            Err(error.context("it would come as it is, since not all rules that fit can be applied"))
        }
        Ok(None) => {
            let line = match (files.is_empty(), domain.takes_part()) {
                (true, false) => "it takes no part, and no rule of this host is for such VMs too (vms = \"all\")",
                (true, true) => "no rule of this host is for it",
                (false, _) => "no rule would change anything",
            };
            Ok(writeln!(io::stderr(), "virt-recontext: {}: {line}", vm::on_one_line(&domain.name))?)
        }
        Ok(Some(rewritten)) => {
            diff(domain.xml, &rewritten.changes, out)?;
            for Moved { mac, by_link } in &rewritten.moved {
                let link = if *by_link { ", and its link goes down and up" } else { "" };
                writeln!(out, "# interface {mac}: on a new network; the disc says so{link}")?;
            }
            Ok(())
        }
    }
}

/// The lines that change, once each, with the rules that change them.
pub(super) fn diff(xml: &str, changes: &[Change], out: &mut impl Write) -> Result<()> {
    let mut hunks: Vec<(Range<usize>, Vec<&Change>)> = Vec::new();
    let mut changes: Vec<(Range<usize>, &Change)> =
        changes.iter().map(|change| (lines(xml, &change.edits), change)).collect();
    changes.sort_by_key(|(lines, _)| lines.start);
    for (lines, change) in changes {
        match hunks.last_mut() {
            Some((last, of)) if lines.start < last.end => {
                last.end = last.end.max(lines.end);
                of.push(change);
            }
            _ => hunks.push((lines, vec![change])),
        }
    }
    for (lines, changes) in hunks {
        for change in &changes {
            writeln!(out, "# {}: {}", change.rule, vm::on_one_line(&change.to_string()))?;
        }
        let before = xml.get(lines.clone()).unwrap_or_default();
        let within = |(at, new): &Edit| {
            Some((at.start.checked_sub(lines.start)?..at.end.checked_sub(lines.start)?, new.clone()))
        };
        let edits: Option<Vec<Edit>> = changes.iter().flat_map(|change| &change.edits).map(within).collect();
        let after = apply(before, edits.ok_or_else(|| anyhow!("an edit lies before its own line"))?)?;
        for (sign, text) in [("-", before), ("+", after.as_str())] {
            let shown = without_passwords(text);
            shown.split_terminator('\n').try_for_each(|line| writeln!(out, "{sign}{}", vm::on_one_line(line)))?;
        }
    }
    Ok(())
}

/// The text with no password of graphics in it, which stand on the same lines as what rules change.
fn without_passwords(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("passwd") {
        shown.push_str(before);
        shown.push_str("passwd");
        rest = behind;
        let value = behind.trim_start().strip_prefix('=').map(str::trim_start);
        let quote = value.and_then(|value| value.chars().next()).filter(|quote| matches!(quote, '\'' | '"'));
        if let (Some(value), Some(quote)) = (value, quote) {
            shown.push_str(&format!("={quote}...{quote}"));
            rest = value.get(1..).and_then(|value| value.split_once(quote)).map_or("", |(_, behind)| behind);
        }
    }
    shown + rest
}

/// The whole lines in which edits stand.
fn lines(xml: &str, edits: &[Edit]) -> Range<usize> {
    let start = edits.iter().map(|(at, _)| at.start).min().unwrap_or_default();
    let end = edits.iter().map(|(at, _)| at.end).max().unwrap_or_default();
    let before = xml.get(..start).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    let behind = xml.get(end..).and_then(|behind| behind.find('\n')).map_or(xml.len(), |newline| end + newline + 1);
    before..behind
}
