//! `enable`, as far as it shows outside of the VM.

use std::fs;

use super::node::{HOOK, Node, OFF, TRANSIENT, Vm, disc};
use crate::site::{make_dir, wait_for};

/// A VM without context, with this in its drive.
fn stock(medium: Option<&str>) -> Vm {
    Vm { context: None, medium: medium.map(str::to_owned), ..Vm::called("web") }
}

/// `enable`, which may leave a helper behind.
fn enable(node: &Node, arguments: &[&str]) -> (i32, String) {
    let said = node.say(&[&["enable", "web"], arguments].concat());
    wait_for("the helper to end", || node.site.processes().is_empty());
    said
}

#[test]
fn a_drive_that_holds_somebodys_medium_is_taken_only_to_replace_that_which_is_told_and_logged() {
    let web = Vm { more: OFF, ..stock(Some("/srv/seed.iso")) };
    let named = Vm { context: Some(String::new()), ..web.clone() };
    for (vm, arguments) in [(&web, &["--target", "hdc"][..]), (&named, &[])] {
        let node = Node::with(&[vm]);
        let (code, said) = enable(&node, arguments);
        let told = "the drive hdc holds /srv/seed.iso; choose another drive, or take that out with --replace";
        assert!(code == 1 && said.contains(told), "{code}: {said}");
        assert_eq!(node.site.messages(), [""; 0]);

        let told = "takes part; the drive hdc holds the disc from its next start on, in place of /srv/seed.iso, which disable \
                    puts back";
        let said = enable(&node, &[arguments, &["--replace"]].concat());
        assert_eq!(said, (0, format!("web: {told}\n")));
        assert_eq!(node.site.messages(), [format!("web: enable: {told}")]);
    }
}

#[test]
fn a_medium_beside_the_images_is_somebodys_unless_it_is_called_as_an_image() {
    let install = "/var/lib/libvirt/recontext/install.iso";
    let node = Node::with(&[&Vm { more: OFF, ..stock(Some(install)) }]);
    let (code, said) = enable(&node, &["--target", "hdc"]);
    assert!(code == 1 && said.contains(&format!("the drive hdc holds {install}")), "{code}: {said}");
    let (code, said) = enable(&node, &["--target", "hdc", "--replace"]);
    assert!(code == 0 && said.contains(&format!("in place of {install}, which disable puts back")), "{code}: {said}");
    let copied = "/var/lib/libvirt/recontext/11111111-2222-4333-8444-555555555555.iso";
    let node = Node::with(&[&Vm { more: OFF, ..stock(Some(copied)) }]);
    let (code, said) = enable(&node, &["--target", "hdc"]);
    assert!(code == 0 && !said.contains("in place of"), "{code}: {said}");
}

#[test]
fn what_a_running_vm_has_in_the_drive_is_told_before_it_is_taken_out() {
    for (more, how) in [
        (
            "",
            "; the drive hdc holds the disc from its next start on, in place of /srv/seed.iso, which disable puts back",
        ),
        (TRANSIENT, " with the drive hdc until it stops; it is not persistent"),
    ] {
        let node = Node::with(&[&Vm { more, ..stock(Some("/srv/seed.iso")) }]);
        let (code, said) = enable(&node, &["--target", "hdc"]);
        assert!(code == 1 && said.contains("holds /srv/seed.iso"), "{code}: {said}");
        let told = [
            format!("takes part{how}"),
            "the running VM has /srv/seed.iso in the drive hdc, which is taken out now".to_owned(),
        ];
        let (_, said) = enable(&node, &["--target", "hdc", "--replace"]);
        let lines = told.each_ref().map(|line| format!("web: {line}\n")).concat();
        assert!(said.starts_with(&lines), "{said}");
        assert_eq!(node.site.messages()[..2], told.map(|line| format!("web: enable: {line}")));
    }
}

#[test]
fn what_is_to_be_put_back_is_not_forgotten_for_another_drive() {
    let attributes = "target='hdc' replaced='/srv/seed.iso'";
    let web = Vm { attributes, more: OFF, ..Vm::called("web") };
    let node = Node::with(&[&web]);
    let (code, said) = enable(&node, &["--target", "hda"]);
    let told =
        "the drive hdc has the disc in place of /srv/seed.iso; put that back first, with: virt-recontext disable web";
    assert!(code == 1 && said.contains(told), "{code}: {said}");
    let told = "web: takes part, with the drive hdc, in place of /srv/seed.iso, which disable puts back\n";
    assert_eq!(enable(&node, &[]), (0, told.to_owned()));
}

#[test]
fn a_disc_of_the_same_label_in_another_drive_is_told_by_enable_and_by_doctor() {
    let seed = "<disk type='file' device='cdrom'><source file='/srv/seed.iso'/><target dev='hdd' bus='ide'/></disk>";
    let web = Vm { devices: seed, attributes: "target='hdc' format='nocloud'", more: OFF, ..Vm::called("web") };
    let node = Node::with(&[&web]);
    make_dir(&node.site.path("srv"));
    let twin = |label: &str| {
        fs::write(node.site.path("srv/seed.iso"), disc(label)).unwrap();
        enable(&node, &[]).1
    };
    let told = "the drive hdd holds /srv/seed.iso, whose label \"CIDATA\" is that of the context disc, too";
    let said = twin("CIDATA");
    assert!(said.contains(told), "{said}");
    assert!(node.site.messages().contains(&format!("web: enable: {told}")));
    assert!(node.say(&["doctor"]).1.contains(&format!("warning: vm web: {told}")));
    assert!(!twin("INSTALL").contains("seed.iso"));
    assert!(!node.say(&["doctor"]).1.contains("seed.iso"));
}

#[test]
fn the_drive_that_the_disc_leaves_is_empty_from_then_on() {
    let other = "<disk type='file' device='cdrom'><target dev='hdb' bus='ide'/><readonly/></disk>";
    let web = Vm { more: OFF, devices: other, ..Vm::called("web") };
    let node = Node::with(&[&web]);
    let (code, said) = enable(&node, &["--target", "hdb"]);
    assert!(code == 0 && said.contains("the drive hdb holds the disc from its next start on"), "{code}: {said}");
    assert!(said.contains("the drive hdc, which had the disc, is empty from its next start on"), "{said}");
}

#[test]
fn each_of_several_vms_is_told_and_one_that_fails_keeps_no_other_from_it() {
    let (web, db) = (Vm { context: None, ..Vm::called("web") }, Vm { context: None, more: OFF, ..Vm::called("db") });
    let node = Node::with(&[&web, &db]);
    let (code, said) = node.say(&["enable", "web", "nobody", "db"]);
    wait_for("the helper to end", || node.site.processes().is_empty());
    assert!(code == 1 && said.contains("web: takes part") && said.contains("db: takes part"), "{code}: {said}");
    assert!(said.contains("virt-recontext: nobody: there is no VM \"nobody\""), "{said}");
    let (code, said) = node.say(&["enable", "--all-running"]);
    wait_for("the helper to end", || node.site.processes().is_empty());
    assert!(code == 0 && said.contains("web: takes part") && !said.contains("db: "), "{code}: {said}");
    for words in [&["disable", "web", "db"][..], &["disable", "--all-running"]] {
        let (code, said) = node.say(words);
        assert!(code == 0 && said.contains("web: "), "{words:?}: {code}: {said}");
    }
    for words in [&["enable"][..], &["enable", "web", "--all-running"]] {
        assert_eq!(node.say(words).0, 2, "{words:?}");
    }
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let node = Node::with(&[&stock(None)]);
    let said = node.say(&["enable", "web", "--dry-run"]);
    let told = "web: would be done: takes part; the drive hdc holds the disc from its next start on\n";
    assert_eq!(said, (0, told.to_owned()));
    assert_eq!((node.site.messages(), node.all_of(&Vm::called("web"))), (vec![], vec![]));
}

#[test]
fn what_the_host_lacks_is_told_behind_what_was_done() {
    let node = Node::with(&[&Vm { more: OFF, ..stock(None) }]);
    fs::remove_file(node.site.path(HOOK)).unwrap();
    let (code, said) = enable(&node, &["--target", "hdc"]);
    let told = "virt-recontext: libvirt has no hook of ours at ";
    assert!(code == 0 && said.starts_with("web: takes part; ") && said.contains(told), "{code}: {said}");
    assert!(!said.contains("holds no files"), "{said}");
    let data = node.site.path("etc/virt-recontext");
    for dir in ["context", "facts.d", "domains"] {
        let _is_not_there = fs::remove_dir_all(data.join(dir));
    }
    let (code, said) = enable(&node, &["--target", "hdc"]);
    let told =
        format!("virt-recontext: {} holds no files and no facts: guests get nothing of this host; ", data.display());
    assert!(code == 0 && said.contains(&told), "{code}: {said}");
}
