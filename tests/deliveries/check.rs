//! `check`: a directory of configuration is judged by anybody, wherever it lies.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::PathBuf;
use std::time::Instant;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::node::{Node, said};
use crate::site::{PATIENCE, Site, make_dir, run};

const NOBODY: u32 = 65_534;
const UUID: &str = "6695eb01-f6a4-8304-79aa-97f2502e193f";

/// A checkout beside a host, which has no libvirt.
struct Checkout {
    site: Site,
}

impl Checkout {
    fn with(files: &[(&str, &str)]) -> Checkout {
        let checkout = Checkout { site: Site::new(&[]) };
        make_dir(&checkout.path(""));
        for (name, text) in files {
            checkout.write(name, text);
        }
        checkout
    }

    fn path(&self, name: &str) -> PathBuf {
        self.site.beside("checkout").join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        make_dir(self.path(name).parent().unwrap());
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// The exit code, and each line but for the last, which holds their numbers. Paths begin in the checkout.
    fn check(&self, options: &[&str]) -> (i32, Vec<String>) {
        self.check_as(0, options)
    }

    fn check_as(&self, uid: u32, options: &[&str]) -> (i32, Vec<String>) {
        let dir = self.path("").display().to_string();
        let mut check = self.site.recontext_as(uid, &["check", dir.trim_end_matches('/')]);
        let (code, said) = said(&run(check.args(options), b""));
        let mut lines: Vec<String> = said.replace(&dir, "").lines().map(str::to_owned).collect();
        let last = lines.pop().unwrap();
        let count = |what: &str| lines.iter().filter(|line| line.starts_with(what)).count();
        let numbers: Vec<usize> = last.split(' ').filter_map(|word| word.parse().ok()).collect();
        assert_eq!(numbers, [count("error: "), count("note: ")], "{said}");
        assert_eq!(code, i32::from(numbers[0] > 0), "{said}");
        (code, lines)
    }
}

fn assert_told(lines: &[String], wanted: &[&str]) {
    for wanted in wanted {
        assert!(lines.iter().any(|line| line.starts_with(wanted)), "{wanted} is not told: {lines:#?}");
    }
    assert_eq!(lines.len(), wanted.len(), "{lines:#?}");
}

#[test]
fn what_is_good_is_said_to_be_good_to_anybody_without_root() {
    let checkout = Checkout::with(&[
        ("config.toml", "format = 'nocloud'\nexpose_host = 'hash'\n"),
        ("facts.d/site.toml", "site = 'b'\n"),
        ("context/site.j2", "{{ facts.site }} {{ host.name }} {{ domain.name }} {{ event.reason }}"),
        ("domains/web/context/site.j2", "web at {{ facts.site }}"),
        ("README.md", ""),
        (".git/HEAD", ""),
    ]);
    assert_eq!(checkout.check_as(NOBODY, &[]), (0, vec![]));
    assert_eq!(checkout.check(&[]), (0, vec![]));
}

#[test]
fn a_directory_in_which_nothing_is_read_is_the_wrong_one() {
    let checkout = Checkout::with(&[("recontext/config.toml", ""), ("README.md", "")]);
    let (code, lines) = checkout.check(&[]);
    assert_eq!(code, 1);
    assert!(
        lines.iter().any(|line| line.starts_with("error: ") && line.contains("holds nothing that is read: name ")),
        "{lines:?}"
    );
    assert_eq!(Checkout::with(&[]).check(&[]).0, 0, "one that is new");
}

#[test]
fn every_fault_is_told_with_its_place_and_not_only_the_first() {
    let checkout = Checkout::with(&[
        (
            "config.toml",
            "force_after = 3\nnothing = 1\n[limits]\nfiles = 'x'\ntemplate_steps = 1000\n[[select]]\nname = '*'\n[[select]]\nname = 'b'\n",
        ),
        ("facts.d/10.toml", "a = 1\nb = "),
        ("facts.d/20.json", "[]"),
        ("facts.d/web.tmol", "a = 1"),
        ("facts.d/30.toml", "site = 'b'"),
        ("context/one.j2", "{{ facts.site }}\n{{ facts.zone }}"),
        ("context/two.j2", "{% if event.reason == 'migrate' %}{{ host.nmae }}{% endif %}"),
        ("context/loop.j2", "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}"),
        ("context/recontext.json", "{}"),
        ("context/a", ""),
        ("context/a.j2", ""),
        ("domains/web/facts.d/own.toml", "= 1"),
        ("domains/6695EB01-f6a4-8304-79aa-97f2502e193f/context/x", ""),
    ]);
    let (_, lines) = checkout.check(&[]);
    assert_told(
        &lines,
        &[
            "error: reading config.toml: line 1: \"3\" is neither a time",
            "error: reading config.toml: line 2: unknown field `nothing`",
            "error: reading config.toml: line 4: invalid type",
            "note: config.toml: [[select]] rule 2 selects no VM",
            "error: reading facts.d/10.toml: line 2: ",
            "error: reading facts.d/20.json: ",
            "error: facts.d/web.tmol: facts are in *.toml",
            "error: the template context/one.j2, line 2: it uses facts.zone, which is not defined; facts has site",
            "error: the template context/two.j2, line 1: it uses host.nmae",
            "error: the template context/loop.j2, line 1: it takes more steps",
            "error: context/recontext.json cannot be on the disc",
            "error: context/a.j2 is not the only file of its layer that makes /a; keep one",
            "error: reading domains/web/facts.d/own.toml: line 1: ",
            "error: domains/6695EB01-f6a4-8304-79aa-97f2502e193f is no VM's: a UUID is written ",
        ],
    );
}

#[test]
fn what_signs_is_known_and_judged_as_far_as_it_lies_there() {
    let public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBqmefekBgtAYF3jiTEjfIaD46cdICnaRU1clRbAc8Qo site-b";
    let checkout = Checkout::with(&[
        ("config.toml", ""),
        ("context/a", ""),
        ("signing_key", "secret"),
        ("signing_key.pub", public),
    ]);
    assert_eq!(checkout.check(&[]), (0, vec![]));
    for (command, told) in [
        ("[]", "error: reading config.toml: line 1: it names no program"),
        ("['sign']", "error: reading config.toml: sign_command begins with \"sign\", which is not an absolute path"),
        ("['/nowhere/sign', 'x']", "note: sign_command: /nowhere/sign is not there on this machine"),
        ("['/etc/passwd']", "note: sign_command: /etc/passwd may not be executed, or is no file on this machine"),
        ("['/usr/bin/env']", ""),
    ] {
        checkout.write("config.toml", &format!("sign_command = {command}\n"));
        let (_, lines) = checkout.check(&[]);
        let told = Some(told).filter(|told| !told.is_empty());
        let unused = "note: signing_key does not sign, for sign_command does";
        let wanted: Vec<&str> = told.into_iter().chain(command.contains('/').then_some(unused)).collect();
        assert_told(&lines, &wanted);
    }
    fs::remove_file(checkout.path("signing_key")).unwrap();
    for (key, told) in [
        ("secret", "error: reading signing_key.pub: \"secret\" is not the type of a key that OpenSSH signs with"),
        (&public.replace("site-b", "site b"), "error: signing with signing_key.pub: the key's comment is \"site b\""),
    ] {
        checkout.write("signing_key.pub", key);
        assert_told(&checkout.check(&[]).1, &[told]);
    }
    fs::remove_file(checkout.path("signing_key.pub")).unwrap();
    assert_eq!(checkout.check(&[]), (0, vec![]), "it may be on the hosts");
    checkout.write("config.toml", "");
    checkout.write("signing_key-cert.pub", "secret");
    assert_told(&checkout.check(&[]).1, &["error: reading signing_key-cert.pub: \"secret\" is not the type"]);
}

#[test]
fn where_it_is_in_use_what_signs_must_be_there() {
    let node = Node::with(&[]);
    node.configure("sign_command = ['/nowhere/sign']\n");
    let (code, said) = node.say(&["check"]);
    assert_eq!(code, 1);
    assert!(said.contains("error: sign_command: /nowhere/sign is not there\n"), "{said}");
    assert!(
        said.contains("error: sign_command is set, and ") && said.contains("/signing_key.pub is missing"),
        "{said}"
    );
}

#[test]
fn paths_are_told_as_the_directory_was_named() {
    let checkout = Checkout::with(&[("facts.d/a.toml", "="), ("b", "")]);
    let from_root = checkout.path("").strip_prefix("/").unwrap().to_owned();
    for shown in [from_root.clone(), from_root.join("facts.d/.."), PathBuf::from(".").join(&from_root)] {
        let shown = shown.display().to_string();
        let told = |options: &[&str]| said(&run(checkout.site.recontext(&["check", &shown]).args(options), b"")).1;
        let plain = told(&[]);
        let named = shown.trim_end_matches('/');
        assert!(plain.contains(&format!("reading {named}/facts.d/a.toml: line 1: ")), "{plain}");
        assert!(plain.contains(&format!("note: {named}/b is not read")), "{plain}");
        let b = checkout.path("b").display().to_string();
        assert_eq!(
            told(&["--with", &format!("facts.d/b.toml={b}")]).replace("note: it is so already: ", "error: "),
            plain.replace("1 error, 1 note", "0 errors, 2 notes")
        );
    }
}

#[test]
fn what_is_a_fault_for_one_vm_alone_names_that_vm() {
    let checkout = Checkout::with(&[
        ("facts.d/site.toml", "[site]\nzone = 'b'"),
        ("context/zone.j2", "{{ facts.site.zone }}"),
        ("domains/web/facts.d/own.toml", "site = 1"),
        (&format!("domains/{UUID}/context/t.j2"), "{{ domain.uuid }} {{ domain.nmae }}"),
    ]);
    let (_, lines) = checkout.check(&[]);
    let of_uuid = format!("error: the template domains/{UUID}/context/t.j2, line 1: it uses domain.nmae");
    assert_told(&lines, &["error: for domains/web: the template context/zone.j2, line 1: ", &of_uuid]);
    // Of the same VM there may be two directories.
    checkout.write("domains/web/facts.d/own.toml", "own = 1");
    checkout.write(&format!("domains/{UUID}/context/t.j2"), "{% if domain.name == 'web' %}{{ facts.owm }}{% endif %}");
    assert_eq!(checkout.check(&[]).0, 0);
    let (_, lines) = checkout.check(&["--name", "web", "--uuid", UUID]);
    assert!(lines.len() == 1 && lines[0].contains("it uses facts.owm"), "{lines:?}");
}

#[test]
fn formats_are_judged_that_are_asked_for_and_of_others_a_note_is_made() {
    let checkout = Checkout::with(&[("facts.d/site.toml", "a-b = 1\na_b = 2\n")]);
    let (code, lines) = checkout.check(&[]);
    let fault = "making /context.sh: the facts \"a-b\" and \"a_b\"";
    assert_eq!(code, 0);
    assert_told(&lines, &[&format!("note: in the format opennebula, for which nothing here asks: {fault}")]);
    let asked = format!("error: in the format opennebula: {fault}");
    assert_told(&checkout.check(&["--format", "opennebula"]).1, &[&asked]);
    checkout.write("config.toml", "[[select]]\nname = 'one-*'\nformat = 'opennebula'\n");
    assert_told(&checkout.check(&[]).1, &[&asked]);
    checkout.write("config.toml", "format = 'opennebula'\n");
    assert_told(&checkout.check(&[]).1, &[&format!("error: {fault}")]);
}

#[test]
fn what_a_program_may_print_is_not_judged_until_it_is_known() {
    let checkout = Checkout::with(&[("context/rack.j2", "{{ facts.rack.name }}"), ("context/host", "")]);
    let script =
        checkout.write("facts.d/rack", "#!/bin/sh\ntouch \"$0.ran\"; echo '{\"rack\": {\"name\": \"seven\"}}'\n");
    let lacks = "error: the template context/rack.j2, line 1: it uses facts.rack";
    assert_told(&checkout.check(&[]).1, &["error: facts.d/rack is a program that may not be executed", lacks]);
    fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    let (code, lines) = checkout.check(&[]);
    assert_eq!(code, 0);
    let not_judged = "note: not judged, since it may be what a program prints: the template context/rack.j2, line 1: ";
    assert_told(&lines, &[not_judged, "note: programs in facts.d are not run: "]);
    assert!(!checkout.path("facts.d/rack.ran").exists());
    // What no program can print is judged.
    checkout.write("context/host.j2", "{{ host.nmae }}");
    fs::remove_file(checkout.path("context/host")).unwrap();
    assert_eq!(checkout.check(&[]).0, 1);
    fs::remove_file(checkout.path("context/host.j2")).unwrap();

    let facts = checkout.site.beside("facts.json");
    let facts_option = ["--facts", facts.to_str().unwrap()];
    fs::write(&facts, "{\"rack\": {\"name\": \"six\"}}").unwrap();
    assert_eq!(checkout.check(&facts_option), (0, vec![]));
    fs::write(&facts, "{\"rack\": {}}").unwrap();
    assert_eq!(checkout.check(&facts_option).0, 1);

    assert_eq!(checkout.check(&["--run-programs"]), (0, vec![]));
    assert!(checkout.path("facts.d/rack.ran").exists());
    fs::remove_file(checkout.path("facts.d/rack.ran")).unwrap();
    checkout.write("facts.d/rack", "#!/bin/sh\necho 'no such rack' >&2; exit 1\n");
    let (_, lines) = checkout.check(&["--run-programs"]);
    assert!(lines[0].starts_with("error: running facts.d/rack: ") && lines[0].contains("no such rack"), "{lines:?}");
    // Another user's program is none for root.
    chown(&script, Some(NOBODY), None).unwrap();
    let (_, lines) = checkout.check(&["--run-programs"]);
    assert!(lines[0].starts_with("error: root does not run it: facts.d/rack belongs to user 65534"), "{lines:?}");
}

#[test]
fn programs_for_the_whole_host_are_programs_and_run_once() {
    let checkout = Checkout::with(&[
        ("context/rack.j2", "{{ facts.rack }}"),
        ("facts.d/host/site.toml", "site = 1"),
        ("domains/web/facts.d/host/rack", "#!/bin/sh\n"),
        // Its settings, which it reads itself.
        ("rack.conf", "prefix=/site\n"),
    ]);
    let script = checkout.write("facts.d/host/rack", "#!/bin/sh\necho ran >>\"$0.bak\"; echo '{\"rack\": 7}'\n");
    fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    let faults = [
        "error: facts.d/host/site.toml is not a program, and only those may be there",
        "note: domains/web/facts.d/host does not count, by its name",
    ];
    let not_judged =
        ["note: not judged, since it may be what a program prints: the template context/rack.j2, line 1: "];
    let how = ["note: programs in facts.d are not run: "];
    assert_told(&checkout.check(&[]).1, &[&faults[..], &not_judged, &how].concat());
    assert_told(&checkout.check(&["--run-programs"]).1, &faults);
    assert_eq!(fs::read_to_string(checkout.path("facts.d/host/rack.bak")).unwrap(), "ran\n");
}

#[test]
fn what_a_program_printed_last_on_this_host_counts() {
    let node = Node::with(&[]);
    node.site.write("etc/virt-recontext/context/rack.j2", "{{ facts.rack }}");
    node.program("facts.d/host/rack", "echo '{\"rack\": 7}'");
    let new = node.site.beside("new");
    fs::write(&new, "{{ facts.rakc }}").unwrap();
    let with = format!("context/rack.j2={}", new.display());
    let (code, told) = node.say(&["check", "--with", &with]);
    assert!(code == 0 && told.contains("note: not judged"), "{told}");
    assert_eq!(node.say(&["refresh", "--all"]).0, 0);
    assert_eq!(node.say(&["check"]), (0, "0 errors, 0 notes\n".to_owned()));
    let (code, told) = node.say(&["check", "--with", &with]);
    assert!(code == 1 && told.contains("it uses facts.rakc, which is not defined"), "{told}");
    // A new program may print something else, and elsewhere nothing is known.
    fs::write(&new, "#!/bin/sh\n").unwrap();
    let (code, told) = node.say(&["check", "--with", &format!("facts.d/host/rack={}", new.display())]);
    assert!(code == 0 && told.contains("note: not judged"), "{told}");
    let copy = node.site.beside("copy");
    fs::rename(node.site.path("etc/virt-recontext"), &copy).unwrap();
    let (code, told) = node.say(&["check", copy.to_str().unwrap()]);
    assert!(code == 0 && told.contains("note: not judged"), "{told}");
}

#[test]
fn a_new_file_is_judged_in_its_place_before_it_lies_there() {
    let checkout = Checkout::with(&[
        ("facts.d/50-x.toml", "x = 1\n"),
        ("context/a/b.j2", "{{ facts.x }}"),
        ("context/old.j2", "{{ facts.gone }}"),
    ]);
    let new = checkout.site.beside("tmp-4711");
    let with = |place: &str, text: &str| {
        fs::write(&new, text).unwrap();
        checkout.check(&["--with", &format!("{place}={}", new.display())])
    };
    let so_already = "note: it is so already: the template context/old.j2, line 1: it uses facts.gone";
    for (place, text, error) in [
        ("config.toml", "format = 'files'\n", None),
        ("config.toml", "fromat = 'files'\n", Some("error: reading config.toml: line 1: unknown field `fromat`")),
        ("facts.d/50-x.toml", "x = 2\n", None),
        ("facts.d/50-x.toml", "x = \n", Some("error: reading facts.d/50-x.toml: line 1: ")),
        ("facts.d/60-y.toml", "y = 2\n", None),
        ("facts.d/60-y.tmol", "y = 2\n", Some("error: facts.d/60-y.tmol: facts are in")),
        ("facts.d/60-y.toml.bak", "", Some("error: facts.d/60-y.toml.bak does not count, by its name")),
        ("confg.toml", "", Some("error: confg.toml is not read")),
        ("fact.d/60-y.toml", "y = 2\n", Some("error: fact.d is not read")),
        ("context/a/b.j2", "{{ facts.x + 1 }}", None),
        ("context/a/b.j2", "{{ facts.y }}", Some("error: the template context/a/b.j2, line 1: it uses facts.y")),
        ("context/a/b.j2/c", "", None),
        ("domains/web/context/new/c.j2", "{{ facts.x }}", None),
        (
            "domains/web/context/new/c.j2",
            "{{ fact.x }}",
            Some("error: the template domains/web/context/new/c.j2, line 1: "),
        ),
        // A program gets its mode later.
        ("facts.d/probe", "#!/bin/sh\necho '{}'\n", None),
    ] {
        let (code, lines) = with(place, text);
        assert_eq!(code, i32::from(error.is_some()), "{place} {text:?}: {lines:#?}");
        assert!(
            error.is_none_or(|error| lines.iter().any(|line| line.starts_with(error))),
            "{place} {text:?}: {lines:#?}"
        );
        assert!(place == "facts.d/probe" || lines.iter().any(|line| line.starts_with(so_already)), "{lines:#?}");
        assert!(!lines.concat().contains("/tmp/"), "{lines:#?}");
    }
    // What others need of it counts.
    let (code, lines) = with("facts.d/50-x.toml", "y = 1");
    assert!(
        code == 1 && lines[0].starts_with("error: the template context/a/b.j2, line 1: it uses facts.x"),
        "{lines:#?}"
    );
    // What was wrong in its place before is no excuse.
    let (code, lines) = with("context/old.j2", "{{ facts.gone }}");
    assert!(code == 1 && lines[0].starts_with("error: the template context/old.j2"), "{lines:#?}");
    assert_eq!(fs::read_to_string(checkout.path("facts.d/50-x.toml")).unwrap(), "x = 1\n");
    for wrong in ["config.toml", "../x=/dev/null", "/x=/dev/null", "=/dev/null"] {
        let mut check = checkout.site.recontext(&["check", "--with", wrong]);
        assert_eq!(run(&mut check, b"").status.code(), Some(2), "{wrong}");
    }
}

#[test]
fn in_the_hosts_own_directory_what_the_hook_would_not_read_is_an_error() {
    let site = Site::usual();
    let check = |options: &[&str]| said(&run(site.recontext(&["check"]).args(options), b""));
    assert_eq!(check(&[]), (0, "0 errors, 0 notes\n".to_owned()));
    site.write("etc/virt-recontext/facts.d/99.toml", "x = 1\n");
    let facts = site.path("etc/virt-recontext/facts.d/99.toml");
    fs::set_permissions(&facts, Permissions::from_mode(0o666)).unwrap();
    let (code, told) = check(&[]);
    let fault = format!("{0} is writable by users other than root: chmod go-w {0}", facts.display());
    assert_eq!((code, told), (1, format!("error: {fault}\n1 error, 0 notes\n")));
    // Its successor does not have its mode, and another file is not to blame.
    let new = site.beside("new");
    fs::write(&new, "x = 2\n").unwrap();
    fs::set_permissions(&new, Permissions::from_mode(0o666)).unwrap();
    assert_eq!(
        check(&["--with", &format!("facts.d/99.toml={}", new.display())]),
        (0, "0 errors, 0 notes\n".to_owned())
    );
    let (code, told) = check(&["--with", &format!("facts.d/98.toml={}", new.display())]);
    assert_eq!((code, told), (0, format!("note: it is so already: {fault}\n0 errors, 1 note\n")));
    // Elsewhere it is root's to see to, before it is one.
    let copy = site.beside("copy");
    fs::rename(site.path("etc/virt-recontext"), &copy).unwrap();
    let (code, told) = check(&[copy.to_str().unwrap()]);
    assert!(code == 0 && told.contains("; on a host, such files are not read\n0 errors, 1 note"), "{told}");
    let (code, told) = check(&[]);
    assert!(code == 1 && told.contains("there is no directory "), "{told}");
}

#[test]
fn what_a_user_may_not_read_is_told() {
    let checkout = Checkout::with(&[("facts.d/a.toml", "a = 1"), (&format!("domains/{UUID}/context/secret"), "x")]);
    fs::set_permissions(checkout.path("facts.d/a.toml"), Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(checkout.path(&format!("domains/{UUID}")), Permissions::from_mode(0o700)).unwrap();
    let (_, lines) = checkout.check_as(NOBODY, &[]);
    for path in ["facts.d/a.toml", &format!("domains/{UUID}/facts.d")] {
        let fault = |line: &&String| line.contains(&format!("{path}: Permission denied"));
        assert_eq!(lines.iter().filter(fault).count(), 1, "{lines:#?}");
    }
}

#[test]
fn nothing_in_a_directory_makes_it_hang_or_die() {
    let begin = Instant::now();
    let checkout = Checkout::with(&[("context/fine", ""), ("domains/web/context/fine", "")]);
    mkfifo(&checkout.path("context/pipe"), Mode::S_IRWXU).unwrap();
    mkfifo(&checkout.path("config.toml"), Mode::S_IRWXU).unwrap();
    symlink("self", checkout.path("context/self")).unwrap();
    fs::File::create(checkout.path("context/huge")).unwrap().set_len(1 << 40).unwrap();
    checkout.write("facts.d", "");
    let (_, lines) = checkout.check(&[]);
    assert_told(
        &lines,
        &[
            "error: reading config.toml: it is not a regular file",
            "error: reading the directory facts.d: Not a directory",
            "error: limits.disc_size allows 67108864 bytes in all: reading context/huge: ",
            "error: reading context/pipe: it is not a regular file",
            "error: reading context/self: Too many levels of symbolic links",
        ],
    );
    // More ways through these than anybody could go.
    for number in 0..12 {
        symlink(".", checkout.path(&format!("context/{number}"))).unwrap();
    }
    assert_eq!(checkout.check(&[]).0, 1);
    // Limits that are none leave those that every disc has.
    let checkout = Checkout::with(&[
        ("config.toml", "[limits]\ntemplate_steps = 1000000000000\ndisc_steps = 1000000000000\n"),
        ("facts.d/bad.toml", "="),
        ("domains/web/context/fine", ""),
    ]);
    for (template, limit) in [
        (
            "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
            "more than 2 s of a processor's time",
        ),
        (
            "{% set n = namespace(x='xx') %}{% for i in range(64) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
            "more memory than",
        ),
    ] {
        checkout.write("context/t.j2", template);
        let (_, lines) = checkout.check(&[]);
        assert!(lines[0].starts_with("error: reading facts.d/bad.toml"), "{lines:#?}");
        assert!(lines[1].contains(limit), "{lines:#?}");
        assert_eq!(lines[2..], ["note: directories of domains that are not judged: 1"]);
    }
    assert!(begin.elapsed() < PATIENCE);
}

#[test]
fn what_a_program_has_left_running_keeps_nobody_waiting() {
    let checkout = Checkout::with(&[("context/a", "x")]);
    let left = "#!/bin/sh\nsetsid sleep 50 >/dev/null 2>&1 </dev/null &\necho '{}'\n";
    let program = checkout.write("facts.d/left", left);
    fs::set_permissions(program, Permissions::from_mode(0o755)).unwrap();
    let begin = Instant::now();
    assert_eq!(checkout.check(&["--run-programs"]).0, 0);
    assert!(begin.elapsed() < PATIENCE, "it waited for what holds its pipe");
}
