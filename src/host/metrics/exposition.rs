//! All metrics as a text. Their names and labels are promised: dashboards and alerts go by them. No label has a VM's name: VMs
//! come and go, and each would stay in Prometheus' database for years.

use std::collections::BTreeSet;

use anyhow::Result;

use super::counters::{Counted, Counters};
use super::recorded::Recorded;
use super::refreshed;
use super::text::Kind::{Counter, Gauge, Summary};
use super::text::Value::{Hundredths, Number};
use super::text::{Family, Text};
use crate::context::disc::marker::Reason;
use crate::host::paths::Host;

const BUILD: Family = Family {
    name: "virt_recontext_build_info",
    kind: Gauge,
    help: "Always 1; the version of virt-recontext is a label.",
};
const DISCS: Family = Family {
    name: "virt_recontext_discs",
    kind: Gauge,
    help: "Context discs of VMs that run here, by what became of them.",
};
const OLDEST: Family = Family {
    name: "virt_recontext_oldest_waiting_timestamp_seconds",
    kind: Gauge,
    help: "Since when the disc waits that has waited longest; not there if none does.",
};
const DELIVERIES: Family = Family {
    name: "virt_recontext_deliveries_total",
    kind: Counter,
    help: "Discs that the helper has delivered, by what for, and whether the guest was asked or forced to let go of the old one.",
};
const FAILURES: Family = Family {
    name: "virt_recontext_failures_total",
    kind: Counter,
    help: "Deliveries that the helper has given up, by what for.",
};
const TIME: Family = Family {
    name: "virt_recontext_delivery_seconds",
    kind: Summary,
    help: "Time from when a disc was asked for, or its VM began to arrive, until it was delivered.",
};
const WORKS: Family = Family {
    name: "virt_recontext_facts_program_success",
    kind: Gauge,
    help: "Whether a program for facts worked when it ran last; those of single VMs are together domains.",
};
const WORKED: Family = Family {
    name: "virt_recontext_facts_program_last_success_timestamp_seconds",
    kind: Gauge,
    help: "When a program for facts last worked; not there if it never did.",
};
const REWRITES: Family = Family {
    name: "virt_recontext_rewrites",
    kind: Gauge,
    help: "VMs that run here whose XML rules have changed, or could not change.",
};
const REFRESH: Family = Family {
    name: "virt_recontext_last_refresh_timestamp_seconds",
    kind: Gauge,
    help: "When the last refresh of all VMs ended; 0 if none has since the host was started.",
};

/// What is recorded now.
///
/// # Errors
/// When it cannot be read. Counters that are damaged begin at 0 instead, as they do when the helper counts next.
pub(crate) fn exposition(host: &Host) -> Result<String> {
    let recorded = Recorded::read(host)?;
    let mut text = Text::default();
    text.add(BUILD, [("", vec![("version", env!("CARGO_PKG_VERSION"))], Number(1))]);
    let of_state = |(state, discs)| ("", vec![("state", state)], Number(discs));
    let discs = [
        ("delivered", recorded.delivered),
        ("waiting", recorded.waiting),
        ("until-next-start", recorded.until_next_start),
        ("failed", recorded.failed),
    ];
    text.add(DISCS, discs.map(of_state));
    text.add(OLDEST, recorded.oldest_waiting.map(|since| ("", Vec::new(), Hundredths(since))));
    add_counters(&mut text, &Counters::known(host).unwrap_or_default());
    let programs = || recorded.programs.iter().map(|(name, program)| (vec![("program", name.as_str())], program));
    text.add(WORKS, programs().map(|(label, program)| ("", label, Number(program.works.into()))));
    let worked = programs().filter_map(|(label, program)| Some(("", label, Hundredths(program.last?))));
    text.add(WORKED, worked);
    text.add(REWRITES, [("applied", recorded.rewritten), ("failed", recorded.not_rewritten)].map(of_state));
    text.add(REFRESH, [("", Vec::new(), Hundredths(refreshed::last(host).unwrap_or_default()))]);
    Ok(text.end())
}

/// Each begins at 0 and is there from the beginning, so that its first increase is one.
fn add_counters(text: &mut Text, counters: &Counters) {
    let known: Vec<String> = Reason::ALL.iter().map(Reason::to_string).collect();
    let reasons: BTreeSet<&str> = known.iter().chain(counters.reasons.keys()).map(String::as_str).collect();
    let all: Vec<(&str, Counted)> =
        reasons.into_iter().map(|reason| (reason, counters.reasons.get(reason).copied().unwrap_or_default())).collect();
    let deliveries = all.iter().flat_map(|(reason, counted)| {
        [("asked", counted.asked), ("forced", counted.forced)]
            .map(|(way, number)| ("", vec![("reason", *reason), ("way", way)], Number(number)))
    });
    text.add(DELIVERIES, deliveries);
    text.add(FAILURES, all.iter().map(|(reason, counted)| ("", vec![("reason", *reason)], Number(counted.failed))));
    let times = all.iter().flat_map(|(reason, counted)| {
        [("_sum", Hundredths(counted.time)), ("_count", Number(counted.timed))]
            .map(|(more, value)| (more, vec![("reason", *reason)], value))
    });
    text.add(TIME, times);
}
