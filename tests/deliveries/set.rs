//! `set` and `unset`, as far as they show outside of the VM.

use std::fs;

use super::node::{Node, OFF, Vm, told};
use crate::site::wait_for;

#[test]
fn what_a_vm_is_given_is_delivered_at_once_or_waits_for_its_next_start() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    let (code, said) = node.say(&["set", "web", "role=web", "monitoring.interval=5"]);
    wait_for("the helper to end", || node.site.processes().is_empty());
    // What is written is the driver's and ends with the process; that it is on the disc is for the hosts of tests/live.
    assert!(code == 0 && said.starts_with("web: in the drive hdc"), "{code}: {said}");
    assert_eq!(node.progress(&web), told("delivered", "refresh"));
    assert!(node.site.messages().contains(&"web: carries its new content".to_owned()));
    node.has(&[&Vm { more: OFF, ..web.clone() }]);
    let said = node.say(&["set", "web", "role=web"]);
    assert_eq!(said, (0, "web: carries its new content from its next start on\n".to_owned()));
}

#[test]
fn what_no_vm_can_carry_is_told_before_anything_is_changed() {
    let carried = "<r:fact name='role'>web</r:fact><r:fact name='a.b'>1</r:fact><r:file path='motd'>x</r:file>";
    let web = Vm { context: Some(carried.to_owned()), ..Vm::called("web") };
    let newer = Vm { context: Some("<r:seal/>".to_owned()), ..Vm::called("newer") };
    let stranger = Vm { context: None, ..Vm::called("other") };
    let node = Node::with(&[&web, &newer, &stranger]);
    let file = |name: &str, bytes: &[u8]| {
        let path = node.site.beside(name);
        fs::write(&path, bytes).unwrap();
        format!("motd={}", path.display())
    };
    let (binary, large) = (file("binary", b"\xff\xfe"), file("large", &vec![b'x'; (256 << 10) + 1]));
    let nearly = file("nearly", &vec![b'x'; 256 << 10]);
    let climbs = format!("../x={}", node.site.beside("nearly").display());
    for (words, why) in [
        (&["set", "other", "a=b"][..], "does not take part yet; run: virt-recontext enable other"),
        (&["set", "nobody", "a=b"], "there is no VM"),
        (&["set", "web", "role.x=1"], "\"role\" in it is a value, not a table"),
        (&["set", "web", "=1"], "has an empty part in its name"),
        (&["set", "web", "a=\u{1b}[31m"], "holds the character '\\u{1b}', which no domain's XML can hold"),
        (&["set", "web", "--file", &binary], "it is not UTF-8"),
        (&["set", "web", "--file", &large], "large"),
        (&["set", "web", "--file", &nearly, "b=c"], "a VM may carry 262144 bytes"),
        (&["set", "web", "--file", &climbs], "no part of it may be"),
        (&["set", "web", "--file", "motd=/nowhere"], "/nowhere"),
        (&["set", "newer", "a=b"], "the element <seal>; it would be lost"),
        (&["unset", "web", "rolle"], "carries no fact \"rolle\""),
        (&["unset", "web", "--file", "mtd"], "carries no file \"mtd\""),
    ] {
        let (code, said) = node.say(words);
        assert!(code == 1 && said.contains(why), "{words:?}: {code}: {said}");
    }
    for words in [&["set", "web"][..], &["unset", "web"], &["set", "web", "role"]] {
        assert_eq!(node.say(words).0, 2, "{words:?}");
    }
    assert!([&web, &newer].iter().all(|vm| node.all_of(vm).is_empty()));
    for words in [&["unset", "web", "a"][..], &["unset", "web", "role", "--file", "motd"]] {
        let (code, said) = node.say(words);
        assert!(code == 0 && said.starts_with("web: "), "{words:?}: {code}: {said}");
    }
    wait_for("the helper to end", || node.site.processes().is_empty());
}
