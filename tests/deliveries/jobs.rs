//! What becomes of a job.

use std::fs;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::node::{Node, OFF, PAUSED, SECOND, Vm, told};
use crate::site::{finish, now, wait_for};

#[test]
fn a_job_is_delivered() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.note(&web, "start");
    node.deliver();
    assert_eq!(node.progress(&web), told("delivered", "start"));
    assert!(node.is_on_disc(&web, "endpoint=https://monitor.host-b.example:9100 site=berlin host=host-b vm=web"));
    assert_eq!(node.all_of(&web), ["state", "disc", "lock"]);
    let log = node.site.messages();
    let line = format!("web: start: disc {}: in the drive hdc", node.generation(&web));
    assert!(log.len() == 1 && log[0].starts_with(&line), "{log:?}");
    let (code, status) = node.say(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!((code, &status[0]["state"], &status[0]["job_waiting"]), (0, &json!("delivered"), &json!(false)));
    assert_eq!(status[0]["generation"], node.generation(&web));
}

#[test]
fn what_the_hook_notes_at_a_start_its_helper_delivers() {
    let web = Vm { medium: None, ..Vm::called("web") };
    let node = Node::with(&[&web]);
    node.site.install_real_helper();
    node.hook(&web, "started");
    assert_eq!(node.progress(&web), told("delivered", "start"));
    assert_eq!(node.all_of(&web), ["state", "disc", "lock"]);
}

#[test]
fn the_disc_that_the_hook_made_is_the_one_that_is_delivered() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.hook(&web, "migrate");
    let (generation, disc) = (node.generation(&web), fs::read(node.image(&web)).unwrap());
    assert!(node.job(&web).exists());
    node.deliver();
    assert_eq!(node.progress(&web), told("delivered", "migrate"));
    assert_eq!(node.generation(&web), generation);
    assert!(fs::read(node.image(&web)).unwrap() == disc);
}

#[test]
fn a_drive_is_found_in_any_state_and_a_guest_in_either() {
    let disc = Vm::called("ours").medium;
    for (medium, more) in [(None, ""), (Some("/srv/install.iso".to_owned()), ""), (disc, ""), (None, PAUSED)] {
        let ours = Vm { medium, more, ..Vm::called("ours") };
        let node = Node::with(&[&ours]);
        node.note(&ours, "start");
        node.deliver();
        assert_eq!(node.progress(&ours), told("delivered", "start"), "{:?}", ours.medium);
    }
}

#[test]
fn a_first_disc_into_an_empty_drive_waits_until_the_firmware_is_through_and_no_other_does() {
    let empty = |name| Vm { medium: None, ..Vm::called(name) };
    let jobs = [(empty("boots"), "start"), (empty("came"), "migrate"), (Vm::called("full"), "start")];
    let node = Node::with(&jobs.each_ref().map(|(vm, _)| vm));
    let noted = now();
    jobs.iter().for_each(|(vm, reason)| node.note(vm, reason));
    node.deliver();
    let waited = jobs.each_ref().map(|(vm, reason)| {
        assert_eq!(node.progress(vm), told("delivered", reason), "{}", vm.name);
        node.state(vm)["since"].as_u64().unwrap() >= noted + SECOND
    });
    assert_eq!(waited, [true, false, false]);
}

#[test]
fn a_job_that_came_while_an_older_one_was_done_is_done_too() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.gate(&web);
    node.note(&web, "start");
    let helper = node.helper();
    wait_for("the helper to be at the first job", || node.is_at_gate(&web));
    node.note(&web, "migrate");
    node.open_gate(&web);
    assert!(finish(helper).status.success());
    assert_eq!(node.progress(&web), told("delivered", "migrate"));
    assert!(!node.job(&web).exists());
    let log = node.site.messages();
    assert!(log.last().unwrap().starts_with("web: migrate: disc "), "{log:?}");
}

#[test]
fn what_libvirt_refuses_is_tried_again_and_a_newer_job_takes_its_place() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    // The test driver knows no force.
    node.note_with(&web, json!({"reason": "refresh", "force": true}));
    let helper = node.helper();
    wait_for("the first attempt", || node.message(&web).starts_with("trying again after: "));
    assert_eq!(node.progress(&web), told("waiting", "refresh"));
    node.note(&web, "restore");
    assert!(finish(helper).status.success());
    assert_eq!(node.progress(&web), told("delivered", "restore"));
    assert!(!node.job(&web).exists());
    let log = node.site.messages();
    assert!(log.iter().all(|line| !line.contains("given up")), "it waited until the older one was given up: {log:?}");
}

#[test]
fn a_helper_that_is_killed_leaves_its_job_to_the_next() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.gate(&web);
    node.note(&web, "start");
    let mut helper = node.helper();
    wait_for("the helper to be at work", || node.is_at_gate(&web));
    helper.kill().unwrap();
    helper.wait().unwrap();
    assert!(node.job(&web).exists());
    node.open_gate(&web);
    node.deliver();
    assert_eq!(node.progress(&web), told("delivered", "start"));
    assert!(!node.job(&web).exists());
}

#[test]
fn a_damaged_job_is_done_as_a_refresh() {
    for damage in [&b"{"[..], b"", b"\xff\xfe", br#"{"uuid":"11111111-2222-4333-8444-555555555555"}"#] {
        let web = Vm::called("web");
        let node = Node::with(&[&web]);
        node.note(&web, "start");
        fs::write(node.job(&web), damage).unwrap();
        node.deliver();
        assert_eq!(node.progress(&web), told("delivered", "refresh"), "{damage:?}");
        assert!(!node.job(&web).exists(), "{damage:?}");
        assert_eq!(node.state(&web)["name"], "web", "{damage:?}");
    }
}

#[test]
fn a_damaged_state_is_written_anew() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.serve(&web);
    fs::write(node.state_file(&web), "{").unwrap();
    node.note(&web, "start");
    node.deliver();
    assert_eq!(node.progress(&web), told("delivered", "start"));
}

#[test]
fn a_job_for_a_vm_that_is_gone_goes_with_all_that_is_left_of_it() {
    let (web, stays) = (Vm::called("web"), Vm::called("stays"));
    for gone in [vec![], vec![Vm { more: OFF, ..web.clone() }]] {
        let node = Node::with(&[&web, &stays]);
        node.serve(&web);
        node.serve(&stays);
        node.note(&web, "start");
        let left: Vec<&Vm> = gone.iter().chain([&stays]).collect();
        node.has(&left);
        node.deliver();
        assert_eq!(node.all_of(&web), [""; 0]);
        assert_eq!(node.all_of(&stays), ["state", "disc", "lock"]);
        assert_eq!(node.site.messages(), ["web: is not running here; its disc is removed"]);
    }
}

#[test]
fn an_arrival_that_has_not_begun_is_waited_for_until_it_is_30_seconds_old() {
    let web = Vm::called("web");
    let node = Node::with(&[]);
    node.hook(&web, "migrate");
    assert_eq!(node.all_of(&web), ["job", "state", "disc", "lock"]);
    let end = now() + 2 * SECOND;
    node.edit(&node.job(&web), |job| job["noted"] = json!(end - 30 * SECOND));
    node.site.log_lines();
    node.deliver();
    assert!(now() >= end, "it was given up too early");
    assert_eq!(node.all_of(&web), [""; 0]);
    assert_eq!(node.site.messages(), ["web: is not running here; its disc is removed"]);
}

#[test]
fn the_jobs_of_many_vms_are_one_helpers_work() {
    let vms: Vec<Vm> = (0..20).map(|n| Vm::called(&format!("vm{n}"))).collect();
    let node = Node::with(&vms.iter().collect::<Vec<_>>());
    vms.iter().for_each(|vm| node.note(vm, "restore"));
    node.deliver();
    for vm in &vms {
        assert_eq!(node.progress(vm), told("delivered", "restore"), "{}", vm.name);
        assert!(!node.job(vm).exists() && node.is_on_disc(vm, &format!(" vm={}\n", vm.name)), "{}", vm.name);
    }
}

#[test]
fn a_vm_whose_disc_cannot_be_made_keeps_its_old_one_its_job_and_no_other_vm_waiting() {
    let (mut bad, good) = (Vm::called("bad"), Vm::called("good"));
    let node = Node::with(&[&bad, &good]);
    node.serve(&bad);
    let (disc, generation) = (fs::read(node.image(&bad)).unwrap(), node.generation(&bad));
    bad.context = Some("<r:file path='a.j2'>{{ nothing }}</r:file>".to_owned());
    node.has(&[&bad, &good]);
    node.note(&bad, "restore");
    node.note(&good, "restore");
    node.deliver();
    assert_eq!(node.progress(&good), told("delivered", "restore"));
    assert_eq!(node.progress(&bad), told("failed", "restore"));
    let message = node.message(&bad);
    assert!(message.contains("a.j2") && message.contains("line 1"), "{message}");
    assert!(node.job(&bad).exists() && !node.job(&good).exists());
    assert!(fs::read(node.image(&bad)).unwrap() == disc && node.generation(&bad) == generation);

    bad.context = Some("<r:file path='a.j2'>{{ facts.site }}</r:file>".to_owned());
    node.has(&[&bad, &good]);
    node.deliver();
    assert_eq!(node.progress(&bad), told("delivered", "restore"));
    assert!(!node.job(&bad).exists() && node.generation(&bad) > generation);
}

#[test]
fn a_vm_that_asks_for_no_context_any_more_gets_no_disc() {
    let web = Vm { context: None, ..Vm::called("web") };
    let node = Node::with(&[&web]);
    node.note(&web, "start");
    node.deliver();
    assert!(!node.job(&web).exists() && !node.image(&web).exists());
}

#[test]
fn what_killed_writers_left_is_tidied_and_what_is_not_ours_stays() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    let old = SystemTime::now() - Duration::from_secs(61);
    let dirs = ["run/libvirt/recontext/jobs", "run/libvirt/recontext/state", "var/lib/libvirt/recontext"];
    for (name, age) in [(".new-old", Some(old)), (".new-young", None), ("README", Some(old))] {
        for dir in dirs {
            node.site.write(&format!("{dir}/{name}"), "x");
            let file = fs::File::options().write(true).open(node.site.path(&format!("{dir}/{name}"))).unwrap();
            age.into_iter().for_each(|age| file.set_modified(age).unwrap());
        }
    }
    node.note(&web, "start");
    node.deliver();
    assert_eq!(node.progress(&web), told("delivered", "start"));
    for dir in dirs {
        let is_there = |name: &str| node.site.path(&format!("{dir}/{name}")).exists();
        assert_eq!([".new-old", ".new-young", "README"].map(is_there), [false, true, true], "{dir}");
    }
}
