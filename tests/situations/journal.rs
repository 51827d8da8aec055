//! The log of a host with a journal: what the hook tells it, and that one that does not work holds nothing up.

use std::fs;
use std::time::Instant;

use super::harm::{DEADLINE, IMAGE, MIGRATE, arriving, assert_harmless};
use super::site::journal::{Journal, SOCKET, fill};
use super::site::{Site, UUID, here, run};
use super::situation::usual_vm;

/// What the hook says of an arrival.
const MADE: &str = "vm: migrate: disc ";

/// The VM arrives here, with its disc, and nobody waits.
fn arrive(site: &Site) {
    let begin = Instant::now();
    assert_harmless(&run(&mut site.hook(&MIGRATE), &arriving()));
    assert!(begin.elapsed() < DEADLINE, "it waited for the log");
    assert!(site.path(IMAGE).exists());
    assert_eq!(site.helper_calls().len(), 1, "it has done its last things, too");
}

#[test]
fn the_journal_is_told_which_vm_and_which_disc_a_line_is_about_and_syslog_nothing() {
    let site = Site::usual();
    let journal = Journal::on(&site);
    arrive(&site);
    let entries = journal.entries();
    assert_eq!(entries.len(), 1, "{entries:?}");
    let entry = &entries[0];
    let generation = &entry["VIRT_RECONTEXT_GENERATION"];
    assert!(entry["MESSAGE"].starts_with(&format!("{MADE}{generation} made in ")), "{entry:?}");
    assert!(entry["SYSLOG_PID"].parse::<u32>().is_ok());
    for (field, value) in [
        ("PRIORITY", "6"),
        ("SYSLOG_FACILITY", "3"),
        ("SYSLOG_IDENTIFIER", "virt-recontext"),
        ("VIRT_RECONTEXT_NAME", "vm"),
        ("VIRT_RECONTEXT_UUID", UUID),
        ("VIRT_RECONTEXT_REASON", "migrate"),
    ] {
        assert_eq!(entry[field], value, "{field}");
    }
    assert_eq!(entry.len(), 9, "a step is no event: {entry:?}");
    assert_eq!(site.log_lines(), [""; 0]);
}

#[test]
fn what_the_hook_could_not_do_is_an_event() {
    let site = Site::usual();
    let journal = Journal::on(&site);
    let arrive = || run(&mut site.hook(&MIGRATE), &arriving());
    let event = |name: &str| vec![(name.to_owned(), "vm".to_owned())];
    site.write("etc/virt-recontext/context/broken.j2", "{{ facts.nowhere }}");
    assert_harmless(&arrive());
    site.helper_calls();
    assert_eq!(journal.events(), event("hook-failed"));
    site.write("etc/virt-recontext/config.toml", "on_error = 'refuse'\n");
    assert!(!arrive().status.success());
    assert_eq!(journal.events(), event("refused"));
    fs::remove_file(site.path("etc/virt-recontext/context/broken.j2")).unwrap();
    site.write("etc/virt-recontext/rewrite.d/10-broken.toml", "nothing = 1\n");
    assert_harmless(&arrive());
    site.helper_calls();
    assert_eq!(journal.events(), event("rules-dropped"));
}

#[test]
fn a_name_of_many_lines_forges_nothing() {
    let site = Site::usual();
    let journal = Journal::on(&site);
    let name = "vm\nMESSAGE_ID=d54b6dc3f60d44369a21c894892a7868\nPRIORITY=0";
    let xml = usual_vm(&here(), "arriving.xml", "vm");
    assert_harmless(&run(&mut site.hook(&[name, "migrate", "begin", "-"]), xml.as_bytes()));
    site.helper_calls();
    let entries = journal.entries();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["VIRT_RECONTEXT_NAME"], name);
    assert!(!entries[0].contains_key("MESSAGE_ID") && entries[0]["PRIORITY"] == "6", "{entries:?}");
}

#[test]
fn a_journal_that_takes_no_line_leaves_it_to_syslog_and_holds_nothing_up() {
    for (how, broken) in
        ["nobody reads it", "nobody has it open", "a file", "a directory", "it leads nowhere"].iter().zip([
            (|site: &Site| {
                let journal = Journal::on(site);
                fill(&site.path(SOCKET));
                Some(journal)
            }) as fn(&Site) -> Option<Journal>,
            |site| {
                drop(Journal::on(site));
                None
            },
            |site| {
                site.write(SOCKET, "");
                None
            },
            |site| {
                site.write(&format!("{SOCKET}/file"), "");
                None
            },
            |site| {
                site.write("run/systemd/journal/dev-log", "");
                std::os::unix::fs::symlink("/nowhere", site.path(SOCKET)).unwrap();
                None
            },
        ])
    {
        let site = Site::usual();
        let _journal = broken(&site);
        arrive(&site);
        let said = site.messages();
        assert!(said.len() == 1 && said[0].starts_with(MADE), "{how}: {said:?}");
    }
}

#[test]
fn where_neither_log_is_read_nothing_is_held_up() {
    let site = Site::usual();
    let _journal = Journal::on(&site);
    fill(&site.path(SOCKET));
    fill(&site.path("dev/log"));
    arrive(&site);
}
