//! `doctor` where SELinux does not let virtqemud run a hook: one with the label of hooks above all, which a link's target in
//! /usr/sbin has not.

use super::denied::{COPY, ELSEWHERE, SCRIPT, assert_first};
use super::kernel::Kernel;
use super::{IMAGES, Patient, assert_finds, units};

/// What a kernel with SELinux answers.
#[derive(Clone, Copy)]
struct Policy {
    /// Numbers of permissions that the daemon has to files with the label of hooks.
    to_hooks: &'static [u32],
    /// The domain in which it runs them.
    next: &'static str,
    /// Bits: 1 is a permissive domain.
    flags: u32,
    /// Whether it may relabel the images, and look at what systemd's units run.
    to_us: [bool; 2],
}

const DAEMON: &str = "system_u:system_r:virtqemud_t:s0-s0:c0.c1023";
const ANOTHER_DOMAIN: &str = "system_u:system_r:virt_hook_unconfined_t:s0";
const INIT: &str = "system_u:system_r:init_t:s0";
const UNIT: &str = "system_u:system_r:unconfined_service_t:s0";
const READ: u32 = 2;
const RELABEL_FROM: u32 = 7;
const SEARCH: u32 = 23;
const EXECUTE: u32 = 14;
const EXECUTE_NO_TRANS: u32 = 18;
const DISTRIBUTIONS: Policy = Policy { to_hooks: &[READ], next: DAEMON, flags: 0, to_us: [true; 2] };
const WITH_THE_MODULE: Policy = Policy { to_hooks: &[READ, EXECUTE, EXECUTE_NO_TRANS], ..DISTRIBUTIONS };

fn confined_by_selinux(form: &str, policy: Policy) -> (Patient, [Kernel; 2]) {
    let patient = Patient::new();
    patient.sh("mv run/libvirtd.pid run/virtqemud.pid; echo virtqemud >proc/812/comm");
    patient.site.write("proc/812/attr/current", &format!("{DAEMON}\0"));
    for (file, number) in [
        ("enforce", 1),
        ("class/file/index", 6),
        ("class/process/index", 2),
        ("class/dir/index", 7),
        ("class/dir/perms/search", SEARCH),
        ("class/file/perms/relabelfrom", RELABEL_FROM),
        ("class/file/perms/execute", EXECUTE),
        ("class/file/perms/execute_no_trans", EXECUTE_NO_TRANS),
    ] {
        patient.site.write(&format!("sys/fs/selinux/{file}"), &number.to_string());
    }
    let program = [
        ELSEWHERE,
        "mv usr/local/sbin/virt-recontext-hook usr/sbin; \
                               ln -sf $PWD/usr/sbin/virt-recontext-hook etc/libvirt/hooks/qemu; ",
    ];
    patient.sh(&program.concat());
    patient.site.write("proc/1/attr/current", &format!("{INIT}\0"));
    label(&patient, "bin_t", "usr/sbin/virt-recontext-hook");
    label(&patient, "bin_t", "usr/sbin/virt-recontext");
    label(&patient, "virt_var_lib_t", IMAGES);
    patient.sh(form);
    patient.daemon_started(0);
    let mask = |permissions: &[u32]| permissions.iter().fold(0, |mask, number| mask | 1 << (number - 1));
    let access = Kernel::at(&patient.path("sys/fs/selinux/access"), move |question| {
        let allowed = match std::str::from_utf8(question).unwrap().strip_prefix(DAEMON).unwrap() {
            " u:object_r:virt_hook_t:s0 6" => mask(policy.to_hooks),
            " u:object_r:bin_t:s0 6" => mask(&[READ, EXECUTE, EXECUTE_NO_TRANS]),
            " u:object_r:user_home_t:s0 6" => mask(&[READ]),
            " u:object_r:virt_var_lib_t:s0 6" => mask(if policy.to_us[0] { &[RELABEL_FROM] } else { &[READ] }),
            other if other == format!(" {UNIT} 7") => mask(if policy.to_us[1] { &[SEARCH] } else { &[READ] }),
            other => panic!("{other}"),
        };
        format!("{allowed:x} ffffffff 0 ffffffff 7 {:x}", policy.flags)
    });
    let create = Kernel::at(&patient.path("sys/fs/selinux/create"), move |question| {
        if question.starts_with(INIT.as_bytes()) {
            return format!("{UNIT}\0");
        }
        assert!(question.starts_with(DAEMON.as_bytes()) && question.ends_with(b":s0 2"));
        format!("{}\0", policy.next)
    });
    (patient, [access, create])
}

fn label(patient: &Patient, kind: &str, path: &str) {
    patient.sh(&labelling(kind, path));
}

fn labelling(kind: &str, path: &str) -> String {
    format!("python3 -c 'import os; os.setxattr(\"{path}\", \"security.selinux\", b\"u:object_r:{kind}:s0\")'; ")
}

/// The forms in which virtqemud runs a file with the label of hooks.
fn in_the_hooks_directory() -> [String; 2] {
    let labelled = labelling("virt_hook_t", "etc/libvirt/hooks/qemu");
    let script = SCRIPT.replace("/usr/local/sbin", "/usr/sbin");
    [[COPY, &labelled].concat(), script + &labelled]
}

#[test]
fn what_selinux_denies_stops_every_vm_and_is_told_first() {
    let to_link_it = "hooks/qemu /usr/sbin/virt-recontext-hook && ln -sf /usr/sbin/virt-recontext-hook /";
    for (form, install) in in_the_hooks_directory().iter().zip([to_link_it, "into /usr/sbin itself, under a name"]) {
        let (patient, _kernel) = confined_by_selinux(form, DISTRIBUTIONS);
        let may_not = "hooks/qemu, with the label virt_hook_t: no VM on this host";
        assert_first(&patient, "selinux", may_not, install);
        assert_first(&patient, "selinux", "virtqemud may not run ", "; or allow it: semodule -i /usr/share/");
    }
    // That it may be executed is not enough, unless in another domain; nor is another domain.
    for policy in [Policy { to_hooks: &[EXECUTE], ..DISTRIBUTIONS }, Policy { next: ANOTHER_DOMAIN, ..DISTRIBUTIONS }] {
        let (patient, _kernel) = confined_by_selinux(&in_the_hooks_directory()[0], policy);
        assert_first(&patient, "selinux", "with the label virt_hook_t", "install -Z -m 755 ");
    }
    // A link, and a script that may be run itself, to a program with the label of a person's files.
    let homely = labelling("user_home_t", "usr/sbin/virt-recontext-hook");
    let (patient, _kernel) = confined_by_selinux(&homely, WITH_THE_MODULE);
    let really = "is really /usr/sbin/virt-recontext-hook, with the label user_home_t, which virtqemud may not run";
    assert_first(&patient, "selinux", really, "restorecon /usr/sbin/virt-recontext-hook");
    let (patient, _kernel) = confined_by_selinux(&(homely + &in_the_hooks_directory()[1]), WITH_THE_MODULE);
    assert_first(
        &patient,
        "selinux",
        "unless the script hides the failure",
        "restorecon /usr/sbin/virt-recontext-hook",
    );
}

#[test]
fn what_selinux_lets_the_daemon_run_is_good() {
    let permissive = Policy { flags: 1, ..DISTRIBUTIONS };
    let in_another_domain = Policy { to_hooks: &[EXECUTE], next: ANOTHER_DOMAIN, ..DISTRIBUTIONS };
    let forms = in_the_hooks_directory();
    let [copy, script] = [forms[0].as_str(), forms[1].as_str()];
    for (form, policy) in [
        ("", DISTRIBUTIONS),
        (copy, WITH_THE_MODULE),
        (script, WITH_THE_MODULE),
        (copy, permissive),
        (copy, in_another_domain),
        (script, in_another_domain),
        // What the other domain may run is not known.
        (&(labelling("user_home_t", "usr/sbin/virt-recontext-hook") + script), in_another_domain),
    ] {
        let (patient, _kernel) = confined_by_selinux(form, policy);
        for one in patient.examine() {
            assert_eq!(one.level, "good", "{}: {}", one.check, one.message);
        }
    }
}

#[test]
fn what_selinux_denies_the_daemon_to_do_with_images_and_units_is_told() {
    let (patient, _kernel) = confined_by_selinux("", Policy { to_us: [false, true], ..DISTRIBUTIONS });
    let images = "virtqemud may not change the label virt_var_lib_t that images get in /var/lib/libvirt/recontext";
    assert_finds(&patient.examine(), "selinux", "bad", images, "or set image_dir to a directory below");
    let (patient, _kernel) = confined_by_selinux("", Policy { to_us: [true, false], ..DISTRIBUTIONS });
    assert_finds(&patient.examine(), "selinux", "good", "it is enforcing", "");
    let refused = "virtqemud may not look at processes of unconfined_service_t, and refuses them";
    let found = patient.examine_under_systemd(&units::not_installed());
    assert_finds(&found, "selinux", "warning", refused, "semodule -i /usr/share/selinux/packages/virt-recontext.cil");
}

#[test]
fn what_selinux_would_refuse_is_told() {
    let enforcing = "mkdir -p sys/fs/selinux proc/812/attr; echo 1 >sys/fs/selinux/enforce; \
                     echo system_u:system_r:virtqemud_t:s0-s0:c0.c1023 >proc/812/attr/current; ";
    let label = |kind: &str, path: &str| {
        format!("python3 -c 'import os; os.setxattr(\"{path}\", \"security.selinux\", b\"u:object_r:{kind}:s0\")'; ")
    };
    let copied = "cp --remove-destination $(readlink etc/libvirt/hooks/qemu) etc/libvirt/hooks/qemu; ";
    for (change, level, message, remedy) in [
        (String::new(), "good", "it is enforcing", ""),
        (label("virt_var_lib_t", IMAGES) + &label("bin_t", "usr/sbin/virt-recontext"), "good", "it is enforcing", ""),
        ("echo 0 >sys/fs/selinux/enforce".to_owned(), "good", "permissive", ""),
        (copied.to_owned() + &label("virt_hook_t", "etc/libvirt/hooks/qemu"), "warning", "virt_hook_t", "ausearch"),
        (label("default_t", IMAGES), "warning", "has the label default_t", "semanage fcontext -a -t virt_image_t"),
        (label("user_home_t", "usr/sbin/virt-recontext"), "warning", "has the label user_home_t", "restorecon"),
    ] {
        let patient = Patient::new();
        patient.sh(&[enforcing, &change].concat());
        patient.daemon_started(0);
        assert_finds(&patient.examine(), "selinux", level, message, remedy);
    }
}
