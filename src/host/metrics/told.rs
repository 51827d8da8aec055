//! What was told of trouble with metrics, so that it is told once, and not at each run of a timer. Where even that cannot be
//! written down, it is told each time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::host::paths::Host;
use crate::host::vm::record;

/// Trouble with the counters.
pub(super) const COUNTERS: &str = "counters";

/// For each kind of trouble the line that was told last.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Told {
    #[serde(default)]
    lines: BTreeMap<String, String>,
}

impl Told {
    fn known(host: &Host) -> Told {
        record::read(&host.metrics_told_file()).ok().flatten().and_then(Result::ok).unwrap_or_default()
    }

    fn write(&self, host: &Host) {
        let _told_again = record::write(&host.metrics_told_file(), self);
    }
}

/// Whether `line` is to be told: the last of this kind was another one, or trouble has been over since.
pub(super) fn is_news(host: &Host, kind: &str, line: &str) -> bool {
    let mut told = Told::known(host);
    let before = told.lines.insert(kind.to_owned(), line.to_owned());
    let is_news = before.as_deref() != Some(line);
    if is_news {
        told.write(host);
    }
    is_news
}

/// There is no trouble of this kind now.
pub(super) fn is_over(host: &Host, kind: &str) {
    let mut told = Told::known(host);
    if told.lines.remove(kind).is_some() {
        told.write(host);
    }
}
