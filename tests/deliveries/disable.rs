//! `disable`, as far as it shows outside of the VM.

use std::fs;

use super::node::{Node, OFF, TRANSIENT, Vm};

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
    }
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
