//! `status --wait`: when it ends, and how.

use std::fs;
use std::process::Child;

use nix::libc;
use serde_json::json;

use super::node::{Node, OFF, Vm, said};
use crate::site::{finish, wait_for};

const BROKEN: &str = "<r:file path='a.j2'>{{ x }}</r:file>";

/// `status --wait` with these arguments, which has been at it for long enough to have looked.
fn waiting(node: &Node, arguments: &[&str]) -> Child {
    let mut status = node.site.recontext(&[&["status", "--wait"], arguments].concat()).spawn().unwrap();
    // It sleeps between two looks, and at no other time.
    let sleeps = || fs::read_to_string(format!("/proc/{}/syscall", status.id())).unwrap_or_default();
    wait_for("it to wait", || sleeps().starts_with(&format!("{} ", libc::SYS_clock_nanosleep)));
    assert!(status.try_wait().unwrap().is_none());
    status
}

#[test]
fn it_waits_for_a_job_that_another_process_ends() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.gate(&web);
    node.note(&web, "start");
    let helper = node.helper();
    wait_for("the helper to be at the gate", || node.is_at_gate(&web));
    let (one, all) = (waiting(&node, &["web"]), waiting(&node, &["--all"]));
    node.open_gate(&web);
    assert!(finish(helper).status.success());
    for status in [one, all] {
        let (code, said) = said(&finish(status));
        assert!(
            code == 0 && said.starts_with("web: delivered (start, disc ") && said.contains(", current, "),
            "{said}"
        );
    }
}

#[test]
fn when_the_time_is_over_it_says_what_is_still_waited_for() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    // Nothing is known of it yet but that it takes part.
    let (code, said) = node.say(&["status", "web", "--wait=0s"]);
    assert!(code == 3 && said.starts_with("web: no disc yet (stale): "), "{code}: {said}");
    node.serve(&web);
    assert_eq!(node.say(&["status", "--wait"]).0, 0);
    node.edit(&node.state_file(&web), |state| {
        state["progress"] = json!("waiting");
        state["message"] = json!("the guest holds the old disc");
    });
    for of_whom in ["web", "--all"] {
        let (code, said) = node.say(&["status", of_whom, "--wait=1s"]);
        assert!(code == 3 && said.ends_with("): the guest holds the old disc\n"), "{code}: {said}");
    }
    // What can only come at its next start is not waited for.
    node.edit(&node.state_file(&web), |state| state["until_next_start"] = json!(true));
    assert_eq!(node.say(&["status", "web", "--wait"]).0, 0);
    for wrong in ["--wait=2h", "--wait=soon", "--wait="] {
        assert_eq!(node.say(&["status", wrong]).0, 2, "{wrong}");
    }
}

#[test]
fn what_has_failed_is_not_waited_for_and_of_all_vms_the_worst_counts() {
    let (web, off) = (Vm::called("web"), Vm { more: OFF, ..Vm::called("off") });
    let bad = Vm { context: Some(BROKEN.to_owned()), ..Vm::called("bad") };
    let node = Node::with(&[&web, &off, &bad]);
    node.note(&bad, "start");
    node.note(&web, "start");
    node.deliver();
    assert!(node.job(&bad).exists(), "it is left for whoever tries again");
    assert_eq!([node.say(&["status", "bad", "--wait"]).0, node.say(&["status", "web", "--wait"]).0], [1, 0]);
    let (code, said) = node.say(&["status", "--wait"]);
    assert!(code == 1 && said.starts_with("bad: failed ") && said.lines().count() == 3, "{code}: {said}");
    // Somebody tries again.
    node.note(&bad, "refresh");
    assert_eq!(node.say(&["status", "bad", "--wait=0s"]).0, 1, "as far as is known");
    let (code, said) = node.say(&["status", "off", "--wait"]);
    assert!(code == 1 && said.ends_with("virt-recontext: the VM off is not running here\n"), "{code}: {said}");
    node.has(&[&web, &off]);
    fs::remove_file(node.job(&bad)).unwrap();
    fs::remove_file(node.state_file(&bad)).unwrap();
    assert_eq!(node.say(&["status", "--wait"]).0, 0, "one that does not run holds nobody up");
}

#[test]
fn a_vm_that_goes_away_meanwhile_is_not_here_any_more() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.note(&web, "migrate");
    let (one, all) = (waiting(&node, &["web"]), waiting(&node, &[]));
    node.has(&[]);
    fs::remove_file(node.job(&web)).unwrap();
    let (code, told) = said(&finish(one));
    assert!(code == 1 && told.contains("there is no VM \"web\" here"), "{code}: {told}");
    assert_eq!(said(&finish(all)).0, 0, "nothing is left to be done");
}

#[test]
fn one_that_has_not_got_here_yet_is_waited_for_and_counts_as_gone_when_it_does_not_come() {
    let (web, off) = (Vm::called("web"), Vm { more: OFF, ..Vm::called("web") });
    let node = Node::with(&[&web]);
    node.serve(&web);
    node.note(&web, "migrate");
    for there in [&[][..], &[&off]] {
        node.has(there);
        let (code, told) = node.say(&["status", "web", "--wait=0s"]);
        assert_eq!(code, 3, "{told}");
    }
    let job = node.job(&web);
    node.edit(&job, |job| job["noted"] = json!(job["noted"].as_u64().unwrap() - 31 * 100));
    let (code, told) = node.say(&["status", "web", "--wait=0s"]);
    assert!(code == 1 && told.ends_with(": the VM web is not running here\n"), "{code}: {told}");
}

#[test]
fn where_nothing_can_be_delivered_nobody_waits() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.note(&web, "start");
    node.site.write("etc/virt-recontext/disabled", "");
    assert_eq!(node.say(&["status", "web", "--wait"]).0, 1);
}
