//! `doctor` where AppArmor does not let libvirtd run a hook, or what a script among the hooks calls.

use std::path::Path;

use super::denied::{ALL, COPY, ELSEWHERE, SCRIPT, assert_first, of};
use super::kernel::Kernel;
use super::{DRIVE, Found, IMAGES, Patient, assert_finds};

/// The forms in which AppArmor's usual profile denies it, and what is to be read of each.
const DENIED_BY_APPARMOR: [(&str, &str, &str); 5] = [
    ("", "is really /usr/local/sbin/virt-recontext-hook, which libvirtd may not run", LINK_IT),
    (SCRIPT, "libvirtd may not run /usr/local/sbin/virt-recontext-hook", ", and let /"),
    (SCRIPT_IN_DIRECTORY, "qemu.d/50-mine names: no VM gets its context, and unless the script hides", ", and let /"),
    (SCRIPT_BY_NAME, "libvirtd may not run /usr/local/sbin/virt-recontext-hook", ", and let /"),
    (
        FOREIGN,
        "qemu.d/10-network is really /opt/network, which libvirtd may not run",
        "into /usr/sbin itself, under a name",
    ),
];
const LINK_IT: &str =
    "install -m 755 /usr/local/sbin/virt-recontext-hook /usr/sbin/virt-recontext-hook && ln -sf /usr/sbin/";
const SCRIPT_IN_DIRECTORY: &str = "rm etc/libvirt/hooks/qemu; mkdir etc/libvirt/hooks/qemu.d; cd etc/libvirt/hooks/qemu.d; \
     printf '#!/bin/bash\n/usr/local/sbin/virt-recontext-hook \"$@\" || exit $?\n' >50-mine; chmod 755 50-mine; ";
const SCRIPT_BY_NAME: &str = "rm etc/libvirt/hooks/qemu; \
     printf '#!/bin/sh\nvirt-recontext-hook \"$@\"\n' >etc/libvirt/hooks/qemu; chmod 755 etc/libvirt/hooks/qemu; \
     printf 'LC_ALL=C\\0PATH=/nowhere:/usr/local/sbin:/usr/sbin\\0' >proc/812/environ; ";
const FOREIGN: &str = "mv usr/local/sbin/virt-recontext-hook usr/sbin; \
     ln -sf $PWD/usr/sbin/virt-recontext-hook etc/libvirt/hooks/qemu; \
     mkdir opt etc/libvirt/hooks/qemu.d; cp /bin/true opt/network; \
     ln -s $PWD/opt/network etc/libvirt/hooks/qemu.d/10-network; ";

fn confined_by_apparmor(form: &str) -> Patient {
    let patient = Patient::new();
    patient.site.write("sys/module/apparmor/parameters/enabled", "Y\n");
    patient.site.write("proc/812/attr/apparmor/current", "libvirtd (enforce)\n");
    patient.sh(&[ELSEWHERE, form].concat());
    patient.daemon_started(0);
    patient
}

/// A kernel whose profile of libvirtd allows what `may` says; it knows no other profile.
fn apparmor(patient: &Patient, may: impl Fn(&Path) -> bool + Send + 'static) -> Kernel {
    Kernel::at(&patient.path("sys/kernel/security/apparmor/.access"), move |question| {
        let Some(path) = question.strip_prefix(b"label\0libvirtd\0\x02") else { return "no such profile".to_owned() };
        let allowed = if may(Path::new(std::str::from_utf8(path).unwrap())) { "0x0400004d" } else { "0x0400004c" };
        format!("allow {allowed}\ndeny 0x00000000\naudit 0x00000000\nquiet 0x00000000\n")
    })
}

fn usual_profile(program: &Path) -> bool {
    program.starts_with("/etc/libvirt/hooks") || program.parent() == Some(Path::new("/usr/sbin"))
}

#[test]
fn what_apparmor_denies_stops_every_vm_and_is_told_first() {
    for (form, message, remedy) in DENIED_BY_APPARMOR {
        let patient = confined_by_apparmor(form);
        let _kernel = apparmor(&patient, usual_profile);
        assert_first(&patient, "apparmor", message, remedy);
        assert!(!patient.told().contains("usual profile,"), "the kernel said so");
    }
}

#[test]
fn where_the_kernel_says_nothing_apparmors_usual_profile_counts_and_is_named() {
    for (form, message, remedy) in DENIED_BY_APPARMOR {
        let patient = confined_by_apparmor(form);
        assert_first(&patient, "apparmor", message, remedy);
        assert!(patient.told().lines().next().unwrap().contains(" under its usual profile"), "{}", patient.told());
        // A profile that it does not know is no answer.
        patient.site.write("proc/812/attr/apparmor/current", "mine (enforce)\n");
        let _kernel = apparmor(&patient, |_| true);
        assert_first(&patient, "apparmor", message, remedy);
    }
}

#[test]
fn what_the_kernel_allows_is_good_whatever_apparmors_usual_profile_says() {
    for (form, _, _) in DENIED_BY_APPARMOR {
        let patient = confined_by_apparmor(form);
        let _kernel = apparmor(&patient, |_| true);
        let found = patient.examine();
        let told = of(&found, "apparmor");
        assert!(told.level == "good" && told.message.starts_with("it lets libvirt's daemon run"), "{}", told.message);
    }
    // And the other way round.
    let patient = confined_by_apparmor(COPY);
    let _kernel = apparmor(&patient, |_| false);
    let may_not = format!("libvirtd may not run {}: ", patient.path("etc/libvirt/hooks/qemu").display());
    assert_first(&patient, "apparmor", &may_not, "into /usr/sbin itself");
}

#[test]
fn of_a_daemon_that_starts_on_demand_the_kernel_knows_the_profile() {
    let patient = confined_by_apparmor("");
    patient.sh("rm run/libvirtd.pid");
    let _kernel = apparmor(&patient, |_| true);
    let found = patient.examine();
    let told = of(&found, "apparmor");
    assert!(told.message.starts_with("it lets libvirt's daemon, when it runs, run"), "{}", told.message);
    let patient = confined_by_apparmor("");
    patient.sh("rm run/libvirtd.pid");
    let _kernel = apparmor(&patient, |_| false);
    assert_first(&patient, "apparmor", "which libvirt's daemon may not run", "");
    assert!(!patient.told().contains("usual profile,"), "the kernel said so");
}

#[test]
fn apparmor_confines_what_a_script_calls_only_where_it_confines_the_script() {
    let linked = "mv etc/libvirt/hooks/qemu usr/sbin/mine; ln -s $PWD/usr/sbin/mine etc/libvirt/hooks/qemu; ";
    for (script, also, level) in [(SCRIPT, "", "bad"), (SCRIPT, linked, "good"), (SCRIPT_BY_NAME, "", "bad")] {
        let patient = confined_by_apparmor(&[script, also].concat());
        let _kernel = apparmor(&patient, usual_profile);
        assert_eq!(of(&patient.examine(), "apparmor").level, level, "{script}{also}");
    }
    // Of two that a mere name may mean, it is not known which is called.
    let patient = confined_by_apparmor(&[SCRIPT_BY_NAME, "cp usr/local/sbin/virt-recontext-hook usr/sbin"].concat());
    let _kernel = apparmor(&patient, usual_profile);
    assert_eq!(of(&patient.examine(), "apparmor").level, "good");
}

#[test]
fn a_helper_that_apparmor_denies_is_bad_and_stops_no_vm() {
    let patient = confined_by_apparmor(COPY);
    let _kernel = apparmor(&patient, |path| !path.ends_with("virt-recontext"));
    let found = patient.examine();
    let told = of(&found, "apparmor");
    assert!(told.level == "bad" && !told.message.contains(ALL), "{}", told.message);
    assert_eq!(found[0].check, "hook");
}

#[test]
fn one_hook_that_is_denied_does_not_hide_what_else_is_found() {
    let patient = confined_by_apparmor("");
    patient.vm(DRIVE, "image_dir = '/usr/share/discs'\n");
    patient.sh(&format!("chmod 777 {IMAGES}"));
    let found = patient.examine();
    assert!(found[0].message.ends_with(ALL), "{}", found[0].message);
    let others =
        found.iter().filter(|one| one.check == "apparmor" && one.message.contains("gives no VM access to an image"));
    assert_eq!(others.count(), 1);
    assert_eq!(found[1].check, "hook");
}

#[test]
fn what_apparmor_would_refuse_is_told() {
    let confined = "mkdir -p sys/module/apparmor/parameters proc/812/attr; echo Y >sys/module/apparmor/parameters/enabled; \
                    echo 'libvirtd (enforce)' >proc/812/attr/current; ";
    let in_sbin = "cp $(readlink etc/libvirt/hooks/qemu) usr/sbin/virt-recontext-hook; \
                   ln -sf $PWD/usr/sbin/virt-recontext-hook etc/libvirt/hooks/qemu; ";
    for (change, options, level, message) in [
        (in_sbin, "", "good", "its usual profiles let libvirt's daemon run the programs"),
        ("", "", "bad", "which libvirtd may not run"),
        ("cp --remove-destination $(readlink etc/libvirt/hooks/qemu) etc/libvirt/hooks/qemu", "", "good", "let"),
        (
            "mkdir -p opt/x; cp --remove-destination $(readlink etc/libvirt/hooks/qemu) etc/libvirt/hooks/qemu; \
             mv usr/sbin/virt-recontext opt/x; ln -s $PWD/opt/x/virt-recontext usr/sbin",
            "",
            "bad",
            "/usr/sbin/virt-recontext is really /opt/x/virt-recontext, which libvirtd may not run",
        ),
        ("echo 'libvirtd (complain)' >proc/812/attr/current", "", "good", "does not confine"),
        (in_sbin, "image_dir = '/usr/share/discs'\n", "bad", "gives no VM access to an image below /usr/share"),
    ] {
        let patient = Patient::new();
        patient.vm(DRIVE, options);
        patient.sh(&[confined, change].concat());
        patient.daemon_started(0);
        let found = patient.examine();
        let relevant: Vec<Found> = found.into_iter().filter(|one| one.check != "vm").collect();
        assert_finds(&relevant, "apparmor", level, message, "");
    }
}
