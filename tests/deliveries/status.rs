//! `status`: what it knows of each VM, and how it ends.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::node::{Node, OFF, Vm};
use crate::site::{now, run};

/// The exit code, and what is said of each VM.
fn status(node: &Node, arguments: &[&str]) -> (i32, Vec<String>) {
    let (code, said) = node.say(&[&["status"], arguments].concat());
    (code, said.lines().map(str::to_owned).collect())
}

fn as_json(node: &Node) -> (i32, Value) {
    let (code, said) = node.say(&["status", "--json"]);
    (code, serde_json::from_str(&said).unwrap())
}

#[test]
fn a_vm_that_was_enabled_is_known_before_anything_was_made_for_it() {
    let (web, off) = (Vm::called("web"), Vm { more: OFF, ..Vm::called("off") });
    let other = Vm { context: None, ..Vm::called("other") };
    let node = Node::with(&[&web, &off, &other]);
    let later = "off: no disc until its next start: it is not running".to_owned();
    let now =
        "web: no disc yet (stale): nothing has been made for it here; to have it made: virt-recontext refresh web"
            .to_owned();
    assert_eq!(status(&node, &[]), (0, vec![later.clone(), now]));
    assert_eq!(status(&node, &["off"]), (0, vec![later.clone()]));
    assert_eq!(status(&node, &[&off.uuid.to_uppercase()]), (0, vec![later]));
    let (code, told) = as_json(&node);
    let wanted = json!({
        "name": "off", "uuid": off.uuid, "state": "next-start", "reason": null, "generation": null, "since": null,
        "message": "it is not running", "image": null, "job_waiting": false, "rules": null, "takes_part": true,
        "running": false, "took": null, "until_next_start": false, "disc": null,
        "read": null, "read_bytes": null, "read_seen": null
    });
    assert_eq!((code, &told[0]), (0, &wanted));
    assert_eq!(
        [&told[1]["state"], &told[1]["running"], &told[1]["takes_part"], &told[1]["disc"]],
        [&json!("none"), &json!(true), &json!(true), &json!("stale")]
    );
    assert_eq!(told.as_array().unwrap().len(), 2);
}

#[test]
fn a_vm_that_failed_is_told_by_the_exit_code() {
    let (web, bad) = (
        Vm::called("web"),
        Vm { context: Some("<r:file path='a.j2'>{{ x }}</r:file>".to_owned()), ..Vm::called("bad") },
    );
    let node = Node::with(&[&web, &bad]);
    node.serve(&web);
    node.note(&bad, "start");
    node.deliver();
    let (code, lines) = status(&node, &[]);
    assert_eq!(code, 1);
    assert!(lines.len() == 2 && lines[0].starts_with("bad: failed (start, "), "{lines:?}");
    assert_eq!([status(&node, &["web"]).0, status(&node, &["bad"]).0], [0, 1]);
    assert_eq!(as_json(&node).0, 1);
}

#[test]
fn an_opt_in_that_gives_no_disc_is_told_before_the_vms_start() {
    let off = Vm { context: Some("<r:file>x</r:file>".to_owned()), more: OFF, ..Vm::called("off") };
    let node = Node::with(&[&off]);
    let (code, lines) = status(&node, &[]);
    assert!(code == 1 && lines.len() == 1 && lines[0].starts_with("off: failed: "), "{lines:?}");
}

#[test]
fn a_vm_that_no_longer_asks_for_context_is_told_and_lacks_nothing() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.serve(&web);
    node.edit(&node.state_file(&web), |state| state["progress"] = json!("failed"));
    assert_eq!(status(&node, &[]).0, 1);
    node.has(&[&Vm { context: None, ..web.clone() }]);
    let (code, lines) = status(&node, &[]);
    assert!(code == 0 && lines[0].ends_with("; but the VM no longer asks for context"), "{code}: {lines:?}");
    assert_eq!(as_json(&node).1[0]["takes_part"], json!(false));
}

#[test]
fn without_its_daemon_status_says_so_and_tells_what_was_recorded() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.serve(&web);
    fs::remove_file(node.site.beside("node.xml")).unwrap();
    let (code, lines) = status(&node, &[]);
    assert_eq!(code, 1);
    assert!(lines[0].starts_with("web: delivered (start, "), "{lines:?}");
    assert!(lines[1].starts_with("virt-recontext: connecting to libvirt at test://"), "{lines:?}");
    assert!(lines[1].ends_with("; what follows is only what was recorded"), "{lines:?}");
}

#[test]
fn a_broken_configuration_is_told_and_the_vms_all_the_same() {
    let web = Vm { more: OFF, ..Vm::called("web") };
    let node = Node::with(&[&web]);
    node.configure("image_dir = 7\n");
    let (code, lines) = status(&node, &[]);
    assert_eq!((code, lines[0].as_str()), (1, "web: no disc until its next start: it is not running"));
    assert!(
        lines[1].contains("config.toml: line 2") && lines[1].ends_with("; no disc is made until that is fixed"),
        "{lines:?}"
    );
}

#[test]
fn one_vm_that_takes_no_part_or_is_not_there_is_told() {
    let other = Vm { context: None, ..Vm::called("other") };
    let node = Node::with(&[&other]);
    for (name, why) in [
        ("other", "does not take part; run: virt-recontext enable other"),
        ("nobody", "there is no VM \"nobody\" here"),
    ] {
        let (code, lines) = status(&node, &[name]);
        assert!(code == 1 && lines.len() == 1 && lines[0].contains(why), "{lines:?}");
    }
}

#[test]
fn a_vms_name_is_shown_on_one_line_and_does_nothing_to_a_terminal() {
    let web = Vm { name: "we&#13;b&#x9b;31m".to_owned(), ..Vm::called("web") };
    let node = Node::with(&[&web]);
    let is_clean = |said: &str| said.starts_with("we b 31m: ") && !said.trim_end().contains(char::is_control);
    for words in
        [["status"].as_slice(), &["refresh", &web.uuid], &["status"], &["enable", &web.uuid], &["disable", &web.uuid]]
    {
        let (_, said) = node.say(words);
        assert!(said.lines().all(is_clean) && !said.contains('\r'), "{words:?}: {said:?}");
    }
}

#[test]
fn where_no_vm_takes_part_that_is_told_beside_what_scripts_read() {
    let node = Node::with(&[&Vm { context: None, ..Vm::called("web") }]);
    let output = run(&mut node.site.recontext(&["status"]), b"");
    let told = "virt-recontext: no VM of this host takes part; \"virt-recontext enable VM\" lets one take part\n";
    assert_eq!((output.status.code(), &*output.stdout, &*output.stderr), (Some(0), &b""[..], told.as_bytes()));
    assert_eq!(as_json(&node), (0, json!([])));
}

/// `status` as a person sees it, on a terminal.
fn on_terminal(node: &Node, arguments: &[&str]) -> (i32, Vec<String>) {
    let recontext = node.site.recontext(&[&["status"], arguments].concat());
    let words = [recontext.get_program()].into_iter().chain(recontext.get_args());
    let line = words.map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ");
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    node.site.on_this_host(&mut script, 0);
    let output = run(&mut script, b"");
    let shown = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), shown.lines().map(|line| line.trim_end().to_owned()).collect())
}

#[test]
fn of_a_hundred_vms_each_has_a_line_the_one_that_failed_is_first_and_a_terminal_counts_them() {
    let names: Vec<String> = (1..=100).map(|number| format!("v{number:03}")).collect();
    let vms: Vec<Vm> = names.iter().map(|name| Vm::called(name)).collect();
    let node = Node::with(&vms.iter().collect::<Vec<_>>());
    let since = now() - 180 * 100;
    for vm in &vms {
        let (progress, message) = match vm.name.as_str() {
            "v050" => ("failed", "no drive"),
            "v070" => ("waiting", "the guest holds the old disc"),
            _ => ("delivered", "in the drive hdc"),
        };
        let state = json!({
            "uuid": vm.uuid, "name": vm.name, "progress": progress, "since": since, "reason": "migrate", "message": message,
            "took": "eject 1.0 ms", "edition": {"generation": 7, "reason": "migrate"}, "image": vm.medium, "identity": null,
        });
        node.site.write(&format!("run/libvirt/recontext/state/{}.json", vm.uuid), &state.to_string());
    }
    let (code, lines) = status(&node, &[]);
    assert_eq!((code, lines.len()), (1, 100));
    assert!(lines[0].starts_with("v050: failed (migrate, disc 7, stale, 20") && lines[0].ends_with("Z): no drive"));
    assert!(lines[1].starts_with("v070: waiting (migrate, disc 7, stale, 20"), "{}", lines[1]);
    assert!(
        lines[2].starts_with("v001: delivered (migrate, disc 7, current, read unknown, 20") && lines[2].ends_with("Z)")
    );

    let (code, lines) = on_terminal(&node, &[]);
    assert_eq!((code, lines.len()), (1, 102));
    assert_eq!(lines[1], "v050  failed     stale    -        migrate  3 min ago  no drive");
    assert_eq!(lines[3], "v001  delivered  current  unknown  migrate  3 min ago");
    assert_eq!(lines[101], "98 current, 1 waiting, 1 failed; what to do: REMEDIES in virt-recontext(8)");
    assert_eq!(
        on_terminal(&node, &["v001"]),
        (0, vec!["v001: delivered (migrate, disc 7, current, read unknown, 3 min ago): in the drive hdc".to_owned()])
    );
    let (_, lines) = on_terminal(&node, &["v001", "--verbose"]);
    assert!(lines[0].ends_with("Z): in the drive hdc; eject 1.0 ms"), "{lines:?}");
}

#[test]
fn the_manual_tells_of_each_key_of_json_and_each_of_its_words() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.serve(&web);
    let page = include_str!("../../packaging/man/virt-recontext.8");
    let section = |title: &str| {
        let (_, section) = page.split_once(&format!(".SH {title}\n")).unwrap();
        section.split_once("\n.SH ").unwrap().0
    };
    let keys = section("STATUS AS JSON");
    // The test driver counts nothing.
    let integers = ["read_bytes"];
    let mut documented: Vec<(&str, &str)> =
        keys.split(".TP\n.B ").skip(1).map(|entry| entry.split_once('\n').unwrap()).collect();
    documented.sort_unstable();
    let (_, all) = as_json(&node);
    let object = all[0].as_object().unwrap();
    let mut there: Vec<&str> = object.keys().map(String::as_str).collect();
    there.sort_unstable();
    assert_eq!(documented.iter().map(|(key, _)| *key).collect::<Vec<_>>(), there);
    for (key, text) in documented {
        let kind = match &object[key] {
            Value::Bool(_) => "A boolean",
            Value::Number(_) => "An integer",
            Value::Null if integers.contains(&key) => "An integer",
            // The one that is null here.
            _ => "A string",
        };
        assert!(text.starts_with(kind), "{key}: {text}");
        assert!(!object[key].is_null() || text.contains("null"), "{key}: {text}");
    }
    let names = |text: &str, word: &str| text.lines().any(|line| line.trim_end_matches([' ', ',']).ends_with(word));
    for word in ["delivered", "waiting", "failed", "next-start", "none", "rules"] {
        assert!(names(keys, &format!(".B {word}")), "{word}");
    }
    for word in ["failed", "waiting", "no disc yet", "no disc until its next start", "stale", "not read", "unknown"] {
        assert!(section("REMEDIES").contains(&format!(".TP\n.B {word}\n")), "{word}");
    }
}
