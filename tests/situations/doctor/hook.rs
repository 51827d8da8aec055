//! Which hook libvirtd calls, and what else it runs.

use std::fs;

use super::{Found, Patient, assert_finds};
use crate::site::{install, run};

#[test]
fn a_hook_that_libvirtd_does_not_call_is_bad() {
    let at = "etc/libvirt/hooks/qemu";
    for (fault, message, remedy) in [
        ("rm $at", "our hook is not in ", "ln -s /usr/sbin/virt-recontext-hook "),
        ("rm -r etc/libvirt", "our hook is not in ", "mkdir -p "),
        (
            "ln -sf /nowhere/virt-recontext-hook $at",
            "is a link to /nowhere/virt-recontext-hook, which does not exist",
            "install",
        ),
        (
            "cp --remove-destination /bin/true $at",
            "is another program, and none in qemu.d is ours",
            "50-virt-recontext",
        ),
        ("ln -sf $PWD/usr/sbin/virt-recontext $at", "is virt-recontext, not virt-recontext-hook", "rm "),
        ("cp --remove-destination $(readlink $at) $at; chmod 644 $at", "is not executable", "chmod 755 "),
        (
            "cp --remove-destination $(readlink $at) $at; chmod 757 $at",
            "is writable by users other than root",
            "run that command",
        ),
    ] {
        let patient = Patient::new();
        patient.sh(&fault.replace("$at", at));
        let found = patient.examine();
        let relevant: Vec<Found> =
            found.into_iter().filter(|one| !matches!(one.check.as_str(), "daemon" | "other-hooks")).collect();
        assert_finds(&relevant, "hook", "bad", message, remedy);
    }
}

#[test]
fn a_hook_is_known_as_a_link_a_copy_or_a_script_and_in_qemu_d() {
    let at = "etc/libvirt/hooks/qemu";
    for change in [
        "cp --remove-destination $(readlink $at) $at",
        "mkdir $at.d; mv $at $at.d/50-virt-recontext",
        "rm $at; printf '#!/bin/sh\nexec /usr/sbin/virt-recontext-hook \"$@\"\n' >$at; chmod 755 $at",
    ] {
        let patient = Patient::new();
        patient.sh(&change.replace("$at", at));
        // The files are newer now than the daemon of the past.
        patient.daemon_started(0);
        let found = patient.examine();
        let faults: Vec<&str> =
            found.iter().filter(|one| one.level != "good").map(|one| one.message.as_str()).collect();
        assert_eq!(faults, [""; 0], "{change}");
    }
}

#[test]
fn a_hook_of_another_version_and_a_second_one_are_worth_a_look() {
    let patient = Patient::new();
    let (at, program) = (patient.path("etc/libvirt/hooks/qemu"), patient.site.beside("old-hook"));
    let mut old = fs::read(patient.hook_program()).unwrap();
    let words = format!("virt-recontext-hook {}\n", env!("CARGO_PKG_VERSION"));
    let place = old.windows(words.len()).position(|part| part == words.as_bytes()).unwrap();
    old[place..place + words.len()].copy_from_slice(words.replace("hook 0", "hook 9").as_bytes());
    fs::write(&program, old).unwrap();
    fs::remove_file(&at).unwrap();
    install(&program, &at);
    assert_finds(&patient.examine(), "hook", "warning", "is version 9", "both programs");

    let patient = Patient::new();
    patient
        .sh("mkdir etc/libvirt/hooks/qemu.d; cp -P etc/libvirt/hooks/qemu etc/libvirt/hooks/qemu.d/50-virt-recontext");
    assert_finds(&patient.examine(), "hook", "warning", "more than once", "qemu.d/50-virt-recontext");
}

#[test]
fn what_else_libvirtd_runs_is_told_and_what_is_left_over_is_worth_a_look() {
    let foreign = "etc/libvirt/hooks/qemu.d; cp /bin/true etc/libvirt/hooks/qemu.d";
    let first = "rm etc/libvirt/hooks/qemu; mkdir etc/libvirt/hooks/qemu.d; ln -s $(readlink -f $HOOK) etc/libvirt/hooks/qemu.d/50-x; ";
    for (change, level, message) in [
        (
            format!("mkdir {foreign}/50-x.dpkg-old"),
            "warning",
            "50-x.dpkg-old looks like a leftover, but libvirtd runs it",
        ),
        (format!("mkdir {foreign}/50-x~"), "warning", "50-x~ looks like a leftover"),
        (format!("mkdir {foreign}/.50-x"), "warning", ".50-x looks like a leftover"),
        (format!("mkdir {foreign}/x.rpmsave; chmod 644 etc/libvirt/hooks/qemu.d/*"), "good", "runs no other"),
        (format!("mkdir {foreign}/60-network"), "warning", "60-network after ours: what that answers"),
        (format!("{first}cp /bin/true etc/libvirt/hooks/qemu.d/10-network"), "good", "10-network before ours"),
        ("chmod 777 etc/libvirt/hooks".to_owned(), "bad", "is writable by users other than root: chmod go-w"),
        ("cp -P etc/libvirt/hooks/qemu etc/libvirt/hooks/qemu.dpkg-old".to_owned(), "good", "runs no other"),
    ] {
        let patient = Patient::new();
        patient.sh(&change.replace("$HOOK", patient.hook_program().to_str().unwrap()));
        assert_finds(&patient.examine(), "other-hooks", level, message, "");
    }
}

#[test]
fn the_hook_tells_its_version_when_asked_alone() {
    let patient = Patient::new();
    let told = run(&mut patient.site.hook(&["--version"]), b"");
    let words = format!("virt-recontext-hook {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8(told.stdout).unwrap(), words);
    assert!(told.status.success());
    // A VM may have any name.
    let asked = run(&mut patient.site.hook(&["--version", "prepare", "begin", "-"]), b"");
    assert_eq!((asked.stdout.as_slice(), asked.status.success()), (&b""[..], true));
}
