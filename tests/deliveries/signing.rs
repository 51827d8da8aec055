//! Signed discs: with a key that lies on the host, and by a program that has it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use super::node::{Node, Vm, told};
use crate::site::wait_for;

const KEY: &str = "etc/virt-recontext/signing_key";

/// A new key of this comment in the place of the old one, if any; the path of it.
fn new_key(node: &Node, place: &str, comment: &str) -> String {
    let path = node.site.path(place);
    let _none = fs::remove_file(&path);
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"]).arg(&path);
    assert!(keygen.status().unwrap().success());
    path.display().to_string()
}

fn refresh(node: &Node, vm: &Vm) -> (i32, String) {
    let said = node.say(&["refresh", &vm.name]);
    wait_for("the helper to end", || node.site.processes().is_empty());
    said
}

#[test]
fn a_disc_that_has_the_same_content_is_signed_anew_by_another_key() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.serve(&web);
    let signed_by = |signer: &str| node.is_on_disc(&web, &format!("\"signer\":\"{signer}\""));
    assert!(!node.is_on_disc(&web, "BEGIN SSH SIGNATURE"));
    for site in ["site-a", "site-b"] {
        new_key(&node, KEY, site);
        assert_eq!(refresh(&node, &web).0, 0);
        assert!(signed_by(site) && node.is_on_disc(&web, "BEGIN SSH SIGNATURE"));
        let generation = node.generation(&web);
        assert_eq!(refresh(&node, &web), (0, "web: the content is the same; the disc stays\n".to_owned()));
        assert_eq!(node.generation(&web), generation);
    }
    new_key(&node, KEY, "site-b");
    let generation = node.generation(&web);
    assert_eq!(refresh(&node, &web).0, 0);
    assert!(node.generation(&web) > generation, "another key of the same name is another signer");
}

#[test]
fn a_key_that_cannot_be_used_makes_no_disc_and_none_that_is_unsigned() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.serve(&web);
    let (disc, key) = (fs::read(node.image(&web)).unwrap(), node.site.path(KEY));
    std::os::unix::fs::symlink("/nowhere", &key).unwrap();
    let (code, said) = refresh(&node, &web);
    assert!(code == 1 && said.contains("signing_key"), "{code} {said}");
    node.hook(&web, "migrate");
    assert_eq!(node.progress(&web), told("failed", "migrate"));
    assert!(fs::read(node.image(&web)).unwrap() == disc, "a disc was made");
    let (_, said) = node.say(&["doctor", "--verbose"]);
    assert!(said.contains("bad: signing: ") && said.contains("no disc is made"), "{said}");
    let (code, said) = node.say(&["preview", "web"]);
    assert!(code == 1 && said.contains("signing_key"), "{said}");
    // As while somebody puts another key there.
    fs::remove_file(&key).unwrap();
    node.site.write("etc/virt-recontext/signing_key-cert.pub", "the certificate of it");
    let (code, said) = refresh(&node, &web);
    assert!(code == 1 && said.contains("signing_key is missing"), "{code} {said}");
    assert!(fs::read(node.image(&web)).unwrap() == disc, "a disc was made");
}

#[test]
fn a_program_that_signs_is_run_by_the_helper_alone_and_only_for_other_content() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    let key = new_key(&node, "elsewhere", "site-c");
    fs::copy(format!("{key}.pub"), node.site.path(&format!("{KEY}.pub"))).unwrap();
    let runs = node.site.beside("runs");
    node.site.install_program(
        &format!("#!/bin/sh\necho >>{}\nexec ssh-keygen -q -Y sign -n virt-recontext -f {key}\n", runs.display()),
        "usr/bin/sign",
    );
    let runs = || fs::read(&runs).map_or(0, |lines| lines.len());
    node.configure(&format!("sign_command = ['{}']\n", node.site.path("usr/bin/sign").display()));
    node.hook(&web, "migrate");
    assert!(node.job(&web).exists() && !node.image(&web).exists(), "the hook does not wait for it");
    node.deliver();
    assert_eq!(node.progress(&web), told("delivered", "migrate"), "{}", node.message(&web));
    assert!(node.is_on_disc(&web, "\"signer\":\"site-c\"") && node.is_on_disc(&web, "BEGIN SSH SIGNATURE"));
    assert_eq!(runs(), 1);
    assert_eq!(refresh(&node, &web), (0, "web: the content is the same; the disc stays\n".to_owned()));
    assert_eq!(runs(), 1, "it is asked where nothing is new");
    node.site.write("etc/virt-recontext/context/motd", "moved\n");
    assert_eq!(refresh(&node, &web).0, 0);
    assert_eq!(runs(), 2);
    // Another message than the sums.
    let (code, program) = (fs::read_to_string(node.site.path("usr/bin/sign")).unwrap(), "usr/bin/sign");
    node.site.install_program(&code.replace("exec ssh", "echo x | ssh"), program);
    node.site.write("etc/virt-recontext/context/motd", "moved on\n");
    let (_, said) = refresh(&node, &web);
    assert!(said.contains("it is not a signature of this disc"), "{said}");
    node.site.install_program(&code, program);
    // Another key than the one that guests are told of.
    let other = new_key(&node, "other", "site-c");
    fs::copy(format!("{other}.pub"), node.site.path(&format!("{KEY}.pub"))).unwrap();
    let (code, said) = refresh(&node, &web);
    assert!(code == 1 && said.contains("it is a signature by another key"), "{code} {said}");
}

/// What doctor says of signing.
fn signing(node: &Node) -> Vec<String> {
    let (_, said) = node.say(&["doctor", "--verbose"]);
    said.lines().filter(|line| line.contains(": signing: ")).map(str::to_owned).collect()
}

#[test]
fn doctor_has_sign_command_sign_a_sample_once_and_says_what_comes_of_it() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    let key = new_key(&node, "elsewhere", "site-c");
    let public = node.site.path(&format!("{KEY}.pub"));
    fs::copy(format!("{key}.pub"), &public).unwrap();
    let (runs, program) = (node.site.beside("runs"), node.site.path("usr/bin/sign"));
    let does = |what: &str| {
        let script = format!("#!/bin/sh\necho >>{}\n{what}\n", runs.display());
        node.site.install_program(&script, "usr/bin/sign");
    };
    node.configure(&format!("sign_command = ['{}']\n[limits]\nprogram_time = '1s'\n", program.display()));
    does(&format!("exec ssh-keygen -q -Y sign -n virt-recontext -f {key}"));
    let lines = signing(&node);
    assert!(lines.len() == 1 && lines[0].starts_with("good: signing: discs are signed by site-c with "), "{lines:?}");
    assert!(lines[0].ends_with("; sign_command has signed a sample"), "{lines:?}");
    assert_eq!(fs::read(&runs).unwrap().len(), 1);
    let bad = |fault: &str| {
        let lines = signing(&node);
        let begin = format!("bad: signing: signing a sample: running sign_command {}: ", program.display());
        assert!(lines.len() == 1 && lines[0].starts_with(&begin) && lines[0].contains(fault), "{lines:?}");
    };
    does("echo no agent >&2; exit 1");
    bad("no agent");
    does("exec sleep 60");
    bad("it took longer than limits.program_time = 1 s");
    let other = new_key(&node, "other", "site-c");
    does(&format!("exec ssh-keygen -q -Y sign -n virt-recontext -f {other}"));
    bad("it is a signature by another key");
    // Of a key of another type only its own program tells.
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ecdsa", "-N", "", "-C", "site-c", "-f"]).arg(node.site.path("third"));
    assert!(keygen.status().unwrap().success());
    fs::copy(node.site.path("third.pub"), &public).unwrap();
    does(&format!("exec ssh-keygen -q -Y sign -n virt-recontext -f {}", node.site.path("third").display()));
    assert!(signing(&node)[0].ends_with("whether guests take it is not checked of such a key"));
    fs::remove_file(program).unwrap();
    assert!(signing(&node)[0].starts_with("bad: signing: signing a sample: running sign_command "));
}

#[test]
fn an_agent_signs_by_a_certificate_that_it_holds() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    let (key, ca) = (new_key(&node, "elsewhere", "site-c"), new_key(&node, "ca", "ca"));
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-s", &ca, "-I", "id", "-n", "c.site"]).arg(format!("{key}.pub"));
    assert!(keygen.status().unwrap().success());
    let certificate = node.site.path(&format!("{KEY}-cert.pub"));
    fs::copy(format!("{key}-cert.pub"), &certificate).unwrap();
    node.configure(&format!("sign_command = ['{}']\n", node.site.path("usr/bin/sign").display()));
    let told = |public: &str| {
        // One that is not ended looks every ten seconds whether it still has somebody to serve.
        let sign = format!(
            "ssh-add -q {key} && ssh-keygen -q -Y sign -n virt-recontext -f {public}; code=$?; kill $SSH_AGENT_PID; exit $code"
        );
        node.site.install_program(&format!("#!/bin/sh\nexec ssh-agent sh -c '{sign}'\n"), "usr/bin/sign");
        signing(&node).concat()
    };
    let certified = certificate.display().to_string();
    let good = told(&certified);
    assert!(good.starts_with("good: signing: discs are signed by c.site with ssh-ed25519-cert-v01@"), "{good}");
    let plain = told(&format!("{key}.pub"));
    assert!(plain.contains("it is a signature by this key without its certificate: "), "{plain}");
    fs::remove_file(format!("{key}-cert.pub")).unwrap();
    let refused = told(&certified);
    assert!(refused.starts_with("bad: signing: ") && refused.contains("agent refused"), "{refused}");
}

#[test]
fn what_signs_for_a_person_has_no_limit_of_memory() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    let key = new_key(&node, "elsewhere", "site-c");
    fs::copy(format!("{key}.pub"), node.site.path(&format!("{KEY}.pub"))).unwrap();
    let limits = node.site.beside("limits");
    let sign = format!("ulimit -v >>{}; exec ssh-keygen -q -Y sign -n virt-recontext -f {key}", limits.display());
    node.site.install_program(&format!("#!/bin/sh\n{sign}\n"), "usr/bin/sign");
    node.configure(&format!("sign_command = ['{}']\n", node.site.path("usr/bin/sign").display()));
    let xml = node.site.beside("web.xml");
    fs::write(&xml, web.xml()).unwrap();
    let (xml, disc) = (xml.display().to_string(), node.site.beside("web.iso").display().to_string());
    for command in [vec!["preview", "web"], vec!["build", "--xml", &xml, "--output", &disc], vec!["doctor"]] {
        node.say(&command);
        assert_eq!(fs::read_to_string(&limits).unwrap_or_default(), "unlimited\n", "{command:?}");
        fs::remove_file(&limits).unwrap();
    }
}

#[test]
fn doctor_says_what_to_do_about_what_cannot_sign() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    let told = |what: &str, remedy: &str| {
        let lines = signing(&node);
        let end = format!("; no disc is made -> {remedy}; then virt-recontext refresh --all");
        assert!(lines.len() == 1 && lines[0].contains(what) && lines[0].ends_with(&end), "{lines:?} {end}");
    };
    let key = new_key(&node, KEY, "a key");
    told("the key's comment is \"a key\", and a signer's name has ", "set signer in config.toml");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    told(" is a private key that others may read", &format!("chmod 0600 {key}"));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    chown(&key, Some(1), None).unwrap();
    told(" belongs to user 1, not to root", &format!("chown root {key}"));
    chown(&key, Some(0), None).unwrap();
    let ca = new_key(&node, "ca", "ca");
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-s", &ca, "-I", "id", "-n", "a.site,b", "-V", "-2d:-1d"]).arg(format!("{key}.pub"));
    assert!(keygen.status().unwrap().success());
    told(
        "the certificate has expired at ",
        "have a new one made: ssh-keygen -s CA -I ID -n a.site,b -V +52w signing_key.pub",
    );
    fs::write(&key, "").unwrap();
    told("the private key is empty", "an OpenSSH private key belongs here: ssh-keygen -t ed25519 -N '' makes one");
    fs::remove_file(&key).unwrap();
    std::os::unix::fs::symlink("/nowhere", &key).unwrap();
    told("signing_key: No such file or directory", "see virt-recontext(8), SIGNED DISCS");
}

#[test]
fn doctor_warns_of_a_signer_whose_name_is_only_what_ssh_keygen_makes_of_this_host() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    let warnings = || signing(&node).iter().filter(|line| line.contains("so ssh-keygen calls a key")).count();
    for (comment, count) in
        [("root@host-b", 1), ("root@host-b.site", 0), ("root@host-c", 0), ("host-b", 0), ("@host-b", 0)]
    {
        new_key(&node, KEY, comment);
        assert_eq!(warnings(), count, "{comment}");
    }
    new_key(&node, KEY, "root@host-b");
    node.configure("signer = 'root@host-b'\n");
    assert_eq!(warnings(), 0, "somebody means it");
}

#[test]
fn a_private_key_is_roots_and_one_group_at_most_may_read_it() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    let key = new_key(&node, KEY, "site-a");
    for (mode, owner, may_sign) in [
        (0o600, 0, true),
        (0o400, 0, true),
        (0o640, 0, true),
        (0o644, 0, false),
        (0o604, 0, false),
        (0o660, 0, false),
        (0o610, 0, false),
        (0o600, 1, false),
    ] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        chown(&key, Some(owner), Some(7)).unwrap();
        let (code, said) = node.say(&["preview", "web", "--file", "recontext.sums.sig"]);
        assert_eq!(code == 0, may_sign, "{mode:o} {owner}: {said}");
        assert!(may_sign || said.contains(": chmod ") || said.contains(": chown "), "what to do: {said}");
    }
}

#[test]
fn doctor_says_who_signs_for_how_long_and_what_that_tells_of_the_host() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    let signing = || signing(&node);
    assert_eq!(signing(), [""; 0], "it is nothing that a host must have");
    let key = new_key(&node, KEY, "site-a");
    let lines = signing();
    assert!(
        lines.len() == 1 && lines[0].starts_with("good: signing: discs are signed by site-a with ssh-ed25519 SHA256:")
    );
    let ca = new_key(&node, "ca", "ca");
    let certify = |principals: &str, validity: &str| {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-s", &ca, "-I", "id", "-n", principals, "-V", validity]).arg(format!("{key}.pub"));
        assert!(keygen.status().unwrap().success());
    };
    certify("a.site", "-1d:+31d");
    let lines = signing();
    assert!(lines.len() == 1 && lines[0].contains("by a certificate that expires at "), "{lines:?}");
    certify("a.site", "-1d:+29d");
    let lines = signing();
    assert!(lines.len() == 2 && lines[1].starts_with("warning: signing: ") && lines[1].contains(" expires at "));
    for (validity, fault) in [("-2d:-1d", "has expired at "), ("+1d:+2d", "is not valid before ")] {
        certify("a.site", validity);
        let lines = signing();
        assert!(lines.len() == 1 && lines[0].starts_with("bad: signing: ") && lines[0].contains(fault), "{lines:?}");
    }
    certify("a.site,b.site", "always:forever");
    node.configure("signer = 'c.site'\n");
    let lines = signing();
    assert!(
        lines[0].starts_with("bad: ")
            && lines[0].ends_with("set signer to one of: a.site, b.site; then virt-recontext refresh --all"),
        "{lines:?}"
    );
    node.configure("");
    assert!(
        signing()[0].contains("signed by a.site with ")
            && signing()[0].ends_with("2 names, of which the first is used, and signer takes another")
    );
    node.configure("signer = 'b.site'\nexpose_host = 'none'\n");
    let lines = signing();
    assert!(lines[0].contains("discs are signed by b.site") && lines[1].contains("a certificate tells hosts apart"));
}
