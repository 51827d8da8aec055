//! libvirt's daemon: which one runs, and whether it has seen the hook.
//!
//! It looks for hooks when it starts and when it is reloaded (SIGHUP). If it found any for a driver then, it looks again
//! at each call, so what is replaced or added later counts as well. It does not tell what it found. What can be known is when
//! it started, when systemd last reloaded it, and that it has called us since. A SIGHUP that somebody else sent leaves no
//! trace.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use nix::unistd::{SysconfVar, sysconf};

use super::installed::{Installed, Standing};
use super::report::Report;
use super::systemd;
use crate::context::disc::marker::Reason;
use crate::context::domain::driver::Driver;
use crate::context::moment::Moment;
use crate::host::paths::Host;
use crate::host::vm::state::State;

/// A daemon that has a driver of ours.
#[derive(Debug)]
pub(super) struct Daemon {
    /// Its name, and that of its unit.
    pub name: &'static str,
    pub pid: u32,
    /// How AppArmor or SELinux confine it, in their words.
    pub label: Option<String>,
    /// Where it, and so the hooks, look for programs.
    pub search_path: Vec<PathBuf>,
    started: Option<SystemTime>,
    reloaded: Option<SystemTime>,
}

impl Daemon {
    /// Those with `driver` that run, as their files in /run say.
    pub(super) fn running(host: &Host, driver: Driver) -> Vec<Daemon> {
        ["libvirtd", modular(driver)].into_iter().filter_map(|name| Daemon::called(host, name)).collect()
    }

    fn called(host: &Host, name: &'static str) -> Option<Daemon> {
        let pid: u32 = fs::read_to_string(host.daemon_pid_file(name)).ok()?.trim().parse().ok()?;
        let process = host.process_dir(pid);
        let read = |file: &str| fs::read_to_string(process.join(file)).ok().map(|text| text.trim().to_owned());
        // A number that was left behind may be another process's now.
        read("comm").filter(|comm| comm == name)?;
        let label = read("attr/apparmor/current").or_else(|| read("attr/current"));
        let label = label.map(|label| label.trim_end_matches('\0').to_owned()).filter(|label| !label.is_empty());
        let search_path = search_path(&fs::read(process.join("environ")).unwrap_or_default());
        let (started, reloaded) = (started(host, process), reloaded(host, name, pid));
        Some(Daemon { name, pid, label, search_path, started, reloaded })
    }
}

fn search_path(environment: &[u8]) -> Vec<PathBuf> {
    let path = environment.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(b"PATH="));
    path.map(|path| std::env::split_paths(OsStr::from_bytes(path)).collect()).unwrap_or_default()
}

/// The daemon that has this driver alone.
fn modular(driver: Driver) -> &'static str {
    match driver {
        Driver::Qemu => "virtqemud",
        Driver::Xen => "virtxend",
    }
}

/// The daemon with `driver` that this host has, as far as can be known while none runs: the one that systemd would start, or
/// else the one whose program is there.
pub(super) fn unit(host: &Host, driver: Driver) -> &'static str {
    let both = [modular(driver), "libvirtd"];
    let is_enabled = |name: &str, kind: &str| {
        let state = systemd::show(&format!("{name}.{kind}"), ["UnitFileState"]);
        state.is_some_and(|[state]| state.starts_with("enabled"))
    };
    let by_systemd =
        |name: &&&str| host.systemd_dir().is_dir() && ["socket", "service"].iter().any(|kind| is_enabled(name, kind));
    let ran = both.iter().find(|name| host.daemon_pid_file(name).exists());
    let found = ran.or_else(|| both.iter().find(by_systemd));
    let is_there = |name: &&&str| host.daemon_program(name).exists();
    found.or_else(|| both.iter().rev().find(is_there)).copied().unwrap_or("libvirtd")
}

/// When systemd last reloaded a daemon: when its unit last changed its state, which else it does only at its start.
fn reloaded(host: &Host, name: &str, pid: u32) -> Option<SystemTime> {
    if !host.systemd_dir().is_dir() {
        return None;
    }
    let [main, changed] = systemd::show(&format!("{name}.service"), ["MainPID", "StateChangeTimestampMonotonic"])?;
    if main == pid.to_string() { systemd::moment(&changed) } else { None }
}

fn started(host: &Host, process: PathBuf) -> Option<SystemTime> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    // The name, in parentheses, may hold anything; the time is the 20th field behind it, in clock ticks since boot.
    let ticks: f64 = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten()?;
    let uptime: f64 = fs::read_to_string(host.uptime_file()).ok()?.split(' ').next()?.parse().ok()?;
    // In a container the uptime can be its own, and less than the start since the boot: then neither tells the age.
    let age = Duration::try_from_secs_f64(uptime - ticks / per_second as f64).ok()?;
    SystemTime::now().checked_sub(age)
}

pub(super) fn check(host: &Host, driver: Driver, daemons: &[Daemon], installed: &[Installed], report: &mut Report) {
    let check = &mut report.check("daemon");
    if daemons.is_empty() {
        check.warning(
            format_args!("neither libvirtd nor {} is running; it looks for hooks when it starts", modular(driver)),
            format_args!("nothing, if it starts on demand; otherwise systemctl start {}", unit(host, driver)),
        );
    }
    let called = || installed.iter().filter(|hook| hook.standing == Standing::Called);
    for Daemon { name, pid, started, reloaded, .. } in daemons {
        let who = format!("{name} (process {pid})");
        let remedy = format!("systemctl reload {name}");
        if !called().any(Installed::is_ours) {
            check.warning(
                format_args!("{who} is running, but our hook is not installed"),
                format_args!("install the hook, then {remedy}"),
            );
            continue;
        }
        let Some(started) = *started else {
            check.warning(format_args!("it is not known when {who} started, nor whether it has seen the hook"), remedy);
            continue;
        };
        // It may have been looking just then.
        let there_at = |moment: SystemTime| called().find(|hook| hook.since < moment);
        if let Some(hook) = there_at(started) {
            check.good(format_args!("{who} started after {} was installed", hook.path.display()));
        } else if let Some(hook) = reloaded.and_then(there_at) {
            check.good(format_args!("{who} was reloaded by systemd after {} was installed", hook.path.display()));
        } else if let Some(state) = served_since(host, started) {
            let (name, since) = (state.name, Moment(state.since));
            check.good(format_args!("{who} has called the hook since it started: for {name} at {since}"));
        } else {
            check.warning(
                format_args!(
                    "{who} started before the hook was installed; unless it has been reloaded since, it does not call the hook"
                ),
                remedy,
            );
        }
    }
}

/// A VM whose disc was made because the hook was called after `started`.
fn served_since(host: &Host, started: SystemTime) -> Option<State> {
    let after = Moment::from(started).0;
    let by_the_hook = |state: &State| {
        let made = state.edition.filter(|edition| edition.reason != Reason::Refresh);
        made.is_some_and(|edition| edition.generation.0 > after) && state.since > after
    };
    State::all(host).ok()?.into_iter().find(by_the_hook)
}
