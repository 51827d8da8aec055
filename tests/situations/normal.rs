//! What differs from run to run, replaced by a word for it: times, numbers of discs, process ids, the temporary root.

use std::path::Path;

use super::site::{UUID, now};

/// Replaces what differs from run to run. One for each situation: it remembers the numbers of the discs, so that the
/// first that is seen is always G1, wherever it shows up again.
pub struct Normal {
    root: String,
    begin: u64,
    generations: Vec<u64>,
}

impl Normal {
    /// For the host below `root`.
    pub fn new(root: &Path) -> Normal {
        Normal { root: root.to_str().unwrap().to_owned(), begin: now(), generations: Vec::new() }
    }

    /// The text with words for what differs.
    pub fn text(&mut self, text: &str) -> String {
        let text = text.replace(&self.root, "ROOT").replace(UUID, "UUID");
        let text = after(&text, "\"id\":\"", |c| c.is_ascii_digit() || c == '-', |_| "ID".to_owned());
        let text = after(&text, "/.new-", |c| c.is_ascii_alphanumeric(), |_| "*".to_owned());
        let text = after(&text, " made in ", |c| c.is_ascii_digit() || c == '.', |_| "MS".to_owned());
        // Of every record; that it stands there is another test's.
        let text = text.replace("{\"version\":1,", "{");
        let window = self.begin..=now();
        let lies_within = |digits: &str| digits.parse().is_ok_and(|number: u64| window.contains(&number));
        let is_digit = |c: char| c.is_ascii_digit();
        let time = |digits: &str| if lies_within(digits) { "NOW".to_owned() } else { digits.to_owned() };
        let text = after(&text, "\"since\":", is_digit, time);
        let text = after(&text, "\"noted\":", is_digit, time);
        // The moment of making as text: 2026-11-23T04:05:06.78Z.
        let text = after(&text, "\"built_at\":\"", |c| is_digit(c) || "-T:.Z".contains(c), |_| "NOW".to_owned());
        let text = without_sum_of_marker(text);
        let generation = |digits: &str| match digits.parse() {
            Ok(number) if window.contains(&number) => {
                let known = self.generations.iter().position(|known| *known == number);
                let at = known.unwrap_or_else(|| {
                    self.generations.push(number);
                    self.generations.len() - 1
                });
                format!("G{}", at + 1)
            }
            _ => digits.to_owned(),
        };
        after(&text, "\"generation\":", is_digit, generation)
    }

    /// A line of the log as `severity: message`; its form is checked.
    pub fn log_line(&mut self, line: &str) -> String {
        // <PRI>virt-recontext[PID]: MESSAGE, RFC 3164 without the host's name as on /dev/log, and without a time.
        let parse = || {
            let (priority, rest) = line.strip_prefix('<')?.split_once('>')?;
            let (head, message) = rest.split_once("]: ")?;
            let proper = head.strip_prefix("virt-recontext[")?.parse::<u32>().is_ok();
            // The facility daemon is 3 × 8.
            let severity = match priority {
                "27" => "error",
                "28" => "warning",
                "30" => "info",
                _ => return None,
            };
            proper.then_some((severity, message))
        };
        let (severity, message) = parse().unwrap_or_else(|| panic!("not a line for the log: {line:?}"));
        format!("{severity}: {}", self.text(message))
    }
}

/// A line of `/recontext.sums` without the sum of the marker, which holds the moment of its making.
fn without_sum_of_marker(text: String) -> String {
    const MARKER: &str = "  recontext.json";
    let sum = || {
        let before = text.strip_suffix(MARKER)?;
        let (before, sum) = before.split_at_checked(before.len().checked_sub(64)?)?;
        sum.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| format!("{before}SUM{MARKER}"))
    };
    sum().unwrap_or(text)
}

/// Replaces what follows `key`, as long as `takes` holds, by what `by` makes of it.
fn after(text: &str, key: &str, takes: impl Fn(char) -> bool, mut by: impl FnMut(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(key) {
        let (before, behind) = rest.split_at(at + key.len());
        let end = behind.find(|c| !takes(c)).unwrap_or(behind.len());
        out += before;
        if end > 0 {
            out += &by(&behind[..end]);
        }
        rest = &behind[end..];
    }
    out + rest
}
