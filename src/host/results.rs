//! What programs printed last, for one VM or for the host: the helper writes it down, and the hook goes by it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::clock;
use crate::context::disc::facts::Facts;
use crate::context::disc::loss::{self, Grace, Lost, keep};

/// The last good results of programs, and which of them fail now.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    programs: BTreeMap<PathBuf, Good>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    failing: BTreeMap<PathBuf, Failing>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Good {
    facts: Facts,
    /// When it was printed, in hundredths of a second since 1970.
    at: u64,
    /// What of it was not printed then, but before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    lost: Lost,
}

/// How a program fails that is run now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Failing {
    /// When it failed first and last, in hundredths of a second since 1970.
    since: u64,
    tried: u64,
    pub why: String,
}

impl Failing {
    /// How long ago it was tried last, in seconds.
    pub(crate) fn age(&self) -> u64 {
        clock::seconds_since(self.tried)
    }
}

/// How a result compares with the one before.
pub(crate) struct News {
    /// JSON pointers to what is kept, because it was not printed.
    pub kept: Vec<String>,
    /// Whether that is the same as the last time.
    pub again: bool,
    /// JSON pointers to what was kept until now, and is gone.
    pub let_go: Vec<String>,
    /// Whether something was kept until now, and is printed again.
    pub back: bool,
    /// For how long the program had failed, in seconds.
    pub failed: Option<u64>,
}

impl Results {
    pub(crate) fn is_empty(&self) -> bool {
        self.programs.is_empty() && self.failing.is_empty()
    }

    /// The programs of which something is known.
    pub(crate) fn known(&self) -> impl Iterator<Item = &Path> {
        let never_good = self.failing.keys().filter(|program| !self.programs.contains_key(*program));
        self.programs.keys().chain(never_good).map(PathBuf::as_path)
    }

    /// The facts to go by: what the program printed last, with what it has lost and is kept.
    pub(crate) fn facts(&self, program: &Path) -> Option<&Facts> {
        self.programs.get(program).map(|good| &good.facts)
    }

    /// How long ago it last printed facts, in seconds.
    pub(crate) fn age(&self, program: &Path) -> Option<u64> {
        self.programs.get(program).map(|good| clock::seconds_since(good.at))
    }

    /// When it last printed facts, in hundredths of a second since 1970.
    #[cfg(feature = "libvirt")]
    pub(crate) fn printed_at(&self, program: &Path) -> Option<u64> {
        self.programs.get(program).map(|good| good.at)
    }

    /// How it fails, if it does.
    pub(crate) fn failing(&self, program: &Path) -> Option<&Failing> {
        self.failing.get(program)
    }

    /// JSON pointers to what it did not print last, and what is kept.
    pub(crate) fn lost(&self, program: &Path) -> Vec<&str> {
        self.programs.get(program).map(|good| good.lost.keys().map(String::as_str).collect()).unwrap_or_default()
    }

    /// Whether a program worked when it ran last, and lost nothing.
    pub(crate) fn is_good(&self, program: &Path) -> bool {
        self.failing(program).is_none() && self.lost(program).is_empty()
    }

    /// How a program stands, on one line: when it printed which facts, and what is wrong.
    pub(crate) fn line(&self, program: &Path) -> String {
        let lost = self.lost(program);
        let printed = self.facts(program).zip(self.age(program)).map(|(facts, age)| {
            let was_printed = |key: &&str| !lost.contains(&loss::pointer("", key).as_str());
            let keys: Vec<&str> = facts.keys().map(String::as_str).filter(was_printed).collect();
            let keys = if keys.is_empty() { "no facts".to_owned() } else { some(&keys) };
            format!("printed {age} s ago: {keys}")
        });
        let failing = self
            .failing(program)
            .map(|Failing { since, why, .. }| format!("has failed for {} s: {why}", clock::seconds_since(*since)));
        let lost = (!lost.is_empty()).then(|| format!("kept though it did not print it last: {}", some(&lost)));
        let parts: Vec<String> = [printed, failing, lost].into_iter().flatten().collect();
        format!("{}: {}", program.display(), parts.join("; "))
    }

    /// How long ago the youngest was printed, in seconds; `None` if none was.
    pub(crate) fn youngest(&self) -> Option<u64> {
        self.programs.values().map(|good| clock::seconds_since(good.at)).min()
    }

    /// A program printed `facts`. What it has lost is kept for `grace`, as far as all is no more than `most` bytes.
    pub(crate) fn works(&mut self, program: &Path, mut facts: Facts, grace: Duration, most: usize) -> News {
        let now = clock::now().0;
        let old = self.programs.remove(program);
        let lost = old.as_ref().map_or_else(Lost::new, |old| {
            let time = u64::try_from(grace.as_millis() / 10).unwrap_or(u64::MAX);
            keep(&mut facts, &old.facts, Grace { before: &old.lost, now, time, most })
        });
        let failed = self.failing.remove(program).map(|failing| clock::seconds_since(failing.since));
        let before = old.map(|old| old.lost).unwrap_or_default();
        let again = before.keys().eq(lost.keys());
        let shown = Value::Object(facts);
        let ended: Vec<String> = before.into_keys().filter(|key| !lost.contains_key(key)).collect();
        let (back, let_go): (Vec<_>, Vec<_>) = ended.into_iter().partition(|key| shown.pointer(key).is_some());
        let kept = lost.keys().cloned().collect();
        if let Value::Object(facts) = shown {
            self.programs.insert(program.to_owned(), Good { facts, at: now, lost });
        }
        News { kept, again, let_go, back: !back.is_empty(), failed }
    }

    /// A program failed; gives whether that is new.
    pub(crate) fn fails(&mut self, program: &Path, why: String) -> bool {
        let now = clock::now().0;
        let before = self.failing.remove(program);
        let is_new = before.is_none();
        let since = before.map_or(now, |before| before.since);
        self.failing.insert(program.to_owned(), Failing { since, tried: now, why });
        is_new
    }

    /// Forgets all programs but these.
    pub(crate) fn retain(&mut self, programs: &[PathBuf]) {
        self.programs.retain(|program, _| programs.contains(program));
        self.failing.retain(|program, _| programs.contains(program));
    }
}

/// The first of many names.
pub(crate) fn some(names: &[impl AsRef<str>]) -> String {
    const MOST: usize = 5;
    let first: Vec<&str> = names.iter().take(MOST).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(MOST) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
