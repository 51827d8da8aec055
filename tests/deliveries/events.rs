//! What the helper and the command line tell a host's journal.

use std::time::{Duration, Instant};

use super::node::{Node, Vm, told};
use crate::site::journal::{Journal, SOCKET, fill};

const SITE: &str = "facts.d/host/site";

fn event(name: &str, vm: &str) -> (String, String) {
    (name.to_owned(), vm.to_owned())
}

#[test]
fn a_delivery_is_an_event_that_is_found_by_its_vm_and_its_number() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    let journal = Journal::on(&node.site);
    node.note(&web, "migrate");
    node.deliver();
    let entries = journal.entries();
    assert_eq!(entries.len(), 1, "{entries:?}");
    let generation = node.generation(&web).to_string();
    for (field, value) in [
        ("MESSAGE_ID", "6075f781dbcd4bf797eb7f9f6c21bf24"),
        ("PRIORITY", "6"),
        ("VIRT_RECONTEXT_EVENT", "delivered"),
        ("VIRT_RECONTEXT_NAME", "web"),
        ("VIRT_RECONTEXT_UUID", &web.uuid),
        ("VIRT_RECONTEXT_REASON", "migrate"),
        ("VIRT_RECONTEXT_GENERATION", &generation),
    ] {
        assert_eq!(entries[0][field], value, "{field}");
    }
    assert!(entries[0]["MESSAGE"].starts_with(&format!("web: migrate: disc {generation}: in the drive hdc")));
    assert_eq!(node.site.log_lines(), [""; 0]);
}

#[test]
fn a_refresh_that_changes_no_disc_is_no_delivery_though_it_tells_of_a_program() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.program("facts.d/probe", "echo '{}'");
    node.serve(&web);
    // Its firmware is through.
    node.age(&web, 60);
    let journal = Journal::on(&node.site);
    node.program("facts.d/probe", "exit 3");
    assert_eq!(node.say(&["refresh", "web"]).0, 0);
    let entries = journal.entries();
    assert!(entries.iter().any(|entry| entry["MESSAGE"].contains("the content is the same")), "{entries:?}");
    assert!(!entries.iter().any(|entry| entry.contains_key("MESSAGE_ID")), "{entries:?}");
}

#[test]
fn what_was_given_up_or_left_is_an_event() {
    let (web, db) = (Vm::called("web"), Vm::called("db"));
    let node = Node::with(&[&web, &db]);
    let journal = Journal::on(&node.site);
    node.site.write("etc/virt-recontext/domains/web/context/broken.j2", "{{ facts.nowhere }}");
    // What a refresh finds faulty is not taken for half written, as where a VM has just come.
    node.note(&web, "refresh");
    node.note(&db, "refresh");
    node.deliver();
    let mut events = journal.events();
    events.sort();
    assert_eq!(events, [event("delivered", "db"), event("given-up", "web")]);
    node.site.write("etc/virt-recontext/config.toml", "uri = 'test:///nowhere'\n");
    assert_ne!(node.say(&["deliver"]).0, 0);
    assert_eq!(journal.events(), [event("jobs-left", "")]);
}

#[test]
fn a_host_wide_program_that_fails_loses_facts_or_works_again_is_an_event() {
    let node = Node::with(&[]);
    let journal = Journal::on(&node.site);
    for (script, events) in [
        ("echo '{\"place\": \"a\", \"more\": 1}'", vec![]),
        ("exit 1", vec![event("facts-fail", "")]),
        ("exit 1", vec![]),
        ("echo '{\"place\": \"a\", \"more\": 1}'", vec![event("facts-back", "")]),
        ("echo '{\"place\": \"a\"}'", vec![event("facts-lost", "")]),
        ("echo '{\"place\": \"a\", \"more\": 1}'", vec![event("facts-back", "")]),
    ] {
        node.program(SITE, script);
        assert_eq!(node.say(&["refresh", "--all"]).0, 0, "{script}");
        assert_eq!(journal.events(), events, "{script}");
    }
}

#[test]
fn a_log_that_nobody_reads_delays_no_delivery() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    let _journal = Journal::on(&node.site);
    fill(&node.site.path(SOCKET));
    fill(&node.site.path("dev/log"));
    let begin = Instant::now();
    node.note(&web, "migrate");
    node.deliver();
    assert!(begin.elapsed() < Duration::from_secs(10), "it waited for the log");
    assert_eq!(node.progress(&web), told("delivered", "migrate"));
}
