//! A VM in one line, as `NAME: STATE (REASON, disc GENERATION, current, read, SINCE): MESSAGE`, for whoever reads without a terminal or
//! asks for one VM. What is not known is left out; the manual page tells the form.

use super::age::ago;
use super::standing::{Standing, Word};
use crate::commands::vm::on_one_line;
use crate::host::clock;
use crate::host::receipt::judge::Receipt;
use crate::host::vm::state::with_times;

/// How much is told of each VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// What is wrong, or waits.
    Brief,
    /// All, but how long things took.
    Full,
    Verbose,
}

pub(super) fn line(standing: &Standing, extent: Extent, on_terminal: bool) -> String {
    let Standing { name, state, reason, generation, since, .. } = standing;
    // Where nothing has been tried there is nothing to be told of it.
    let generation = || generation.map_or("disc -".to_owned(), |generation| format!("disc {generation}"));
    let since = since.map(|since| match on_terminal && extent != Extent::Verbose {
        true => ago(clock::seconds_since(since.0)),
        false => since.to_string(),
    });
    let facts = [
        reason.map(|reason| reason.to_string()),
        reason.map(|_| generation()),
        Some(standing.disc_word()).filter(|word| *word != "-").map(str::to_owned),
        standing.read.map(|read| read.words().to_owned()),
        since,
    ];
    let facts = facts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let facts = if facts.is_empty() { facts } else { format!(" ({facts})") };
    let message = message(standing, extent).map(|message| format!(": {message}")).unwrap_or_default();
    on_one_line(&format!("{name}: {}{facts}{message}", state.text()))
}

/// What there is to say besides.
pub(super) fn message(standing: &Standing, extent: Extent) -> Option<String> {
    let Standing { state, message, took, rules, rules_trouble, .. } = standing;
    let (said, rules) = match (extent, state) {
        (Extent::Verbose, _) => (with_times(message, took.as_deref().unwrap_or_default()), rules),
        (Extent::Full, _) => (message.clone(), rules),
        (Extent::Brief, Word::Delivered) => (beyond_the_usual(message), rules_trouble),
        (Extent::Brief, Word::Rules) => (String::new(), rules_trouble),
        (Extent::Brief, _) => (message.clone(), rules_trouble),
    };
    let rules = rules.as_ref().map(|rules| format!("rules: {rules}"));
    let said = [Some(said), reading(standing, extent), rules].into_iter().flatten().filter(|said| !said.is_empty());
    Some(said.collect::<Vec<_>>().join("; ")).filter(|said| !said.is_empty())
}

/// What the guest has done with its disc.
fn reading(standing: &Standing, extent: Extent) -> Option<String> {
    let bytes = standing.read_bytes.map(|bytes| format!("{} KB", bytes.div_ceil(1000)));
    match (standing.read?, extent) {
        (Receipt::NotRead, Extent::Brief) => standing.is_unread().then(|| "the guest has not read it".to_owned()),
        (_, Extent::Brief) | (Receipt::Unknown, _) => None,
        (Receipt::NotRead, _) if standing.read_bytes == Some(0) => {
            Some("nothing has been read from its drive since it came".to_owned())
        }
        (Receipt::NotRead, _) => Some(format!(
            "the guest has looked at it since it came{}, and has not mounted it",
            bytes.map(|bytes| format!(" ({bytes})")).unwrap_or_default()
        )),
        (Receipt::Read, _) => {
            let seen = standing.read_seen.map(|seen| match extent {
                Extent::Verbose => format!(", first seen {seen}"),
                _ => format!(", first seen {}", ago(clock::seconds_since(seen.0))),
            });
            let bytes = bytes.map(|bytes| format!(" ({bytes})")).unwrap_or_default();
            Some(format!("the guest has read it{bytes}{}", seen.unwrap_or_default()))
        }
    }
}

/// What the message of a disc that was delivered says beyond where it is, and, where an older version has written it, how long
/// that took.
fn beyond_the_usual(message: &str) -> String {
    let is_usual = |part: &&str| {
        part.starts_with("in the drive ")
            || part.starts_with("in the new drive ")
            || part.ends_with(" selects it")
            || part.ends_with(" more devices can be plugged in")
            || (part.ends_with(" ms") && part.contains(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']))
    };
    message.split("; ").filter(|part| !is_usual(part)).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_disc_that_was_delivered_only_what_is_unusual_is_worth_a_word() {
        for usual in [
            "in the drive hdc",
            "in the drive sda by force",
            "in the drive since the start",
            "in the drive hdc; eject 0.2 ms, insert 0.1 ms; before that look 1.0 ms, make 3.2 ms",
            "[[select]] rule 1 selects it; in the new drive sdz, plugged in; 3 more devices can be plugged in",
        ] {
            assert_eq!(beyond_the_usual(usual), "", "{usual}");
        }
        assert_eq!(beyond_the_usual("in the drive hdc; facts.d/x: it failed; eject 0.2 ms"), "facts.d/x: it failed");
        assert_eq!(beyond_the_usual("the VM no longer asks for context"), "the VM no longer asks for context");
    }
}
