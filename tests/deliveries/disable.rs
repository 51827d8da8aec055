//! `disable`, as far as it shows outside of the VM.

use std::fs;

use super::node::{Node, OFF, TRANSIENT, Vm, disc, told};
use crate::site::{make_dir, wait_for};

#[test]
fn disable_leaves_nothing_of_a_vm_whether_it_runs_or_has_a_definition() {
    for more in ["", OFF, TRANSIENT] {
        let web = Vm::called("web");
        let node = Node::with(&[&web]);
        node.serve(&web);
        node.note(&web, "refresh");
        node.has(&[&Vm { more, ..web.clone() }]);
        assert_eq!(node.say(&["disable", "web"]), (0, "web: no longer takes part\n".to_owned()), "{more}");
        assert_eq!(node.all_of(&web), [""; 0], "{more}");
        let mut logged = node.site.messages();
        logged.retain(|line| line.starts_with("web: disable: "));
        let wanted: &[&str] = match more {
            "" => &["hdc is empty from its next start on", "its disc is out of hdc", "no longer takes part"],
            OFF => &["hdc is empty from its next start on", "no longer takes part"],
            _ => &["its disc is out of hdc", "no longer takes part"],
        };
        assert_eq!(logged, wanted.iter().map(|line| format!("web: disable: {line}")).collect::<Vec<_>>());
    }
}

#[test]
fn disable_tells_what_goes_with_the_opt_in_and_of_what_took_no_part() {
    let facts = "<r:fact name='role'>web</r:fact><r:fact name='tier'>1</r:fact><r:file path='motd'>x</r:file>";
    let carrying = Vm { context: Some(facts.to_owned()), more: OFF, ..Vm::called("web") };
    let told = "web: its own content (2 facts, 1 file) goes with its opt-in\nweb: no longer takes part\n";
    assert_eq!(Node::with(&[&carrying]).say(&["disable", "web"]), (0, told.to_owned()));
    let stranger = Vm { context: None, medium: None, ..Vm::called("web") };
    assert_eq!(Node::with(&[&stranger]).say(&["disable", "web"]), (0, "web: does not take part\n".to_owned()));
}

#[test]
fn disable_works_on_a_day_on_which_the_configuration_is_broken() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.configure("image_mode = 'x'\n");
    assert_eq!(node.say(&["disable", "web"]), (0, "web: no longer takes part\n".to_owned()));
}

#[test]
fn disable_puts_back_what_the_disc_took_the_place_of_and_no_file_that_is_no_disc() {
    let attributes = "target='hdc' replaced='/srv/seed.iso'";
    let web = Vm { attributes, more: OFF, ..Vm::called("web") };
    let node = Node::with(&[&web]);
    let moved = Vm { attributes: "target='hda' replaced='/srv/seed.iso'", ..web.clone() };
    let not = "web: /srv/seed.iso is not put back into";
    let no_disc = format!(
        "{not} hdc, where the context disc took its place: it is no image of a disc that can be read on this host, or it is a context disc"
    );
    let gone = format!("{not} hda, where the context disc took its place: the drive no longer has the context disc");
    let back = "web: hdc holds /srv/seed.iso again from its next start on".to_owned();
    for (vm, seed, told) in [
        (&web, None, &no_disc),
        (&web, Some([b'x'; 40_000].to_vec()), &no_disc),
        (&moved, Some(disc("SEED")), &gone),
        (&web, Some(disc("SEED")), &back),
    ] {
        node.has(&[vm]);
        if let Some(seed) = seed {
            make_dir(&node.site.path("srv"));
            fs::write(node.site.path("srv/seed.iso"), seed).unwrap();
        }
        assert_eq!(node.say(&["disable", "web"]), (0, format!("{told}\nweb: no longer takes part\n")));
        let logged = node.site.messages();
        assert!(logged.contains(&told.replace("web: ", "web: disable: ")), "{logged:?}");
        assert!(logged.contains(&"web: disable: no longer takes part".to_owned()), "{logged:?}");
    }
}

#[test]
fn enable_and_disable_do_all_that_they_do_also_if_nobody_reads_on() {
    let unread = |node: &Node, words: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(node.site.recontext(words).stdout(writer).status().unwrap().code(), Some(141));
        wait_for("the helper to end", || node.site.processes().is_empty());
    };
    let attributes = "target='hdc' replaced='/srv/seed.iso'";
    let web = Vm { attributes, ..Vm::called("web") };
    let node = Node::with(&[&web]);
    unread(&node, &["enable", "web"]);
    assert_eq!(node.progress(&web), told("delivered", "refresh"));
    unread(&node, &["disable", "web"]);
    assert_eq!(node.all_of(&web), [""; 0]);
}

#[test]
fn disable_of_a_vm_that_takes_no_part_goes_well() {
    let web = Vm { context: None, medium: None, ..Vm::called("web") };
    let node = Node::with(&[&web]);
    assert_eq!(node.say(&["disable", &web.uuid]).0, 0);
    assert_eq!(node.all_of(&web), [""; 0]);
}

#[test]
fn disable_leaves_other_vms_and_others_discs_alone() {
    let (web, db) = (Vm::called("web"), Vm::called("db"));
    let node = Node::with(&[&web, &db]);
    [&web, &db].iter().for_each(|vm| node.serve(vm));
    let theirs = node.site.beside("theirs");
    fs::write(&theirs, "theirs").unwrap();
    fs::rename(&theirs, node.image(&web)).unwrap();
    assert_eq!(node.say(&["disable", "web"]).0, 0);
    assert_eq!(node.all_of(&web), ["disc"]);
    assert_eq!(fs::read(node.image(&web)).unwrap(), b"theirs");
    assert_eq!(node.all_of(&db), ["state", "disc", "lock"]);
}

#[test]
fn disable_of_a_vm_that_is_not_there_is_told_and_changes_nothing() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.serve(&web);
    let (code, said) = node.say(&["disable", "nobody"]);
    assert!(code == 1 && said.contains("there is no VM \"nobody\""), "{code}: {said}");
    assert_eq!(node.all_of(&web), ["state", "disc", "lock"]);
}

#[test]
fn a_path_that_a_vm_carries_forges_no_line() {
    let attributes = "target='hdc' replaced='/x&#10;web: all is well'";
    let node = Node::with(&[&Vm { attributes, more: OFF, ..Vm::called("web") }]);
    let (code, said) = node.say(&["disable", "web"]);
    assert!(code == 0 && said.starts_with("web: /x web: all is well is not put back into hdc"), "{said}");
}
