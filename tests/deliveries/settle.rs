//! `refresh --settle`: one refresh for all that ask while it waits, and none that asks is forgotten.

use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

use super::node::{Node, Vm, said};
use crate::site::{finish, wait_for};

const SHOWN: &str = "etc/virt-recontext/context/probe.j2";

/// A VM whose disc shows what a program prints: how often that has run.
fn counted() -> (Node, Vm) {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.site.write(SHOWN, "run {{ facts.run }}\n");
    let script = "here=$(dirname \"$0\")/..; echo >>\"$here/runs\"; echo \"{\\\"run\\\": $(wc -l <\"$here/runs\")}\"";
    node.program("facts.d/probe", script);
    node.serve(&web);
    assert!(node.is_on_disc(&web, "run 1\n"));
    (node, web)
}

/// A refresh that has begun to settle.
fn settler(node: &Node, time: &str) -> Child {
    let settler = node.site.recontext(&["refresh", "--all", "--settle", time]).spawn().unwrap();
    wait_for("a refresh to settle", || is_held(node));
    settler
}

fn is_held(node: &Node) -> bool {
    node.is_locked("settle")
}

fn joined(node: &Node) {
    let told = "another refresh is about to begin, and does this as well\n";
    assert_eq!(node.say(&["refresh", "--all", "--settle", "30s"]), (0, told.to_owned()));
}

#[test]
fn all_who_ask_while_a_refresh_settles_are_served_by_that_one_and_none_waits() {
    let (node, web) = counted();
    let begin = Instant::now();
    let first = settler(&node, "2s");
    (0..5).for_each(|_| joined(&node));
    assert!(is_held(&node), "those who left it to another waited");
    let (code, said) = said(&finish(first));
    assert!(code == 0 && said.starts_with("web: in the drive hdc"), "{code}: {said}");
    assert!(begin.elapsed() >= Duration::from_secs(2), "it did not wait");
    wait_for("the helper to end", || node.site.processes().is_empty());
    assert!(node.is_on_disc(&web, "run 2\n"));
}

#[test]
fn who_asks_when_the_work_has_begun_is_not_left_to_it() {
    let (node, web) = counted();
    node.gate(&web);
    let first = settler(&node, "1s");
    wait_for("the helper to be at work", || node.is_at_gate(&web));
    let second = settler(&node, "1s");
    node.site.write("etc/virt-recontext/context/motd", "moved\n");
    node.open_gate(&web);
    for refresh in [first, second] {
        let (code, said) = said(&finish(refresh));
        assert!(code == 0 && said.starts_with("web: "), "{code}: {said}");
    }
    wait_for("the helper to end", || node.site.processes().is_empty());
    assert!(node.is_on_disc(&web, "moved\n"));
}

#[test]
fn a_killed_refresh_that_settled_leaves_nothing_in_the_way_of_the_next() {
    let (node, web) = counted();
    let mut first = settler(&node, "1h");
    joined(&node);
    first.kill().unwrap();
    first.wait().unwrap();
    let (code, said) = node.say(&["refresh", "--all", "--settle", "0s"]);
    assert!(code == 0 && said.starts_with("web: in the drive hdc"), "{code}: {said}");
    wait_for("the helper to end", || node.site.processes().is_empty());
    assert!(node.is_on_disc(&web, "run 2\n"));
}

#[test]
fn only_a_refresh_of_all_settles_and_it_forces_nothing() {
    let node = Node::with(&[]);
    for more in [
        ["web", "--settle=1s"].as_slice(),
        &["--all", "--force", "--settle=1s"],
        &["--all", "--settle=1 day"],
        &["--all", "--settle=2h"],
    ] {
        assert_eq!(node.say(&[&["refresh"], more].concat()).0, 2, "{more:?}");
    }
}

#[test]
fn a_refresh_may_spread_and_others_join_it_meanwhile_as_when_it_settles() {
    let (node, web) = counted();
    assert_eq!(node.say(&["refresh", "web", "--spread", "0s"]).0, 0);
    let mut first = node.site.recontext(&["refresh", "--all", "--settle", "0s", "--spread", "1h"]).spawn().unwrap();
    wait_for("a refresh to spread", || is_held(&node));
    joined(&node);
    first.kill().unwrap();
    first.wait().unwrap();
    wait_for("the helper to end", || node.site.processes().is_empty());
    assert!(node.is_on_disc(&web, "run 2\n"));
}

#[test]
fn however_slow_host_wide_programs_are_no_more_than_one_waits_to_run_them() {
    let (node, web) = counted();
    let running = node.lock("host-facts");
    let first = settler(&node, "0s");
    wait_for("the refresh to wait for its turn", || Node::is_waited_for(&running));
    joined(&node);
    // Nor is anybody kept who would find all switched off.
    node.site.write("etc/virt-recontext/disabled", "");
    assert!(node.say(&["refresh", "--all"]).1.contains("all is switched off"));
    fs::remove_file(node.site.path("etc/virt-recontext/disabled")).unwrap();
    drop(running);
    let (code, said) = said(&finish(first));
    assert!(code == 0 && said.starts_with("web: "), "{code}: {said}");
    wait_for("the helper to end", || node.site.processes().is_empty());
    assert!(node.is_on_disc(&web, "run 2\n") && !is_held(&node));
}
