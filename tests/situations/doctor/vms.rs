//! What becomes of the VMs' discs.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::{DRIVE, Found, IMAGES, Patient, assert_finds, domain};
use crate::site::{UUID, now, run};

#[test]
fn a_vms_drive_that_is_not_fit_is_told() {
    let disk = |source: &str, target: &str| {
        format!("<disk type='file' device='cdrom'>{source}<target {target}/><readonly/></disk>")
    };
    let ours = "<source file='IMAGE' startupPolicy='optional'/>";
    let other_place = format!("<source file='/other/{UUID}.iso' startupPolicy='optional'/>");
    let hdc = "dev='hdc' bus='ide'";
    for (drive, level, message, remedy) in [
        (disk(ours, "dev='hdc' bus='usb'"), "bad", "is on the usb bus, where QEMU cannot change", "--target DEV"),
        (String::new(), "bad", "has no CD-ROM drive hdc", "virt-recontext enable web"),
        (disk("", hdc), "warning", "the drive hdc is empty", "virt-recontext refresh web"),
        (
            disk("<source file='/x.iso' startupPolicy='optional'/>", hdc),
            "bad",
            "holds /x.iso, not its context",
            "refresh web",
        ),
        (disk(&other_place, hdc), "warning", "but on this host its image is /var/lib", "refresh web"),
        (disk("<source file='IMAGE'/>", hdc), "warning", "has no startupPolicy='optional'", "--force"),
    ] {
        let patient = Patient::new();
        patient.vm(&drive, "");
        let found = patient.examine();
        assert_finds(&found, "vm", level, message, remedy);
        let later = |one: &&Found| one.level != "good" && one.message.starts_with("at its next start, ");
        assert_eq!(found.iter().filter(later).count(), 1, "its definition has the same fault");
    }
    let patient = Patient::new();
    patient.sh(&format!("rm {IMAGES}/*"));
    let missing = format!("its image /{IMAGES}/{UUID}.iso is missing");
    assert_finds(&patient.examine(), "vm", "bad", &missing, "virt-recontext refresh web");
}

#[test]
fn what_became_of_a_vms_disc_is_told() {
    let patient = Patient::new();
    patient.state("failed", "migrate", now() - 200_000);
    assert_finds(
        &patient.examine(),
        "vm",
        "bad",
        "it got no new disc at 20",
        "fix that, then virt-recontext refresh web",
    );
    patient.state("waiting", "migrate", now() - 200_000);
    assert_finds(
        &patient.examine(),
        "vm",
        "warning",
        "its new disc has been waiting since 20",
        "virt-recontext refresh web",
    );
    patient.sh("rm -r run/libvirt/recontext");
    assert_finds(
        &patient.examine(),
        "vm",
        "warning",
        "the hook had not been called when it came",
        "virt-recontext refresh web",
    );
}

#[test]
fn a_job_is_late_only_when_no_helper_is_at_work() {
    let patient = Patient::new();
    let job = |noted: u64| {
        patient.site.write(
            &format!("run/libvirt/recontext/jobs/{UUID}.json"),
            &format!(
                "{{\"uuid\":\"{UUID}\",\"name\":\"web\",\"reason\":\"migrate\",\"noted\":{noted},\"id\":\"1-1\"}}"
            ),
        );
    };
    job(now());
    assert_finds(&patient.examine(), "jobs", "good", "noted a moment ago for: web", "");
    job(now() - 100_000);
    let late = "no helper is running, and a disc has been waiting for more than 60 s for: web";
    assert_finds(&patient.examine(), "jobs", "warning", late, "virt-recontext refresh VM");
    patient.site.write("run/libvirt/recontext/helper.lock", "");
    assert_finds(&patient.examine(), "jobs", "warning", late, "virt-recontext refresh VM");
    let lock = fs::File::open(patient.path("run/libvirt/recontext/helper.lock")).unwrap();
    fs2::FileExt::lock_exclusive(&lock).unwrap();
    patient.state("waiting", "migrate", now());
    let found = patient.examine();
    assert_finds(&found, "jobs", "good", "a helper is working for: web", "");
    assert!(found.iter().any(|one| one.message == "its new disc is on its way into the drive hdc"));
}

#[test]
fn a_disc_that_could_not_be_made_now_is_told() {
    let patient = Patient::new();
    patient.site.write("etc/virt-recontext/context/x.j2", "{{ nothing }}\n");
    let message = "no disc can be made for it now: the template ";
    assert_finds(&patient.examine(), "vm", "bad", message, "virt-recontext preview web");

    let patient = Patient::new();
    let program = "etc/virt-recontext/facts.d/probe";
    patient.site.write(program, "#!/bin/sh\necho no >&2; exit 1\n");
    fs::set_permissions(patient.path(program), Permissions::from_mode(0o755)).unwrap();
    assert_finds(&patient.examine(), "vm", "bad", "facts.d/probe: it failed (exit status: 1): no", "preview");
    let found = patient.examine_with("mount --bind etc etc && mount -o remount,bind,noexec etc");
    assert!(found.iter().any(|one| one.check == "content" && one.message.contains("probe is on ")));
}

#[test]
fn one_fault_is_told_once_of_a_vm() {
    let patient = Patient::new();
    patient.site.write("etc/virt-recontext/context/x.j2", "{{ nothing }}\n");
    let bad = |patient: &Patient| {
        let bad = patient.examine().into_iter().filter(|one| one.level == "bad");
        bad.map(|one| (one.check, one.message)).collect::<Vec<_>>()
    };
    let told = bad(&patient).remove(0).1.replace("no disc can be made for it now: ", "");
    let state = patient.path(&format!("run/libvirt/recontext/state/{UUID}.json"));
    patient.state("failed", "refresh", now());
    let text = fs::read_to_string(&state).unwrap();
    fs::write(&state, text.replace("so it is", &told)).unwrap();
    let found = bad(&patient);
    assert!(
        found.len() == 1 && found[0].1.starts_with("it got no new disc at ") && found[0].1.ends_with(&told),
        "{found:?}"
    );

    // Nor is what is wrong with the host's data.
    patient.sh("rm etc/virt-recontext/context/x.j2");
    patient.site.write("etc/virt-recontext/facts.d/x.toml", "a = \n");
    let told = bad(&patient).remove(0).1.replace("; no disc is made", "");
    fs::write(&state, text.replace("so it is", &told)).unwrap();
    let found = bad(&patient);
    assert_eq!(found.iter().filter(|(_, message)| message.contains(&told)).count(), 1, "{found:?}");
    assert!(found.len() == 2 && found[1].1.ends_with(": for what is told above"), "{found:?}");
}

#[test]
fn vms_that_take_no_part_or_do_not_run_are_judged_by_what_they_are() {
    let patient = Patient::new();
    patient.vms(&domain("web", "", "", ""), "");
    assert_finds(&patient.examine(), "vm", "good", "none of this host's VMs (1) takes part", "");
    let shut_off = "<test:runstate>5</test:runstate>";
    let opt_in = "<r:context xmlns:r='urn:virt-recontext:1' target='hdc'/>";
    patient.vms(&domain("web", DRIVE, opt_in, shut_off), "");
    patient.sh(&format!("rm -r {IMAGES} run/libvirt/recontext"));
    assert_finds(
        &patient.examine(),
        "vm",
        "good",
        "is not running; the drive hdc holds its disc from its next start on",
        "",
    );
    let faulty = "<r:context xmlns:r='urn:virt-recontext:1' tagret='hdc'/>";
    patient.vms(&domain("web", DRIVE, faulty, shut_off), "");
    let edit = "web urn:virt-recontext:1 --key recontext --edit";
    assert_finds(&patient.examine(), "vm", "warning", "the attribute tagret", edit);
    let needs = "<r:context xmlns:r='urn:virt-recontext:1' target='hdc' needs='sign'/>";
    patient.vms(&domain("web", DRIVE, needs, shut_off), "");
    assert_finds(&patient.examine(), "vm", "bad", "needs \"sign\"", edit);
}

#[test]
fn a_vms_name_never_becomes_part_of_a_command_that_is_to_be_copied() {
    let patient = Patient::new();
    let opt_in = "<r:context xmlns:r='urn:virt-recontext:1' target='hdc'/>";
    patient.vms(&domain("$(reboot)", "", opt_in, ""), "");
    let output = run(&mut patient.site.recontext(&["doctor"]), b"");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains(&format!("-> virt-recontext enable {UUID} --target DEV")), "{told}");
}
