//! libvirt's daemon: whether it runs, answers, and has seen the hook.

use std::os::unix::net::UnixListener;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::{CHECKS, Found, Patient, assert_finds, findings, units};
use crate::site::now;

#[test]
fn a_daemon_that_started_before_the_hook_may_not_call_it_until_it_has() {
    let patient = Patient::new();
    patient.daemon_started(900);
    let before =
        "libvirtd (process 812) started before the hook was installed; unless it has been reloaded since, it does not";
    assert_finds(&patient.examine(), "daemon", "warning", before, "systemctl reload libvirtd");
    // A refresh is no proof: it needs no hook.
    patient.state("delivered", "refresh", now() - 100);
    assert_finds(&patient.examine(), "daemon", "warning", before, "systemctl reload libvirtd");
    patient.state("delivered", "migrate", now() - 200_000);
    assert_finds(&patient.examine(), "daemon", "warning", before, "systemctl reload libvirtd");
    patient.state("delivered", "migrate", now() - 100);
    assert_finds(&patient.examine(), "daemon", "good", "has called the hook since it started: for web at ", "");
    // It looks into qemu.d at each call if it found any hook when it started.
    let patient = Patient::new();
    patient.daemon_started(900);
    patient.sh("mkdir etc/libvirt/hooks/qemu.d; mv etc/libvirt/hooks/qemu etc/libvirt/hooks/qemu.d/50-virt-recontext");
    assert_finds(&patient.examine(), "daemon", "warning", "started before the hook was installed", "reload");
}

#[test]
fn a_daemon_that_systemd_has_reloaded_since_has_seen_the_hook() {
    let patient = Patient::new();
    patient.daemon_started(900);
    let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap());
    // The oldest moment that every machine has, however young it is.
    let boot = Duration::from_micros(1);
    let told = |pid: u32, changed: Duration| {
        let answer = format!("MainPID={pid}\\nStateChangeTimestampMonotonic={}\\n", changed.as_micros());
        let asked = "show --property=MainPID,StateChangeTimestampMonotonic libvirtd.service";
        patient.examine_under_systemd(&[&[(asked.to_owned(), answer)][..], &units::not_installed()].concat())
    };
    let before = "started before the hook was installed";
    assert_finds(&told(812, boot), "daemon", "warning", before, "systemctl reload libvirtd");
    assert_finds(&told(813, now), "daemon", "warning", before, "systemctl reload libvirtd");
    assert_finds(&told(812, now), "daemon", "good", "was reloaded by systemd after ", "");
}

#[test]
fn a_daemon_that_started_when_the_machine_did_is_older_than_the_hook() {
    let patient = Patient::new();
    patient.site.write("proc/uptime", "60.00 40.00\n");
    patient.daemon_started_at(0);
    assert_finds(&patient.examine(), "daemon", "warning", "started before the hook was installed", "reload");
    patient.daemon_started_at(60);
    assert_finds(&patient.examine(), "daemon", "good", "libvirtd (process 812) started after ", "");
}

#[test]
fn a_start_that_the_uptime_contradicts_is_not_taken_for_one_just_now() {
    // As in a container: its own uptime, and the daemon's start since the boot of the machine below.
    let patient = Patient::new();
    patient.site.write("proc/uptime", "60.00 40.00\n");
    patient.daemon_started_at(900);
    assert_finds(
        &patient.examine(),
        "daemon",
        "warning",
        "it is not known when libvirtd (process 812) started",
        "reload",
    );
}

#[test]
fn the_modular_daemon_is_known_and_a_stale_number_is_none() {
    let patient = Patient::new();
    patient.sh("mv run/libvirtd.pid run/virtqemud.pid");
    assert_finds(&patient.examine(), "daemon", "warning", "neither libvirtd nor virtqemud is running", "");
    patient.sh("echo virtqemud >proc/812/comm");
    assert_finds(&patient.examine(), "daemon", "good", "virtqemud (process 812) started after ", "");
    patient.sh("rm -r proc/812");
    assert_finds(&patient.examine(), "daemon", "warning", "neither libvirtd nor virtqemud is running", "on demand");
}

#[test]
fn a_host_that_xen_runs_is_looked_at_as_such() {
    let of = |found: &[Found], check: &str| {
        let one = found.iter().find(|one| one.check == check).unwrap();
        (one.level.clone(), one.message.clone(), one.remedy.clone().unwrap_or_default())
    };
    // No daemon of this machine is asked.
    let nowhere = "uri = 'xen+unix:///system?socket=/nowhere'\n";
    let patient = Patient::new();
    patient.site.write("etc/virt-recontext/config.toml", nowhere);
    let found = patient.examine();
    let (level, message, remedy) = of(&found, "hook");
    assert!(level == "bad" && message.ends_with("for Xen: no VM gets its context"), "{message}");
    assert!(remedy.contains("/etc/libvirt/hooks/libxl && systemctl reload libvirtd"), "{remedy}");
    assert!(of(&found, "libvirt").1.contains("xen+unix:///system"), "{}", of(&found, "libvirt").1);

    patient.sh("mv etc/libvirt/hooks/qemu etc/libvirt/hooks/libxl");
    patient.sh("mv run/libvirtd.pid run/virtxend.pid; echo virtxend >proc/812/comm");
    patient.daemon_started(0);
    let found = patient.examine();
    assert!(of(&found, "hook").1.contains("hooks/libxl is virt-recontext-hook "), "{}", of(&found, "hook").1);
    assert_eq!(of(&found, "other-hooks").1, "libvirtd runs no other hook for Xen's VMs");
    assert!(of(&found, "daemon").1.starts_with("virtxend (process 812) started after "), "{}", of(&found, "daemon").1);

    // Without a configuration the hypervisor decides; with a broken one too.
    patient.site.write("etc/virt-recontext/config.toml", "x\n");
    assert_eq!(of(&patient.examine(), "other-hooks").1, "libvirtd runs no other hook for QEMU's VMs");
    patient.site.write("proc/xen/capabilities", "control_d\n");
    assert_eq!(of(&patient.examine(), "other-hooks").1, "libvirtd runs no other hook for Xen's VMs");
}

#[test]
fn a_daemon_that_does_not_run_is_told_and_ends_no_other_check() {
    let patient = Patient::new();
    patient.site.write("etc/virt-recontext/config.toml", "uri = 'test:///nowhere.xml'\n");
    let found = patient.examine();
    assert_finds(&found, "libvirt", "bad", "connecting to libvirt at test:///nowhere.xml: ", "systemctl start");
    assert_eq!(found.len(), CHECKS.len() - 1, "all but the VMs");
}

#[test]
fn the_daemon_that_is_to_be_started_is_the_one_that_the_host_has() {
    let patient = Patient::new();
    patient.site.write("etc/virt-recontext/config.toml", "uri = 'test:///nowhere.xml'\n");
    patient.sh("rm run/libvirtd.pid");
    let started = |found: Vec<Found>| {
        let told = |check: &str| found.iter().find(|one| one.check == check).unwrap().remedy.clone().unwrap();
        let (libvirt, daemon) = (told("libvirt"), told("daemon"));
        let name = libvirt.split(',').next().unwrap();
        assert!(daemon.ends_with(name), "{daemon}");
        name.to_owned()
    };
    assert_eq!(started(patient.examine()), "systemctl start libvirtd");
    patient.sh("touch usr/sbin/virtqemud");
    assert_eq!(started(patient.examine()), "systemctl start virtqemud");
    // Where both are, systemd knows which of them is used.
    patient.sh("touch usr/sbin/libvirtd");
    assert_eq!(started(patient.examine()), "systemctl start libvirtd");
    let enabled = ("show --property=UnitFileState virtqemud.socket".to_owned(), "UnitFileState=enabled\\n".to_owned());
    let answers = [vec![enabled], units::not_installed()].concat();
    assert_eq!(started(patient.examine_under_systemd(&answers)), "systemctl start virtqemud");
}

#[test]
fn a_daemon_that_takes_calls_and_never_answers_holds_up_no_report() {
    let patient = Patient::new();
    let socket = patient.site.beside("silent");
    let _silent = UnixListener::bind(&socket).unwrap();
    let uri = format!("uri = 'qemu+unix:///system?socket={}'\n", socket.display());
    patient.site.write("etc/virt-recontext/config.toml", &uri);
    // run() allows as long as doctor waits; this one is let take longer.
    let output = patient.site.recontext(&["doctor", "--json"]).output().unwrap();
    let found = findings(&output);
    assert_finds(&found, "libvirt", "bad", "did not answer all questions", "");
    assert_eq!(found.len(), CHECKS.len() - 1, "all but the VMs");
}
