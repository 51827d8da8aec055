//! What systemd tells of units.

use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};

/// The values of these properties of a unit, in this order; `None` if systemd does not tell them.
pub(super) fn show<const N: usize>(unit: &str, properties: [&str; N]) -> Option<[String; N]> {
    show_all(unit, properties)?.into_iter().next()
}

/// The same of all units that systemd knows now and that fit a pattern.
pub(super) fn show_all<const N: usize>(pattern: &str, properties: [&str; N]) -> Option<Vec<[String; N]>> {
    let mut systemctl = Command::new("systemctl");
    systemctl.args(["show", &format!("--property={}", properties.join(",")), pattern]).stdin(Stdio::null());
    let output = systemctl.output().ok().filter(|output| output.status.success())?;
    let output = String::from_utf8(output.stdout).ok()?;
    let of_unit = |lines: &str| -> Option<[String; N]> {
        let value = |key: &str| lines.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let values: Option<Vec<String>> = properties.iter().map(|key| value(key).map(str::to_owned)).collect();
        values?.try_into().ok()
    };
    Some(output.split("\n\n").filter_map(of_unit).collect())
}

/// The moment that is told as so many microseconds of the monotonic clock; 0 is never.
pub(super) fn moment(monotonic: &str) -> Option<SystemTime> {
    let then = Duration::from_micros(monotonic.parse().ok().filter(|time| *time > 0)?);
    let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).ok()?);
    SystemTime::now().checked_sub(now.checked_sub(then)?)
}
