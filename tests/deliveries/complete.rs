//! What shells complete that only the host knows: as the helper tells it to their scripts, and as they then put it on a
//! person's line.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, Instant};

use super::node::{Node, OFF, Vm, said};
use crate::site::{install, run};

const NOBODY: u32 = 65_534;

const CARRIED: &str = "<r:fact name='role'>web</r:fact><r:fact name='net.mtu'>1</r:fact><r:file path='motd'>x</r:file>\
                       <r:file path='etc/my motd'>x</r:file>";

/// A VM that carries something, one that is off, one that takes no part, and others whose names are odd to a shell.
fn node() -> Node {
    let web = Vm { context: Some(CARRIED.to_owned()), ..Vm::called("web") };
    let off = Vm { more: OFF, context: Some("<r:fact name='off.fact'>1</r:fact>".to_owned()), ..Vm::called("db") };
    let other = Vm { context: None, ..Vm::called("other") };
    let spaced = Vm { context: Some("<r:fact name='spaced'>1</r:fact>".to_owned()), ..Vm::called("my vm") };
    Node::with(&[&web, &off, &other, &spaced, &Vm::called("q'$x"), &Vm::called("a:b@c"), &Vm::called("-x")])
}

#[test]
fn each_verb_has_the_vms_that_it_is_for_and_what_they_carry() {
    let node = node();
    let all = "a:b@c\ndb\nmy vm\nother\nq'$x\nweb\n";
    for (line, known) in [
        (&["enable", ""][..], all),
        (&["disable", ""], all),
        (&["preview", ""], all),
        (&["status", "--json", "w"], all),
        (&["set", ""], all),
        (&["unset", ""], all),
        (&["refresh", ""], "a:b@c\nmy vm\nq'$x\nweb\n"),
        (&["enable", "--format", "files", "web", "other", ""], "a:b@c\ndb\nmy vm\nq'$x\n"),
        (&["set", "web", "n"], "net.mtu=\nrole=\n"),
        (&["unset", "web", ""], "net.mtu\nrole\n"),
        (&["unset", "web", "role", ""], "net.mtu\n"),
        (&["unset", "db", ""], "off.fact\n"),
        (&["unset", "web", "--file", ""], "etc/my motd\nmotd\n"),
        (&["unset", "web", "--file=m"], "etc/my motd\nmotd\n"),
        (&["unset", "web", "--file", "motd", ""], "net.mtu\nrole\n"),
        (&["unset", "other", ""], ""),
        (&["unset", "nobody", ""], ""),
        (&["unset", "--file", ""], ""),
    ] {
        assert_eq!(node.say(&[&["complete"], line].concat()), (0, known.to_owned()), "{line:?}");
    }
}

#[test]
fn what_is_not_the_hosts_to_know_is_left_to_the_shell() {
    let node = node();
    for line in [
        &[][..],
        &[""],
        &["en"],
        &["nonsense", ""],
        &["doctor", ""],
        &["status", "web", ""],
        &["enable", "--f"],
        &["enable", "--format", ""],
        &["enable", "--format=n"],
        &["set", "web", "--file", "motd="],
        &["preview", "web", "--file", ""],
        &["build", "--xml", ""],
    ] {
        assert_eq!(node.say(&[&["complete"], line].concat()), (1, String::new()), "{line:?}");
    }
}

#[test]
fn any_user_completes_and_learns_of_no_failure() {
    let node = node();
    let program = node.site.beside("virt-recontext");
    install(node.site.recontext::<&str>(&[]).get_program().as_ref(), &program);
    let complete = || {
        let mut command = Command::new(&program);
        command.args(["complete", "unset", "web", ""]);
        node.site.on_this_host(&mut command, NOBODY);
        said(&run(&mut command, b""))
    };
    assert_eq!(complete(), (0, "net.mtu\nrole\n".to_owned()));
    // With a configuration that he may not read he is at the usual daemon, which has no such VM, and may not be there.
    let config = node.site.path("etc/virt-recontext/config.toml");
    fs::set_permissions(config, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(complete(), (0, String::new()));
}

#[test]
fn a_daemon_that_does_not_answer_holds_a_shell_for_a_second() {
    let node = node();
    let socket = node.site.beside("socket");
    let _silent = UnixListener::bind(&socket).unwrap();
    let uri = format!("uri = 'qemu+unix:///system?socket={}'\n", socket.display());
    node.site.write("etc/virt-recontext/config.toml", &uri);
    let begin = Instant::now();
    assert_eq!(node.say(&["complete", "enable", ""]), (0, String::new()));
    let took = begin.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(10)).contains(&took), "{took:?}");
}

/// A person's terminal: a shell is started in it and gets ready. Then line after line is typed, and what the shell shows is
/// read until it is what must be run.
const TERMINAL: &str = r#"
    zmodload zsh/zpty
    zpty -b terminal "$1"
    zpty -w terminal "$2; echo rea''dy"
    shown=
    await() { local end=$((SECONDS + 20)); while [[ $shown != *$1* ]]; do
        zpty -r -t terminal part && shown+=$part || { (( SECONDS < end )) || { print -r -- "$shown"; exit 1 }; sleep 0.02 }
    done }
    await ready
    for line runs in "${@:3}"; do
        shown=
        zpty -w terminal "$line"
        await "$runs"
    done
    zpty -d terminal
"#;

/// Stands where the command line does: it says what a shell runs, and completes as the real one.
const RECORDER: &str = "#!/bin/sh\n[ \"$1\" = complete ] && exec \"$HELPER\" \"$@\"\nprintf '<%s>' \"$@\" END\necho\n";

/// What is run when a person types each of `lines`, behind the program's name, with <TAB>s in it.
fn assert_runs(shell: &str, setup: &str, lines: &[&[(&str, &str)]]) {
    let node = node();
    node.site.install_program(RECORDER, "usr/bin/virt-recontext");
    node.site.install_program("#!/bin/sh\nexec \"$@\"\n", "usr/bin/sudo");
    // In the directory are files with names like those of VMs and facts.
    let home = node.site.path("home");
    node.site.write("home/nothing.txt", "");
    node.site.write("home/web/nothing.txt", "");
    let mut terminal = Command::new("zsh");
    let setup = setup.replace("COMPLETIONS", concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/completions"));
    terminal.args(["-f", "-c", TERMINAL, "zsh", shell, &setup]);
    for (line, runs) in lines.concat() {
        let program = if line.starts_with("sudo ") { "" } else { "virt-recontext " };
        terminal.arg(format!("{program}{}", line.replace("<TAB>", "\t"))).arg(format!("{runs}<END>"));
    }
    node.site.on_this_host(&mut terminal, 0);
    terminal.env("PATH", format!("{}:/usr/bin:/bin", node.site.path("usr/bin").display())).current_dir(&home);
    terminal.env("HOME", &home).env("XDG_RUNTIME_DIR", &home).env("TERM", "dumb");
    terminal.env("HELPER", node.site.recontext::<&str>(&[]).get_program());
    assert_eq!(said(&terminal.output().unwrap()), (0, String::new()), "{shell}");
}

/// What is the same in all shells.
const LINES: &[(&str, &str)] = &[
    ("enable w<TAB>o<TAB>", "<enable><web><other>"),
    ("refresh w<TAB>", "<refresh><web>"),
    ("unset web ro<TAB>n<TAB>", "<unset><web><role><net.mtu>"),
    ("unset web --file mo<TAB>", "<unset><web><--file><motd>"),
    ("unset web --file=mo<TAB>", "<unset><web><--file=motd>"),
    ("set web ro<TAB>db", "<set><web><role=db>"),
    ("enable --fo<TAB> noc<TAB>w<TAB>", "<enable><--format><nocloud><web>"),
    ("enable a<TAB>d<TAB>", "<enable><a:b@c><db>"),
    ("status my<TAB>", "<status><my vm>"),
    ("status my\\ <TAB>", "<status><my vm>"),
    ("unset my\\ vm sp<TAB>", "<unset><my vm><spaced>"),
    ("status q<TAB>", "<status><q'$x>"),
    ("unset web --file et<TAB>", "<unset><web><--file><etc/my motd>"),
    // What is not known stays as it is, and is no file either.
    ("enable noth<TAB>", "<enable><noth>"),
    ("unset other noth<TAB>", "<unset><other><noth>"),
];

#[test]
fn bash_completes_vms_and_what_they_carry() {
    let of_bash = [
        ("status a:b<TAB>", "<status><a:b@c>"),
        ("set web role=ne<TAB>x", "<set><web><role=nex>"),
        // In quotes is nothing completed.
        ("status \"my<TAB>\"", "<status><my>"),
    ];
    let setup = "PS1=; set -u; source COMPLETIONS/virt-recontext.bash";
    assert_runs("bash --noprofile --norc -i", setup, &[LINES, &of_bash]);
}

/// As zsh and fish know it by themselves; bash has that of another package.
const SUDO: &[(&str, &str)] = &[("sudo virt-recontext enable w<TAB>", "<enable><web>")];

#[test]
fn zsh_completes_vms_and_what_they_carry() {
    let setup = "PS1=; unsetopt prompt_sp; fpath=(COMPLETIONS $fpath); autoload -U compinit; compinit -D -u";
    assert_runs("zsh -f -i", setup, &[LINES, SUDO]);
}

#[test]
fn fish_completes_vms_and_what_they_carry() {
    assert_runs("fish -i", "source COMPLETIONS/virt-recontext.fish", &[LINES, SUDO]);
}
