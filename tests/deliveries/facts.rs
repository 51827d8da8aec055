//! Programs for facts in a delivery.

use super::node::{Node, Vm, told};

const SHOWN: &str = "etc/virt-recontext/context/probe.j2";

/// A VM that was delivered what its program printed first.
fn served() -> (Node, Vm) {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.site.write(SHOWN, "probe={{ facts.probe }}\n");
    node.program("facts.d/probe", "echo '{\"probe\": \"first\"}'");
    node.serve(&web);
    assert!(node.is_on_disc(&web, "probe=first\n"));
    (node, web)
}

#[test]
fn what_a_program_prints_is_on_the_disc_that_is_delivered() {
    let (node, web) = served();
    node.program("facts.d/probe", "echo '{\"probe\": \"second\"}'");
    node.note(&web, "refresh");
    node.deliver();
    assert!(node.is_on_disc(&web, "probe=second\n"));
    // The hook, which runs no programs, has it from there.
    node.site.write("etc/virt-recontext/context/motd", "moved\n");
    node.hook(&web, "prepare");
    assert!(node.is_on_disc(&web, "probe=second\n") && node.is_on_disc(&web, "moved\n"));
}

#[test]
fn a_program_that_fails_or_is_slow_keeps_its_last_result_and_that_is_told() {
    let (node, web) = served();
    for (script, options, why) in [
        ("echo 'no such sensor' >&2; exit 3", "", "no such sensor"),
        ("exit 3", "", "it said nothing on stderr"),
        ("true", "", "it printed nothing"),
        ("echo nonsense", "", "what it printed gives no facts: facts in JSON are one object"),
        ("sleep 1000", "[limits]\nprogram_time = '1s'\n", "limits.program_time = 1 s"),
    ] {
        node.configure(options);
        node.program("facts.d/probe", script);
        node.note(&web, "restore");
        node.deliver();
        assert_eq!(node.progress(&web), told("delivered", "restore"), "{script}");
        assert!(node.is_on_disc(&web, "probe=first\n"), "{script}");
        let log = node.site.messages();
        for said in [&node.message(&web), log.last().unwrap()] {
            assert!(said.contains("facts.d/probe: ") && said.contains(why), "{script}: {said}");
            assert!(said.contains(" s ago are used"), "{script}: {said}");
        }
    }
    // A refresh that would have nothing to say otherwise says it too.
    node.configure("");
    node.program("facts.d/probe", "exit 3");
    let (code, said) = node.say(&["refresh", "web"]);
    assert_eq!(code, 0);
    assert!(said.starts_with("web: the content is the same; the disc stays; running "), "{said}");
}

#[test]
fn a_program_that_never_worked_makes_no_disc_and_is_named() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.program("facts.d/probe", "echo 'no such sensor' >&2; exit 3");
    node.note(&web, "start");
    node.deliver();
    assert_eq!(node.progress(&web), told("failed", "start"));
    let message = node.message(&web);
    assert!(message.contains("facts.d/probe") && message.contains("no such sensor"), "{message}");
    assert!(node.job(&web).exists() && !node.image(&web).exists());
    node.program("facts.d/probe", "echo '{}'");
    node.deliver();
    assert_eq!(node.progress(&web), told("delivered", "start"));
}

#[test]
fn a_program_of_one_vm_is_run_for_no_other() {
    let (web, db) = (Vm::called("web"), Vm::called("db"));
    let node = Node::with(&[&web, &db]);
    node.program("domains/web/facts.d/own", "touch \"$(dirname \"$0\")/../$VIRT_RECONTEXT_DOMAIN_NAME\"; echo '{}'");
    node.note(&web, "start");
    node.note(&db, "start");
    node.deliver();
    let ran_for = |name: &str| node.site.path(&format!("etc/virt-recontext/domains/web/{name}")).exists();
    assert_eq!(["web", "db"].map(ran_for), [true, false]);
}

#[test]
fn a_program_finds_the_same_surroundings_in_a_delivery_as_when_a_person_looks() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.site.write(SHOWN, "probe={{ facts.probe }}\n");
    // Its environment but for what the shell adds, its limits, and where it is.
    let script = r#"seen=$(env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= | sort; ulimit -a; pwd; umask)
        printf '{"probe": "%s"}' "$(echo "$seen" | tr -s '\n\t ' '   ')""#;
    node.program("facts.d/probe", script);
    let (code, seen) = node.say(&["preview", "web", "--file", "probe"]);
    assert_eq!(code, 0, "{seen}");
    node.serve(&web);
    assert!(seen.contains("VIRT_RECONTEXT_DOMAIN_NAME=web") && seen.contains("unlimited"), "{seen}");
    assert!(node.is_on_disc(&web, &seen), "{seen}");
}

#[test]
fn what_a_program_does_not_print_any_more_is_kept_until_its_time_is_up_or_a_person_lets_it_go() {
    let (node, web) = served();
    node.site.write(SHOWN, "probe={{ facts.probe|default('none') }} {{ facts.more|default('none') }}\n");
    node.program("facts.d/probe", "echo '{\"probe\": \"first\", \"more\": \"x\"}'");
    assert_eq!(node.say(&["refresh", "web"]).0, 0);
    let lost = "it did not print what it printed before: /more, /probe; that is kept for facts_grace = 3600 s";
    for printed in ["{}", "{\"probe\": \"\", \"more\": []}", "{\"more\": null}"] {
        node.program("facts.d/probe", &format!("echo '{printed}'"));
        let (code, said) = node.say(&["refresh", "web"]);
        assert_eq!(code, 0);
        assert!(said.contains(lost), "{said}");
        assert!(node.is_on_disc(&web, "probe=first x\n"));
        let (_, said) = node.say(&["status"]);
        assert!(said.contains("facts.d/probe: printed ") && said.contains(" ago: no facts; kept "), "{said}");
        assert!(said.contains("last: /more, /probe\n"), "{said}");
    }
    node.program("facts.d/probe", "echo '{\"probe\": \"first\", \"more\": \"x\"}'");
    let back = "it prints again what it had not printed for a while";
    assert!(node.say(&["refresh", "web"]).1.contains(back));
    assert!(!node.say(&["refresh", "web"]).1.contains(back), "once");
    // The time of one is up, and a person does not wait for that of another.
    node.configure("facts_grace = '0s'\n");
    node.program("facts.d/probe", "echo '{\"probe\": \"second\"}'");
    assert_eq!(node.say(&["refresh", "web"]).0, 0);
    assert!(node.is_on_disc(&web, "probe=second none\n"));
    node.configure("");
    node.program("facts.d/probe", "echo '{}'");
    assert!(node.say(&["refresh", "web"]).1.contains("/probe; that is kept"));
    let (_, said) = node.say(&["refresh", "web", "--accept-loss"]);
    assert!(said.contains("what it does not print any more is let go, as --accept-loss asks: /probe"), "{said}");
    assert!(node.is_on_disc(&web, "probe=none none\n"));
}

#[test]
fn a_kept_fact_that_stands_in_the_way_of_a_new_one_is_told_with_the_way_out() {
    let web = Vm { attributes: "target='hdc' format='opennebula'", ..Vm::called("web") };
    let node = Node::with(&[&web]);
    node.program("facts.d/probe", "echo '{\"Place\": \"a\"}'");
    node.serve(&web);
    // Variables have no small letters.
    node.program("facts.d/probe", "echo '{\"place\": \"b\"}'");
    let clash = "the facts \"Place\" and \"place\" would both be the variable PLACE; \"Place\" is not printed any more, and kept \
                 for facts_grace: \"virt-recontext refresh --all --accept-loss\" lets it go at once";
    for command in [&["refresh", "web"][..], &["preview", "web"]] {
        let (code, said) = node.say(command);
        assert!(code == 1 && said.contains(clash), "{code}: {said}");
    }
    assert_eq!(node.say(&["refresh", "--all", "--accept-loss"]).0, 0);
    assert!(node.is_on_disc(&web, "PLACE='b'\n"));
    // Where both are printed nothing but another name helps.
    node.program("facts.d/probe", "echo '{\"place\": \"b\", \"Place\": \"c\"}'");
    let (_, said) = node.say(&["preview", "web"]);
    assert!(said.contains("would both be the variable PLACE\n"), "{said}");
}
