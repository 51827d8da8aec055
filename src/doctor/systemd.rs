//! What systemd tells of units.

use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};

/// The values of these properties of a unit, in this order; `None` if systemd does not tell them.
pub(super) fn show<const N: usize>(unit: &str, properties: [&str; N]) -> Option<[String; N]> {
    let mut systemctl = Command::new("systemctl");
    systemctl.args(["show", &format!("--property={}", properties.join(",")), unit]).stdin(Stdio::null());
    let output = systemctl.output().ok().filter(|output| output.status.success())?;
    let output = String::from_utf8(output.stdout).ok()?;
    let value = |key: &str| output.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let values: Option<Vec<String>> = properties.iter().map(|key| value(key).map(str::to_owned)).collect();
    values?.try_into().ok()
}

/// The moment that is told as so many microseconds of the monotonic clock; 0 is never.
pub(super) fn moment(monotonic: &str) -> Option<SystemTime> {
    let then = Duration::from_micros(monotonic.parse().ok().filter(|time| *time > 0)?);
    let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).ok()?);
    SystemTime::now().checked_sub(now.checked_sub(then)?)
}
