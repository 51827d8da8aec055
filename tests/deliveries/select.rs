//! `[[select]]`: VMs that take part because the administrator of the host says so. What the test driver cannot show, a drive that
//! is plugged in, is in tests/live.

use std::fs;

use serde_json::Value;

use super::node::{Node, OFF, Vm, told};
use crate::site::wait_for;

const RULE: &str = "[[select]]\nname = 'w*'\ndrive = 'hdc'\nformat = 'nocloud'\n";

/// A VM that nobody has enabled.
fn stranger(name: &str) -> Vm {
    Vm { context: None, medium: None, ..Vm::called(name) }
}

fn refresh(node: &Node) -> (i32, String) {
    let said = node.say(&["refresh", "--all"]);
    wait_for("the helper to end", || node.site.processes().is_empty());
    said
}

#[test]
fn a_refresh_serves_whom_a_rule_selects_and_nobody_else() {
    let (web, db) = (stranger("web"), stranger("db"));
    let node = Node::with(&[&web, &db]);
    assert_eq!(refresh(&node), (0, String::new()), "without a rule");
    node.configure(RULE);
    let (code, said) = refresh(&node);
    assert_eq!((code, said.lines().count()), (0, 1), "{said}");
    assert!(said.starts_with("web: [[select]] rule 1 selects it; in the drive hdc; "), "{said}");
    assert!(node.is_on_disc(&web, "instance-id"), "its format is the rule's");
    assert_eq!((node.progress(&web), node.all_of(&db)), (told("delivered", "refresh"), vec![]));
    node.configure(&format!("[[select]]\nname = 'web'\ndrive = 'none'\n{RULE}"));
    assert_eq!(refresh(&node), (0, String::new()), "the first rule that fits says none");
    let (code, said) = node.say(&["refresh", "web"]);
    assert!(code == 1 && said.contains("web does not take part yet"), "{said}");
}

#[test]
fn what_keeps_a_selected_vm_from_its_disc_is_told_once() {
    let web = stranger("web");
    let node = Node::with(&[&Vm { medium: Some("/srv/seed.iso".to_owned()), ..web.clone() }]);
    node.configure(RULE);
    let why = "[[select]] rule 1 selects it, but the drive hdc holds /srv/seed.iso";
    assert_eq!(refresh(&node), (0, format!("web: {why}\n")));
    assert_eq!(node.progress(&web), told("waiting", "refresh"));
    node.site.log_lines();
    assert_eq!(refresh(&node).0, 0);
    assert_eq!(node.site.messages(), [""; 0]);
    let (_, doctor) = node.say(&["doctor", "--verbose"]);
    assert!(doctor.contains("warning: vm web: since ") && doctor.contains(why), "{doctor}");
    // Unless another rule counts, or the drive is empty now.
    node.configure(&RULE.replace("hdc", "sdx"));
    assert!(refresh(&node).1.contains("it runs without the drive sdx"));
    node.configure(RULE);
    assert_eq!(refresh(&node), (0, format!("web: {why}\n")));
    node.has(&[&web]);
    assert_eq!(refresh(&node).0, 0);
    assert_eq!(node.progress(&web), told("delivered", "refresh"));
    node.site.install_real_helper();
    node.hook(&web, "started");
    assert_eq!(node.progress(&web), told("delivered", "start"));
}

#[test]
fn disable_takes_a_vm_out_until_it_is_enabled() {
    let web = stranger("web");
    let node = Node::with(&[&web]);
    node.configure(RULE);
    let out = node.site.path(&format!("etc/virt-recontext/domains/{}/unselected", web.uuid));
    let said = "web: [[select]] rule 1 selects it, and leaves it out on this host from now on, until it is enabled\nweb: does not take part\n";
    assert_eq!(node.say(&["disable", "web"]), (0, said.to_owned()));
    assert!(out.exists());
    assert_eq!(refresh(&node), (0, String::new()));
    node.hook(&web, "started");
    assert_eq!(node.all_of(&web), [""; 0]);
    let (_, doctor) = node.say(&["doctor", "--verbose"]);
    assert!(doctor.contains("rule 1 selects no VM of this host; disable has taken out web"), "{doctor}");
    assert_eq!(node.say(&["enable", "web"]).0, 0);
    wait_for("the helper to end", || node.site.processes().is_empty());
    assert!(!out.parent().unwrap().exists());
    // A day on which no rule can be read is no reason to forget that.
    for fault in ["machine = 'q35'\n", "drive = 'plgu'\n"] {
        node.configure(&format!("{RULE}[[select]]\nname = 'x'\n{fault}"));
        let (code, said) = node.say(&["disable", "web"]);
        assert!(code == 0 && said.starts_with("web: what rules of [[select]] there are cannot be read; "), "{said}");
        assert!(out.exists());
        fs::remove_file(&out).unwrap();
    }
    // Nor is a VM taken out that no rule fits.
    node.configure("");
    assert_eq!(node.say(&["disable", "web"]).0, 0);
    assert!(!out.exists());
}

#[test]
fn what_a_rule_selects_is_told_before_anything_was_done() {
    let (web, wiki, own) = (stranger("web"), Vm { more: OFF, ..stranger("wiki") }, Vm::called("www"));
    let node = Node::with(&[&web, &wiki, &own]);
    node.configure(&format!("{RULE}[[select]]\ntitle = 'x'\n"));
    let (_, doctor) = node.say(&["doctor", "--verbose"]);
    for line in [
        "good: select: [[select]] rule 1 selects web, wiki; it does not count for www, enabled by hand\n",
        "good: select: [[select]] rule 2 selects no VM of this host; \"virsh dumpxml\" shows",
        "warning: vm web: [[select]] rule 1 selects it, and it has no drive for its disc yet -> virt-recontext refresh web\n",
        "good: vm wiki: [[select]] rule 1 selects it; it gets its disc when it starts\n",
    ] {
        assert!(doctor.contains(line), "{line}{doctor}");
    }
    let (_, status) = node.say(&["status", "--json"]);
    let status: Value = serde_json::from_str(&status).unwrap();
    let words: Vec<_> = status.as_array().unwrap().iter().map(|vm| (vm["name"].clone(), vm["state"].clone())).collect();
    assert_eq!(words, [("web", "none"), ("wiki", "next-start"), ("www", "none")].map(|(a, b)| (a.into(), b.into())));
    let (code, preview) = node.say(&["preview", "web"]);
    assert!(code == 0 && preview.contains("/meta-data") && preview.contains("rule 1 selects it"), "{preview}");
}
