//! What is left of VMs that ended: without our noticing, for example while the hook was not installed, or with a disc that
//! the hook left for a snapshot or a saved state.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::node::{Node, OFF, Vm, told};
use crate::site::wait_for;

/// Older than a state can be of a VM that is still to arrive, or to come back, in seconds.
const OLD: u64 = 120;

#[test]
fn what_is_left_of_a_vm_that_runs_here_no_more_is_removed() {
    let (web, db, stays) = (Vm::called("web"), Vm::called("db"), Vm::called("stays"));
    let node = Node::with(&[&web, &db, &stays]);
    [&web, &db, &stays].iter().for_each(|vm| node.serve(vm));
    [&web, &db, &stays].iter().for_each(|vm| node.age(vm, OLD));
    node.has(&[&stays, &Vm { more: OFF, ..db.clone() }]);
    node.deliver();
    assert_eq!([&web, &db].map(|vm| node.all_of(vm).len()), [0, 0]);
    assert_eq!(node.all_of(&stays), ["state", "disc", "lock"]);
    let mut log = node.site.messages();
    log.sort();
    let line = |name: &str| format!("{name}: is no longer running here; its disc is removed");
    assert_eq!(log, [line("db"), line("web")]);
}

#[test]
fn a_disc_that_the_hook_left_is_unknown_to_status_and_goes_with_a_later_refresh() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.serve(&web);
    node.edit(&node.state_file(&web), |state| state["left"] = json!(true));
    node.has(&[]);
    assert_eq!(node.say(&["status", "--json"]), (0, "[]\n".to_owned()));
    let refresh = || {
        assert_eq!(node.say(&["refresh", "--all"]), (0, String::new()));
        wait_for("the helper to end", || node.site.processes().is_empty());
        node.all_of(&web)
    };
    assert_eq!(refresh(), ["state", "disc", "lock"], "it is young");
    node.age(&web, OLD);
    assert_eq!(refresh(), [""; 0]);
}

#[test]
fn what_is_left_of_a_vm_stays_when_it_is_young_or_another_drivers() {
    let (young, xen) = (Vm::called("young"), Vm::called("xen"));
    let node = Node::with(&[&young, &xen]);
    [&young, &xen].iter().for_each(|vm| node.serve(vm));
    node.age(&xen, OLD);
    node.edit(&node.state_file(&xen), |state| state["driver"] = json!("xen"));
    node.has(&[]);
    node.deliver();
    assert_eq!([&young, &xen].map(|vm| node.all_of(vm)), [["state", "disc", "lock"]; 2]);
    assert_eq!(node.site.messages(), [""; 0]);
}

#[test]
fn what_is_left_of_a_vm_stays_while_it_has_a_job() {
    let (web, stays) = (Vm::called("web"), Vm::called("stays"));
    let node = Node::with(&[&web, &stays]);
    node.serve(&web);
    node.age(&web, OLD);
    // One that this helper cannot do, and one that brings it to the driver of the state.
    node.note_with(&web, json!({"driver": "xen"}));
    node.note(&stays, "start");
    node.has(&[&stays]);
    assert_eq!(node.say(&["deliver"]).0, 1);
    assert_eq!(node.progress(&stays), told("delivered", "start"));
    assert_eq!(node.all_of(&web), ["job", "state", "disc", "lock"]);
}

/// Another host puts its disc in the place of an old one of ours, and the VM is gone from here. The number of its file.
fn another_host_publishes(node: &Node, vm: &Vm) -> u64 {
    node.serve(vm);
    node.age(vm, OLD);
    let theirs = node.site.beside("theirs");
    fs::write(&theirs, "theirs").unwrap();
    fs::rename(&theirs, node.image(vm)).unwrap();
    node.has(&[]);
    fs::metadata(node.image(vm)).unwrap().ino()
}

#[track_caller]
fn assert_their_disc_stays(node: &Node, vm: &Vm) {
    node.deliver();
    assert_eq!(node.all_of(vm), ["disc"]);
    assert_eq!(fs::read(node.image(vm)).unwrap(), b"theirs");
}

#[test]
fn a_disc_that_another_host_put_there_stays() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    another_host_publishes(&node, &web);
    assert_their_disc_stays(&node, &web);
}

#[test]
fn a_disc_that_another_host_put_there_stays_even_if_it_has_the_number_of_ours() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    // Every second disc in one place has the same number, on ext4.
    let number = another_host_publishes(&node, &web);
    node.edit(&node.state_file(&web), |state| {
        state["left"] = json!(true);
        state["identity"]["ino"] = json!(number);
    });
    assert_their_disc_stays(&node, &web);
}

#[test]
fn what_programs_printed_for_a_vm_is_kept_for_a_day_after_it_left() {
    const DAY: u64 = 24 * 60 * 60 * super::node::SECOND;
    let (web, db) = (Vm::called("web"), Vm::called("db"));
    let node = Node::with(&[&web, &db]);
    node.program("facts.d/probe", "echo '{\"probe\": 1}'");
    let facts = |vm: &Vm| node.site.path(&format!("run/libvirt/recontext/facts/{}.json", vm.uuid));
    for (vm, age) in [(&web, DAY + super::node::SECOND * 60), (&db, DAY / 2)] {
        node.serve(vm);
        node.age(vm, OLD);
        node.edit(&facts(vm), |results| {
            for result in results["programs"].as_object_mut().unwrap().values_mut() {
                result["at"] = json!(result["at"].as_u64().unwrap() - age);
            }
        });
    }
    node.has(&[]);
    node.deliver();
    assert_eq!([&web, &db].map(|vm| facts(vm).exists()), [false, true]);
}

#[test]
fn an_image_of_which_no_vm_job_or_state_is_known_here_goes_and_no_other() {
    let (gone, off, young, job) = (Vm::called("gone"), Vm::called("off"), Vm::called("young"), Vm::called("job"));
    let node = Node::with(&[&gone, &off, &young, &job]);
    [&gone, &off, &young, &job].iter().for_each(|vm| node.serve(vm));
    // As after a crash of the host.
    fs::remove_dir_all(node.site.path("run/libvirt/recontext")).unwrap();
    let old = SystemTime::now() - Duration::from_secs(OLD);
    let age = |path: &Path| fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    [&gone, &off, &job].iter().for_each(|vm| age(&node.image(vm)));
    let odd = node.image(&gone).with_file_name(gone.uuid.to_uppercase() + ".iso");
    fs::write(&odd, "somebody's").unwrap();
    age(&odd);
    node.note_with(&job, json!({"driver": "xen"}));
    let web = Vm::called("web");
    node.has(&[&Vm { more: OFF, ..off.clone() }, &web]);
    node.note(&web, "start");
    // The other driver is not there.
    assert_eq!(node.say(&["deliver"]).0, 1);
    assert_eq!([&gone, &off, &young, &job].map(|vm| node.image(vm).exists()), [false, true, true, true]);
    assert!(odd.exists());
    let log = node.site.messages();
    let line = format!("{}: no VM of this host is known of; removed", node.image(&gone).display());
    assert!(log.contains(&line), "{log:?}");
}

#[test]
fn where_there_is_another_driver_an_image_may_be_of_one_of_its_vms() {
    let (gone, web) = (Vm::called("gone"), Vm::called("web"));
    let node = Node::with(&[&gone, &web]);
    node.serve(&gone);
    fs::remove_dir_all(node.site.path("run/libvirt/recontext")).unwrap();
    let image = fs::File::options().write(true).open(node.image(&gone)).unwrap();
    image.set_modified(SystemTime::now() - Duration::from_secs(OLD)).unwrap();
    node.has(&[&web]);
    let other = node.site.path("run/libvirt/libxl");
    fs::create_dir_all(&other).unwrap();
    node.note(&web, "start");
    node.deliver();
    assert!(node.image(&gone).exists());
    fs::remove_dir(&other).unwrap();
    node.note(&web, "start");
    node.deliver();
    assert!(!node.image(&gone).exists());
}
