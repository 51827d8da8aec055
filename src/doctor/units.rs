//! The units that bring new data of this host to running VMs: are they at work, and did the last refresh end well?

use super::report::{Check, Report};
use super::systemd;
use crate::context::moment::Moment;
use crate::host::paths::Host;

/// What starts a refresh, and what that is for.
const STARTERS: [(&str, &str); 2] = [
    ("virt-recontext-refresh.path", "changes of this host's data"),
    ("virt-recontext-refresh.timer", "what programs in facts.d print"),
];

/// Notices changes, for the first of the starters, which starts it.
const NOTICES: &str = "virt-recontext-changed.path";

/// Those that watch a store, each for a program in `facts.d/host`.
const WATCHERS: &str = "virt-recontext-watch@*.service";

const REFRESH: &str = "virt-recontext-refresh.service";

pub(super) fn check(host: &Host, report: &mut Report) {
    let check = &mut report.check("units");
    let by_hand = "\"virt-recontext refresh --all\" brings new data to running VMs";
    if !host.systemd_dir().is_dir() {
        return check.good(format_args!("systemd does not run this host; {by_hand}"));
    }
    let mut at_work: Vec<String> = Vec::new();
    let mut missing = 0;
    for (unit, what) in STARTERS {
        match standing(unit) {
            None => {
                return check.warning(
                    format_args!("systemctl does not tell of {unit}"),
                    format_args!("systemctl status {unit}"),
                );
            }
            Some(Standing::Missing) => missing += 1,
            // Whoever masks a unit does not want it.
            Some(Standing::Masked) => {}
            Some(Standing::AtWork) => at_work.push(unit.to_owned()),
            Some(Standing::Failed) => failed(unit, what, check),
            Some(Standing::Idle { enabled: true }) => check.warning(
                format_args!("{unit} is enabled, and not at work: {what} reach no running VM by themselves"),
                format_args!("systemctl start {unit}"),
            ),
            Some(Standing::Idle { enabled: false }) => check.warning(
                format_args!("{unit} is not enabled: {what} reach no running VM by themselves"),
                format_args!("systemctl enable --now {unit}; or systemctl mask {unit}, if that is meant"),
            ),
        }
    }
    if missing == STARTERS.len() {
        return check.good(format_args!("none of ours is installed; {by_hand}"));
    }
    let [(starter, what), _] = STARTERS;
    if at_work.iter().any(|unit| unit == starter) {
        match standing(NOTICES) {
            Some(Standing::AtWork) => {}
            Some(Standing::Failed) => failed(NOTICES, what, check),
            _ => check.warning(
                format_args!("{NOTICES} is not at work: {what} reach no running VM by themselves"),
                format_args!("systemctl restart {starter}"),
            ),
        }
    }
    at_work.extend(watchers(check));
    let last = last_refresh(check);
    if check.is_clean() {
        let at_work = if at_work.is_empty() { "none, as all are masked".to_owned() } else { at_work.join(", ") };
        check.good(format_args!("at work: {at_work}; {last}"));
    }
}

enum Standing {
    Missing,
    Masked,
    AtWork,
    Failed,
    Idle { enabled: bool },
}

/// How a unit stands; `None` if systemd does not tell.
fn standing(unit: &str) -> Option<Standing> {
    let [load, active, file] = systemd::show(unit, ["LoadState", "ActiveState", "UnitFileState"])?;
    Some(match (load.as_str(), active.as_str()) {
        ("not-found", _) => Standing::Missing,
        (_, "failed") => Standing::Failed,
        (_, "active" | "activating" | "reloading") => Standing::AtWork,
        ("masked", _) => Standing::Masked,
        _ => Standing::Idle { enabled: file.starts_with("enabled") },
    })
}

fn failed(unit: &str, what: &str, check: &mut Check) {
    check.bad(
        format_args!("{unit} has failed: {what} reach no running VM by themselves"),
        format_args!("systemctl reset-failed {unit} && systemctl start {unit}"),
    );
}

/// Tells of watchers that are not at work though they are to be; gives those that are.
fn watchers(check: &mut Check) -> Vec<String> {
    let properties = ["Id", "ActiveState", "SubState", "Result", "UnitFileState"];
    let mut at_work = Vec::new();
    for [unit, active, sub, result, file] in systemd::show_all(WATCHERS, properties).unwrap_or_default() {
        let what = "changes in its store reach running VMs only when the next refresh does";
        let why = format!("journalctl -u {unit} says why");
        match (active.as_str(), sub.as_str()) {
            ("failed", _) => check.warning(format_args!("{unit} has failed ({result}): {what}"), why),
            // It is started again for ever.
            ("activating", "auto-restart") if result != "success" => {
                check.warning(format_args!("{unit} fails each time that it is started ({result}): {what}"), why);
            }
            ("active" | "activating" | "reloading", _) => at_work.push(unit),
            _ if file.starts_with("enabled") => check.warning(
                format_args!("{unit} is enabled, and not at work: {what}"),
                format_args!("systemctl start {unit}; {why}"),
            ),
            _ => {}
        }
    }
    at_work
}

/// Tells of a last refresh that failed; gives what there is to say of another.
fn last_refresh(check: &mut Check) -> String {
    let properties = ["ActiveState", "Result", "ExecMainExitTimestampMonotonic"];
    let Some([active, result, ended]) = systemd::show(REFRESH, properties) else {
        return "none was seen yet".to_owned();
    };
    let ended = systemd::moment(&ended).map(Moment::from);
    let at = ended.map(|ended| format!(" at {ended}")).unwrap_or_default();
    if active == "failed" {
        check.warning(
            format_args!("the last refresh{at} failed ({result})"),
            format_args!("journalctl -u {REFRESH} says why; systemctl start {REFRESH} tries again"),
        );
    }
    match ended {
        Some(_) => format!("the last refresh ended well{at}"),
        None => "none has run yet".to_owned(),
    }
}
