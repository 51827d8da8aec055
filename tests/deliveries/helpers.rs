//! Helpers among themselves, and with the daemon.

use serde_json::json;

use super::node::{Node, OFF, Vm, told};
use crate::site::{finish, wait_for};

#[test]
fn a_second_helper_leaves_its_work_to_the_first() {
    let (web, later) = (Vm::called("web"), Vm::called("later"));
    let node = Node::with(&[&web, &later]);
    node.gate(&web);
    node.note(&web, "start");
    let mut first = node.helper();
    wait_for("the first helper to be at work", || node.is_at_gate(&web));
    node.note(&later, "start");
    node.deliver();
    assert!(first.try_wait().unwrap().is_none(), "the second has waited for the first");
    // The first finds it by itself, while it is still busy with another.
    wait_for("the later job", || node.progress(&later) == told("delivered", "start"));
    assert!(first.try_wait().unwrap().is_none());
    node.open_gate(&web);
    assert!(finish(first).status.success());
    assert_eq!(node.progress(&web), told("delivered", "start"));
    assert!(!node.job(&web).exists() && !node.job(&later).exists());
    let pid = |line: &String| line.split_once('[').unwrap().1.split_once(']').unwrap().0.to_owned();
    let pids: Vec<String> = node.site.log_lines().iter().map(pid).collect();
    assert!(pids.len() == 2 && pids[0] == pids[1], "both jobs are the first helper's: {pids:?}");
}

#[test]
fn without_its_daemon_a_helper_leaves_the_jobs_to_the_next() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.note(&web, "start");
    let file = node.site.beside("node.xml");
    std::fs::rename(&file, node.site.beside("away")).unwrap();
    let (code, said) = node.say(&["deliver"]);
    assert_eq!(code, 1);
    assert!(said.contains(&format!("connecting to libvirt at test://{}: ", file.display())), "{said}");
    let log = node.site.messages();
    assert!(log.len() == 1 && log[0].ends_with("; the jobs are left for the next helper"), "{log:?}");
    assert_eq!(node.all_of(&web), ["job"]);
    std::fs::rename(node.site.beside("away"), &file).unwrap();
    node.deliver();
    assert_eq!(node.progress(&web), told("delivered", "start"));
}

#[test]
fn a_vm_of_a_driver_that_cannot_be_reached_waits_and_keeps_no_other_waiting() {
    let (guest, web) = (Vm::called("guest"), Vm::called("web"));
    let node = Node::with(&[&web]);
    // The older one, and of a VM that the other driver does not know.
    node.note_with(&guest, json!({"driver": "xen"}));
    node.note(&web, "start");
    let (code, said) = node.say(&["deliver"]);
    assert_eq!(code, 1);
    assert!(said.contains("connecting to libvirt at xen:///system: "), "{said}");
    assert_eq!(node.progress(&web), told("delivered", "start"));
    assert!(node.job(&guest).exists() && !node.job(&web).exists());
}

#[test]
fn a_broken_configuration_leaves_the_jobs_until_it_is_mended() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.note(&web, "refresh");
    node.configure("image_dir = 7\n");
    let (code, said) = node.say(&["deliver"]);
    assert!(code == 1 && said.contains("config.toml"), "{code}: {said}");
    assert_eq!(node.all_of(&web), ["job"]);
    node.configure("");
    node.deliver();
    assert_eq!(node.progress(&web), told("delivered", "refresh"));
}

#[test]
fn what_is_half_written_when_a_vm_comes_is_read_again_by_the_same_helper() {
    let (web, later) = (Vm::called("web"), Vm::called("later"));
    let node = Node::with(&[&web, &later]);
    node.note(&web, "start");
    node.configure("image_dir = '/var/l");
    let helper = node.helper();
    wait_for("the helper to wait", || node.site.path("run/libvirt/recontext/helper.lock").exists());
    node.site.write("etc/virt-recontext/facts.d/site.toml", "site = 'ber");
    node.configure("");
    wait_for("the fault to be told", || node.state(&web)["message"].as_str().unwrap_or_default().contains("site.toml"));
    assert_eq!(node.progress(&web), told("waiting", "start"));
    node.site.write("etc/virt-recontext/facts.d/site.toml", "site = 'berlin'");
    assert!(finish(helper).status.success());
    assert_eq!(node.progress(&web), told("delivered", "start"));
}

#[test]
fn a_key_that_nobody_knows_is_logged_once_and_costs_no_vm_its_disc() {
    let (web, other) = (Vm::called("web"), Vm::called("other"));
    let node = Node::with(&[&web, &other]);
    node.configure("[[elect]]\nname = 'web'\n");
    node.note(&web, "start");
    node.note(&other, "start");
    node.deliver();
    for vm in [&web, &other] {
        assert_eq!(node.progress(vm), told("delivered", "start"));
    }
    let log = node.site.messages();
    assert_eq!(log.iter().filter(|line| line.contains("line 2: unknown field `elect`")).count(), 1, "{log:?}");
    // Whoever can mend it is told.
    for words in [["enable", "web"], ["preview", "web"]] {
        let (code, said) = node.say(&words);
        assert!(code == 1 && said.contains("line 2: unknown field `elect`"), "{words:?}: {code}: {said}");
    }
}

#[test]
fn a_job_of_a_newer_version_is_left_to_that() {
    let (web, newer) = (Vm::called("web"), Vm::called("newer"));
    let node = Node::with(&[&web, &newer]);
    node.note(&web, "start");
    node.note_with(&newer, json!({"version": 2, "reason": "adopt"}));
    node.deliver();
    assert_eq!((node.progress(&web), node.all_of(&newer)), (told("delivered", "start"), vec!["job"]));
    let log = node.site.messages();
    let told_of = |line: &&String| line.contains(&newer.uuid) && line.contains("a newer version");
    assert_eq!(log.iter().filter(told_of).count(), 1, "{log:?}");
    // A newer event is of this version.
    node.note(&newer, "start");
    node.deliver();
    assert_eq!(node.progress(&newer), told("delivered", "start"));
    assert_eq!(node.state(&newer)["version"], 1);
}

#[test]
fn without_jobs_a_helper_does_nothing_and_ends_well() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.deliver();
    assert_eq!(node.all_of(&web), [""; 0]);
    assert_eq!(node.site.messages(), [""; 0]);
}

#[test]
fn while_it_is_switched_off_no_disc_changes_and_who_asks_is_told() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.site.write("etc/virt-recontext/disabled", "storage is being moved\nask the storage people\n");
    node.note(&web, "start");
    node.deliver();
    assert_eq!(node.all_of(&web), ["job"]);
    for words in [["refresh", "web"], ["refresh", "--all"], ["enable", "web"]] {
        let (code, said) = node.say(&words);
        assert_eq!(code, 3, "{words:?}: {said}");
        assert!(said.contains("is switched off on this host (storage is being moved), until "), "{words:?}: {said}");
        assert_eq!(node.all_of(&web), ["job"]);
    }
    // It gets its disc at no start before that.
    node.has(&[&Vm { more: OFF, ..web.clone() }]);
    let (code, said) = node.say(&["enable", "web"]);
    assert!(code == 3 && said.contains("no disc is made before that"), "{code}: {said}");
    node.has(&[&web]);
    let (code, said) = node.say(&["status"]);
    assert!(code == 1 && said.contains("is switched off on this host (storage is being moved)"), "{code}: {said}");
    std::fs::remove_file(node.site.path("etc/virt-recontext/disabled")).unwrap();
    node.deliver();
    assert_eq!(node.progress(&web), told("delivered", "start"));
}

#[test]
fn a_helper_at_work_begins_nothing_more_when_it_is_switched_off() {
    let (web, later) = (Vm::called("web"), Vm::called("later"));
    let node = Node::with(&[&web, &later]);
    node.gate(&web);
    node.note(&web, "start");
    let helper = node.helper();
    wait_for("the helper to be at work", || node.is_at_gate(&web));
    node.site.write("etc/virt-recontext/disabled", "");
    node.note(&later, "start");
    node.open_gate(&web);
    assert!(finish(helper).status.success());
    assert_eq!((node.progress(&web), node.all_of(&later)), (told("delivered", "start"), vec!["job"]));
}
