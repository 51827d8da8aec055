//! `refresh`: what it does, what it says, and how it ends.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use serde_json::{Value, json};

use super::node::{Node, OFF, Vm, said, told};
use crate::site::{finish, wait_for};

/// Other data of the host's, which gets on every disc.
fn change_data(node: &Node) {
    node.site.write("etc/virt-recontext/context/motd", "moved\n");
}

/// Of the line of each VM: its name, and the words up to the first sign that ends one.
fn lines(said: &str) -> Vec<String> {
    let mut lines: Vec<String> = said.lines().map(|line| line.split(';').next().unwrap().to_owned()).collect();
    lines.sort();
    lines
}

/// `refresh` leaves its helper behind, which may still have to end.
fn refresh(node: &Node, arguments: &[&str]) -> (i32, String) {
    let said = node.say(&[&["refresh"], arguments].concat());
    wait_for("the helper to end", || node.site.processes().is_empty());
    said
}

#[test]
fn a_refresh_of_the_same_content_says_so_and_changes_nothing() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.serve(&web);
    let all = || {
        let image = fs::metadata(node.image(&web)).unwrap();
        (fs::read(node.state_file(&web)).unwrap(), image.ino(), image.mtime_nsec())
    };
    let before = all();
    let said = "web: the content is the same; the disc stays\n".to_owned();
    assert_eq!(refresh(&node, &["web"]), (0, said));
    assert!(all() == before, "something was written");
    assert!(!node.job(&web).exists());
    assert_eq!(node.site.messages(), [""; 0], "a timer may ask every few minutes");
}

#[test]
fn a_refresh_of_other_content_delivers_a_new_disc() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.serve(&web);
    let generation = node.generation(&web);
    change_data(&node);
    let (code, said) = refresh(&node, &[&web.uuid]);
    assert_eq!((code, lines(&said)), (0, vec!["web: in the drive hdc".to_owned()]));
    assert_eq!(node.progress(&web), told("delivered", "refresh"));
    assert!(node.generation(&web) > generation);
    assert!(node.is_on_disc(&web, "moved\n") && !node.job(&web).exists());
    let (code, status) = node.say(&["status", "web", "--json"]);
    let status: Value = serde_json::from_str(&status).unwrap();
    let told = ["state", "reason", "generation", "job_waiting"].map(|key| status[0][key].clone());
    assert_eq!(code, 0);
    assert_eq!(told, [json!("delivered"), json!("refresh"), json!(node.generation(&web)), json!(false)]);
}

#[test]
fn a_disc_of_the_same_content_that_was_not_delivered_is() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.serve(&web);
    let generation = node.generation(&web);
    node.edit(&node.state_file(&web), |state| state["progress"] = json!("waiting"));
    assert_eq!(refresh(&node, &["web"]).0, 0);
    assert_eq!(node.progress(&web), told("delivered", "refresh"));
    assert_eq!(node.generation(&web), generation, "it was made anew");

    // Nor is one that the drive does not hold.
    node.has(&[&Vm { medium: None, ..web.clone() }]);
    node.site.log_lines();
    let (code, said) = refresh(&node, &["web"]);
    assert_eq!((code, lines(&said)), (0, vec!["web: in the drive hdc".to_owned()]));
    assert_eq!(node.site.messages().len(), 1);
}

#[test]
fn refresh_all_is_for_the_vms_that_run_and_take_part() {
    let (web, db) = (Vm::called("web"), Vm::called("db"));
    let (off, other) = (Vm { more: OFF, ..Vm::called("off") }, Vm { context: None, ..Vm::called("other") });
    let node = Node::with(&[&web, &db, &off, &other]);
    node.serve(&web);
    node.serve(&db);
    let (code, said) = refresh(&node, &["--all"]);
    let same = |name: &str| format!("{name}: the content is the same");
    assert_eq!((code, lines(&said)), (0, vec![same("db"), same("web")]));
    change_data(&node);
    let (code, said) = refresh(&node, &["--all"]);
    let new = |name: &str| format!("{name}: in the drive hdc");
    assert_eq!((code, lines(&said)), (0, vec![new("db"), new("web")]));
    for vm in [&web, &db] {
        assert!(node.is_on_disc(vm, "moved\n"));
        assert_eq!(node.progress(vm), told("delivered", "refresh"));
    }
    assert_eq!([&off, &other].map(|vm| node.all_of(vm).len()), [0, 0]);
}

#[test]
fn refresh_all_without_a_vm_to_serve_ends_well_and_does_what_others_left() {
    let left = Vm::called("left");
    let node = Node::with(&[]);
    assert_eq!(refresh(&node, &["--all"]), (0, String::new()));
    node.note(&left, "start");
    assert_eq!(refresh(&node, &["--all"]), (0, String::new()));
    assert_eq!(node.all_of(&left), [""; 0]);
}

#[test]
fn a_refresh_of_a_vm_that_takes_no_part_is_refused_before_anything_is_asked_for() {
    let (web, other) = (Vm::called("web"), Vm { context: None, ..Vm::called("other") });
    let node = Node::with(&[&web, &other]);
    for (name, why) in
        [("other", "does not take part yet; run: virt-recontext enable other"), ("nobody", "there is no VM")]
    {
        let (code, said) = refresh(&node, &["web", name]);
        assert!(code == 1 && said.contains(why), "{code}: {said}");
        assert_eq!(node.all_of(&web), [""; 0]);
    }
}

#[test]
fn a_refresh_of_a_vm_that_does_not_run_leaves_it_to_its_start() {
    let web = Vm { more: OFF, ..Vm::called("web") };
    let node = Node::with(&[&web]);
    assert_eq!(refresh(&node, &["web"]), (0, "web: is not running; its disc is made when it starts\n".to_owned()));
    assert_eq!(node.all_of(&web), [""; 0]);
}

#[test]
fn a_refresh_that_fails_for_one_vm_tells_it_ends_with_1_and_serves_the_others() {
    let bad = Vm { context: Some("<r:file path='a.j2'>{{ nothing }}</r:file>".to_owned()), ..Vm::called("bad") };
    let good = Vm::called("good");
    let node = Node::with(&[&bad, &good]);
    let (code, said) = refresh(&node, &["--all"]);
    assert_eq!(code, 1);
    assert!(said.contains("bad: the template a.j2 "), "{said}");
    assert!(said.contains("good: in the drive hdc"), "{said}");
    assert_eq!(node.progress(&bad), told("failed", "refresh"));
    assert_eq!(node.progress(&good), told("delivered", "refresh"));
    let (_, status) = node.say(&["status", "--json"]);
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!([&status[0]["state"], &status[0]["job_waiting"]], [&json!("failed"), &json!(true)]);
    assert_eq!([&status[1]["state"], &status[1]["job_waiting"]], [&json!("delivered"), &json!(false)]);
}

#[test]
fn a_uuid_means_the_vm_that_has_it_and_not_one_that_is_called_so() {
    let web = Vm::called("web");
    let called = Vm { name: web.uuid.clone(), context: None, ..Vm::called("called") };
    let node = Node::with(&[&called, &web]);
    node.serve(&web);
    assert_eq!(node.say(&["refresh", &web.uuid]), (0, "web: the content is the same; the disc stays\n".to_owned()));
}

#[test]
fn what_a_job_waits_for_is_not_forgotten_when_somebody_asks_again() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.site.write("etc/virt-recontext/context/x.j2", "{{ nothing }}\n");
    node.note(&web, "migrate");
    node.deliver();
    assert_eq!(node.progress(&web), told("failed", "migrate"));
    assert_eq!(node.say(&["refresh", "web"]).0, 1);
    assert_eq!(node.progress(&web), told("failed", "migrate"));
    node.site.write("etc/virt-recontext/context/x.j2", "{{ facts.site }}\n");
    let (code, said) = node.say(&["refresh", "web"]);
    assert!(code == 0 && said.starts_with("web: in the drive hdc"), "{said}");
    assert_eq!(node.progress(&web), told("delivered", "migrate"));
}

#[test]
fn a_refresh_that_another_one_follows_waits_for_what_that_one_does() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.serve(&web);
    node.gate(&web);
    node.site.write("etc/virt-recontext/context/motd", "moved\n");
    let first = node.site.recontext(&["refresh", "web"]).spawn().unwrap();
    wait_for("the helper to be at the first job", || node.is_at_gate(&web));
    let noted = fs::read(node.job(&web)).unwrap();
    let second = node.site.recontext(&["refresh", "--all"]).spawn().unwrap();
    wait_for("the second job", || fs::read(node.job(&web)).is_ok_and(|job| job != noted));
    node.open_gate(&web);
    for refresh in [first, second] {
        let (code, said) = said(&finish(refresh));
        assert!(code == 0 && said.starts_with("web: in the drive hdc"), "{code}: {said}");
    }
    assert!(node.is_on_disc(&web, "moved\n"));
}

#[test]
fn a_vm_that_is_disabled_while_a_refresh_watches_is_not_said_to_have_ended() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.serve(&web);
    // Nobody is to do the job before it is taken away.
    let helper = node.lock("helper");
    let watching = node.site.recontext(&["refresh", "web"]).stdout(Stdio::piped()).spawn().unwrap();
    wait_for("the job", || node.job(&web).exists());
    assert_eq!(node.say(&["disable", "web"]).0, 0);
    let said = String::from_utf8(finish(watching).stdout).unwrap();
    assert_eq!(said, "web: was disabled meanwhile, and takes part no more\n");
    drop(helper);
    wait_for("the helper to end", || node.site.processes().is_empty());
}
