//! What the hook and the helper need of the host: configuration, programs, log, directories and data.

use super::{CHECKS, DRIVE, Found, IMAGES, Patient, assert_finds};
use crate::site::UUID;
use crate::site::journal::Journal;

#[test]
fn a_broken_configuration_is_told_with_its_line_and_ends_no_other_check() {
    let patient = Patient::new();
    patient.vm(DRIVE, "force_after = '3'\n");
    let found = patient.examine();
    let config: Vec<&Found> = found.iter().filter(|one| one.check == "configuration").collect();
    assert!(config[0].level == "bad" && config[0].message.contains("line 2"), "{}", config[0].message);
    let checks: Vec<&str> = found.iter().map(|one| one.check.as_str()).collect();
    assert_eq!(checks, CHECKS[..12]);
    let libvirt = found.iter().find(|one| one.check == "libvirt").unwrap();
    assert!(
        libvirt.level == "good" && libvirt.message.starts_with("test://"),
        "where its line says: {}",
        libvirt.message
    );

    patient.vm(DRIVE, "");
    patient.sh("chmod 666 etc/virt-recontext/config.toml");
    let found = patient.examine();
    assert!(found.iter().any(|one| one.level == "bad" && one.message.contains("chmod go-w")));
}

#[test]
fn a_key_that_nobody_knows_is_bad_and_keeps_nothing_else_from_being_looked_at() {
    let patient = Patient::new();
    patient.vm(DRIVE, "[limits]\ndisk_size = '1MiB'\n");
    assert_finds(
        &patient.examine(),
        "configuration",
        "bad",
        "line 3: unknown field `disk_size`",
        "correct or remove it",
    );
}

#[test]
fn that_all_is_switched_off_is_told_first_and_by_whom() {
    let patient = Patient::new();
    patient.site.write("etc/virt-recontext/disabled", "by Jo\n");
    let found = patient.examine();
    assert_finds(&found, "switch", "warning", "is switched off on this host (by Jo)", "rm ");
    assert_eq!(found[0].check, "switch");
}

#[test]
fn a_host_without_any_data_is_worth_a_look() {
    let patient = Patient::new();
    patient.sh("rm -r etc/virt-recontext/context etc/virt-recontext/facts.d");
    assert_finds(&patient.examine(), "content", "warning", "holds no files and no facts", "put this host's data there");
}

#[test]
fn a_helper_that_the_hook_cannot_start_is_bad() {
    for (fault, message) in [
        ("rm usr/sbin/virt-recontext", "No such file"),
        ("chmod 644 usr/sbin/virt-recontext", "is not an executable file"),
        ("chmod 777 usr/sbin/virt-recontext", "is writable by users other than root"),
    ] {
        let patient = Patient::new();
        patient.sh(fault);
        assert_finds(&patient.examine(), "helper", "bad", message, "install virt-recontext as ");
    }
}

#[test]
fn a_log_that_nobody_reads_is_worth_a_look() {
    let patient = Patient::new();
    patient.sh("rm dev/log");
    assert_finds(&patient.examine(), "log", "warning", "all else works, but nothing is logged", "systemd-journald");
    // Where journald runs, that alone will do.
    let _journal = Journal::on(&patient.site);
    assert_finds(&patient.examine(), "log", "good", "run/systemd/journal/socket accepts lines", "");
}

#[test]
fn directories_that_are_not_fit_are_told() {
    for (fault, check, level, message) in [
        ("chmod 700 $dir", "images", "bad", "QEMU's user cannot reach the images through "),
        ("chmod 700 var/lib", "images", "bad", "/var/lib"),
        ("chmod 777 $dir", "images", "bad", "is writable by users other than root: chmod go-w"),
        ("chown 65534 $dir", "images", "bad", "belongs to user 65534, not to root: chown root"),
        ("rm -r $dir; touch $dir", "images", "bad", "is not a directory"),
        ("chmod 777 run/libvirt/recontext", "run-directory", "bad", "is writable by users other than root"),
        ("rm -r run/libvirt/recontext; touch run/libvirt/recontext", "run-directory", "bad", "is not a directory"),
    ] {
        let patient = Patient::new();
        patient.sh(&fault.replace("$dir", IMAGES));
        let found = patient.examine();
        // Of a VM without image or state there is more to say, and no job or state can be read.
        let relevant: Vec<Found> = found
            .into_iter()
            .filter(|one| !matches!(one.check.as_str(), "vm" | "jobs") || one.check == check)
            .collect();
        assert_finds(&relevant, check, level, message, "");
    }
}

#[test]
fn file_systems_that_are_not_fit_are_told() {
    let keep = format!("cp -a {IMAGES} copy && mount -t tmpfs");
    for (mount, check, level, message) in [
        (format!("{keep} x {IMAGES} && cp copy/* {IMAGES}"), "images", "warning", "is on tmpfs, in this host's memory"),
        (format!("mount --bind {IMAGES} {IMAGES} && mount -o remount,bind,ro {IMAGES}"), "images", "bad", "read-only"),
        ("mount --bind usr usr && mount -o remount,bind,noexec usr".to_owned(), "helper", "bad", "is mounted noexec"),
    ] {
        let patient = Patient::new();
        assert_finds(&patient.examine_with(&mount), check, level, message, "");
    }
    let patient = Patient::new();
    patient.sh("cp --remove-destination $(readlink etc/libvirt/hooks/qemu) etc/libvirt/hooks/qemu");
    let found = patient.examine_with("mount --bind etc etc && mount -o remount,bind,noexec etc");
    assert_finds(&found, "hook", "bad", "which is mounted noexec", "in /usr/sbin");
    let patient = Patient::new();
    let small = format!("mount -t tmpfs -o size=1m,mode=755 x {IMAGES} && echo disc >{IMAGES}/{UUID}.iso");
    assert_finds(
        &patient.examine_with(&small),
        "images",
        "warning",
        "MiB left; one disc may take 64 MiB",
        "free space",
    );
}

#[test]
fn images_that_are_left_where_image_dir_once_was_are_told_unless_a_vm_names_them() {
    let patient = Patient::new();
    let (disc, old) = ("11111111-2222-4333-8444-555555555555.iso", "srv/discs");
    patient.site.write(&format!("{IMAGES}/{disc}"), "a disc");
    assert!(patient.examine().iter().all(|one| one.level == "good"), "the directory is in use");
    patient.vm(DRIVE, "image_dir = '/srv/new'\n");
    patient.sh("chmod 755 .. .; mkdir -m 711 -p srv/new");
    let told = |found: Vec<Found>| {
        let told = found.into_iter().filter(|one| one.check == "images" && one.level == "warning");
        told.map(|one| one.message).collect::<Vec<_>>()
    };
    let line = |dir: &str| {
        format!("in /{dir}, which is not image_dir, there are images that no VM here names any more: {disc}")
    };
    assert_eq!(told(patient.examine()), [line(IMAGES)], "and not of the VM's, which it names");
    patient.sh(&format!("mv {IMAGES} {old}; cd run/libvirt/recontext/state; sed -i 's|/{IMAGES}|/{old}|' *"));
    patient.vm(&DRIVE.replace("IMAGE", &format!("/{old}/{UUID}.iso")), "image_dir = '/srv/new'\n");
    assert_eq!(told(patient.examine()), [line(old)]);
}

#[test]
fn what_does_not_count_is_told_and_is_no_fault() {
    let patient = Patient::new();
    for file in ["facts.d/.site.toml.swp", "facts.d/README", "context/motd~", "domains/.gitkeep", "domains/web/x"] {
        patient.site.write(&format!("etc/virt-recontext/{file}"), "{{");
    }
    let found = patient.examine();
    let content: Vec<&str> =
        found.iter().filter(|one| one.check == "content").map(|one| one.message.as_str()).collect();
    assert!(found.iter().all(|one| one.level == "good"));
    assert_eq!(content.len(), 2, "{content:?}");
    let dir = patient.path("etc/virt-recontext");
    let list = [".site.toml.swp", "README"].map(|name| format!("{}/facts.d/{name}", dir.display())).join(", ");
    let told = format!("; by their names these do not count: {list}, {}/context/motd~", dir.display());
    assert!(content[0].ends_with(&told), "{content:?}");
}

#[test]
fn data_for_a_uuid_that_is_written_as_no_vm_is_found_is_worth_a_look() {
    let patient = Patient::new();
    let wrong = UUID.to_uppercase();
    patient.site.write(&format!("etc/virt-recontext/domains/{wrong}/context/x"), "x");
    assert_finds(&patient.examine(), "content", "warning", &format!("{wrong} is no VM's"), &format!("/{UUID}"));
}

#[test]
fn data_for_one_vm_that_no_vm_here_gets_is_told_and_is_no_fault() {
    let patient = Patient::new();
    let other = "11111111-2222-4333-8444-555555555555";
    for name in ["web", UUID, "wbe", other] {
        patient.site.write(&format!("etc/virt-recontext/domains/{name}/context/x"), "x");
    }
    let found = patient.examine();
    assert!(found.iter().all(|one| one.level == "good"));
    let of = |name: &str| {
        let told = found.iter().find(|one| one.message.contains(&format!("/domains/{name}: ")));
        told.unwrap().message.rsplit_once(": ").unwrap().1.to_owned()
    };
    let gives = "it gives 1 file and 0 top-level facts";
    for (name, unknown) in [
        ("web", ""),
        (UUID, ""),
        ("wbe", "; no VM that this host knows now is called so"),
        (other, "; no VM that this host knows now is called so"),
    ] {
        assert_eq!(of(name), format!("{gives}{unknown}"));
    }
    // What is not known is not told.
    patient.site.write("etc/virt-recontext/config.toml", "uri = 'test:///nowhere.xml'\n");
    assert!(patient.examine().iter().all(|one| !one.message.contains("called so")));
}

#[test]
fn data_that_does_not_load_is_told_with_its_file() {
    for (file, text, message) in [
        ("facts.d/x.toml", "a = \n", "facts.d/x.toml"),
        ("facts.d/x.yaml", "a: 1\n", "facts are in *.toml, *.json"),
        ("domains/web/facts.d/x.json", "[]", "domains/web/facts.d/x.json"),
        ("domains/other/facts.d/x.json", "[]", "domains/other/facts.d/x.json"),
    ] {
        let patient = Patient::new();
        patient.site.write(&format!("etc/virt-recontext/{file}"), text);
        let found = patient.examine();
        assert_finds(&found, "content", "bad", message, "fix it");
    }
}
