//! The units that refresh discs, as systemd tells of them.

use super::{Patient, assert_finds};

const PATH: &str = "virt-recontext-refresh.path";
const TIMER: &str = "virt-recontext-refresh.timer";
const NOTICES: &str = "virt-recontext-changed.path";
const SERVICE: &str = "virt-recontext-refresh.service";

const GOOD: [&str; 4] =
    ["loaded active enabled", "loaded active enabled", "loaded active static", "inactive success 1"];

/// What systemctl answers of the path, the timer, what notices changes, and the refresh.
fn answers([path, timer, notices, refresh]: [&str; 4]) -> Vec<(String, String)> {
    let told = |keys: [&str; 3], values: &str| {
        keys.iter().zip(values.split(' ')).map(|(key, value)| format!("{key}={value}\\n")).collect::<String>()
    };
    let unit = |values| told(["LoadState", "ActiveState", "UnitFileState"], values);
    let asked = |unit: &str| format!("show --property=LoadState,ActiveState,UnitFileState {unit}");
    let last = "show --property=ActiveState,Result,ExecMainExitTimestampMonotonic virt-recontext-refresh.service";
    let refresh = told(["ActiveState", "Result", "ExecMainExitTimestampMonotonic"], refresh);
    vec![
        (asked(PATH), unit(path)),
        (asked(TIMER), unit(timer)),
        (asked(NOTICES), unit(notices)),
        (last.to_owned(), refresh),
    ]
}

/// What systemctl answers where none of them is.
pub fn not_installed() -> Vec<(String, String)> {
    answers(["not-found inactive "; 4])
}

#[test]
fn units_that_are_at_work_are_good_and_so_are_those_that_nobody_wants() {
    let patient = Patient::new();
    for (answers, said) in [
        (answers(GOOD), format!("at work: {PATH}, {TIMER}; the last refresh ended well at 20")),
        (
            answers([GOOD[0], GOOD[1], GOOD[2], "inactive success 0"]),
            format!("at work: {PATH}, {TIMER}; none has run yet"),
        ),
        (
            answers(["masked inactive masked", GOOD[1], "loaded inactive static", GOOD[3]]),
            format!("at work: {TIMER}; "),
        ),
        (not_installed(), "none of ours is installed; \"virt-recontext refresh --all\"".to_owned()),
    ] {
        assert_finds(&patient.examine_under_systemd(&answers), "units", "good", &said, "");
    }
    assert_finds(&Patient::new().examine(), "units", "good", "systemd does not run this host", "");
}

#[test]
fn a_unit_that_is_not_at_work_is_told() {
    let patient = Patient::new();
    let with = |at: usize, values: &'static str| {
        let mut all = GOOD;
        all[at] = values;
        patient.examine_under_systemd(&answers(all))
    };
    let dead = format!("{PATH} has failed: changes of this host's data reach no running VM");
    assert_finds(
        &with(0, "loaded failed enabled"),
        "units",
        "bad",
        &dead,
        &format!("systemctl reset-failed {PATH} && "),
    );
    let idle = format!("{TIMER} is enabled, and not at work: what programs");
    assert_finds(&with(1, "loaded inactive enabled"), "units", "warning", &idle, &format!("systemctl start {TIMER}"));
    let disabled = format!("{TIMER} is not enabled");
    assert_finds(&with(1, "loaded inactive disabled"), "units", "warning", &disabled, "systemctl enable --now");
    let notices = format!("{NOTICES} is not at work");
    assert_finds(
        &with(2, "loaded inactive static"),
        "units",
        "warning",
        &notices,
        &format!("systemctl restart {PATH}"),
    );
    assert_finds(&with(2, "loaded failed static"), "units", "bad", &format!("{NOTICES} has failed"), "reset-failed");
    let last = "the last refresh at 20";
    assert_finds(&with(3, "failed exit-code 1"), "units", "warning", last, &format!("journalctl -u {SERVICE}"));
    let found = patient.examine_under_systemd(&[]);
    assert_finds(&found, "units", "warning", &format!("systemctl does not tell of {PATH}"), "");
}

#[test]
fn a_watcher_that_does_not_watch_is_told() {
    let patient = Patient::new();
    let watch = "virt-recontext-watch@etcd.service";
    let with = |states: &[&str]| {
        let keys = ["Id", "ActiveState", "SubState", "Result", "UnitFileState"];
        let unit = |values: &&str| -> String {
            keys.iter().zip(values.split(' ')).map(|(key, value)| format!("{key}={value}\\n")).collect()
        };
        let units: Vec<String> = states.iter().map(unit).collect();
        let asked = format!("show --property={} virt-recontext-watch@*.service", keys.join(","));
        patient.examine_under_systemd(&[&[(asked, units.join("\\n"))][..], &answers(GOOD)].concat())
    };
    let good = format!("at work: {PATH}, {TIMER}, {watch}; the last refresh ended well at 20");
    let other = "virt-recontext-watch@dns.service inactive dead success disabled";
    let at_work = format!("{watch} active running success enabled");
    assert_finds(&with(&[other, &at_work]), "units", "good", &good, "");
    for (state, told, remedy) in [
        ("failed failed exit-code enabled", "has failed (exit-code): changes in its store", "journalctl -u "),
        (
            "activating auto-restart exit-code enabled",
            "fails each time that it is started (exit-code): ",
            "journalctl -u ",
        ),
        ("inactive dead success enabled", "is enabled, and not at work: ", "systemctl start "),
    ] {
        let found = with(&[&at_work.replace("etcd", "a"), &format!("{watch} {state}")]);
        assert_finds(&found, "units", "warning", &format!("{watch} {told}"), &format!("{remedy}{watch}"));
    }
}
