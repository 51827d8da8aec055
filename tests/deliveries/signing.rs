//! Signed discs: with a key that lies on the host, and by a program that has it.

use std::fs;
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
    let (_, said) = node.say(&["doctor"]);
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
