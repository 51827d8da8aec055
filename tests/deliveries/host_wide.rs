//! Host-wide programs: their facts are the same for all VMs, and each is run once for the host.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::thread;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::node::{Node, Vm, told};
use crate::site::{finish, make_dir, wait_for};

const SHOWN: &str = "etc/virt-recontext/context/shown.j2";
const KNOWN: &str = "run/libvirt/recontext/facts/host.json";
const SITE: &str = "facts.d/host/site";

/// A program that counts its runs and prints what it is given.
fn counting(printed: &str) -> String {
    format!("echo run >> \"$(dirname \"$0\")/../../runs\"; {printed}")
}

fn runs(node: &Node) -> usize {
    fs::read_to_string(node.site.path("etc/virt-recontext/runs")).unwrap_or_default().lines().count()
}

/// So many VMs on a host with a program for the fact `place`.
fn node_of(vms: &[Vm], printed: &str) -> Node {
    let node = Node::with(&vms.iter().collect::<Vec<_>>());
    node.site.write(SHOWN, "place={{ facts.place }}\n");
    node.program(SITE, &counting(printed));
    node
}

fn vms(number: usize) -> Vec<Vm> {
    (0..number).map(|number| Vm::called(&format!("vm{number}"))).collect()
}

#[test]
fn for_twenty_vms_a_host_wide_program_is_run_once_a_refresh() {
    let vms = vms(20);
    let node = node_of(&vms, "echo '{\"place\": \"a\"}'");
    let (code, said) = node.say(&["refresh", "--all"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(runs(&node), 1);
    assert!(vms.iter().all(|vm| node.is_on_disc(vm, "place=a\n")));
    node.program(SITE, &counting("echo '{\"place\": \"b\"}'"));
    assert_eq!(node.say(&["refresh", "--all"]).0, 0);
    assert_eq!(runs(&node), 2);
    assert!(vms.iter().all(|vm| node.is_on_disc(vm, "place=b\n")));
    // It is told nothing of any VM.
    let printed = "env | grep -q DOMAIN && exit 1; echo '{\"place\": \"c\"}'";
    node.program(SITE, printed);
    assert_eq!(node.say(&["refresh", "--all"]).0, 0);
    assert!(node.is_on_disc(&vms[0], "place=c\n"));
}

#[test]
fn a_vm_that_was_never_here_starts_with_what_a_host_wide_program_has_printed() {
    let web = Vm::called("web");
    let node = node_of(&[], "echo '{\"place\": \"a\"}'");
    // Nothing runs, and that is no reason not to know.
    assert_eq!(node.say(&["refresh", "--all"]), (0, String::new()));
    node.hook(&web, "prepare");
    assert_eq!(node.progress(&web), told("delivered", "start"));
    assert!(node.is_on_disc(&web, "place=a\n"));
    assert_eq!(runs(&node), 1);
}

#[test]
fn where_no_refresh_has_run_deliveries_run_a_host_wide_program_once_for_all() {
    let vms = vms(8);
    let node = node_of(&vms, "sleep 0.2; echo '{\"place\": \"a\"}'");
    for vm in &vms {
        node.note(vm, "start");
    }
    node.deliver();
    assert_eq!(runs(&node), 1);
    assert!(vms.iter().all(|vm| node.is_on_disc(vm, "place=a\n")));
    node.note(&vms[0], "start");
    node.deliver();
    assert_eq!(runs(&node), 1, "only refresh runs it again");
    // Nor do many wait for one that fails.
    node.program(SITE, &counting("sleep 0.2; exit 1"));
    fs::remove_file(node.site.path("run/libvirt/recontext/facts/host.json")).unwrap();
    for vm in &vms {
        node.note(vm, "start");
    }
    node.deliver();
    assert_eq!(runs(&node), 2);
    assert!(vms.iter().all(|vm| node.progress(vm) == told("failed", "start")));
    assert!(node.message(&vms[3]).contains("facts.d/host/site has given no facts on this host yet"));
}

#[test]
fn host_wide_facts_stand_before_all_others_and_only_programs_give_them() {
    let web = Vm::called("web");
    let node = node_of(std::slice::from_ref(&web), "echo '{\"place\": \"program\", \"zone\": \"program\"}'");
    node.site.write("etc/virt-recontext/facts.d/00-first.toml", "place = 'file'\n");
    node.site.write(SHOWN, "{{ facts.place }} {{ facts.zone }}\n");
    assert_eq!(node.say(&["refresh", "web"]).0, 0);
    assert!(node.is_on_disc(&web, "file program\n"));
    let (code, said) = node.say(&["preview", "web", "--explain"]);
    assert_eq!(code, 0);
    assert!(said.contains("\nHost-wide programs:\n") && said.contains(" s ago: place, zone\n"), "{said}");
    // Below domains/ there is no such thing, and it does not count.
    node.program("domains/web/facts.d/host/own", "echo '{\"place\": \"own\"}'");
    let (_, said) = node.say(&["preview", "web"]);
    assert!(said.contains("domains/web/facts.d/host does not count"), "{said}");
    node.site.write("etc/virt-recontext/facts.d/host/site.toml", "place = 'x'\n");
    let (code, said) = node.say(&["refresh", "web"]);
    assert_eq!(code, 1);
    assert!(said.contains("facts.d/host/site.toml is not a program, and only those may be there"), "{said}");
    assert!(node.is_on_disc(&web, "file program\n"));
}

#[test]
fn a_host_wide_program_that_fails_costs_no_vm_its_disc_and_is_told_until_it_works_again() {
    let web = Vm::called("web");
    let node = node_of(std::slice::from_ref(&web), "echo '{\"place\": \"a\"}'");
    assert_eq!(node.say(&["refresh", "--all"]).0, 0);
    let (_, said) = node.say(&["status"]);
    assert!(said.contains("facts.d/host/site: printed 0 s ago: place\n"), "{said}");
    node.program(SITE, "echo 'the store is away' >&2; exit 1");
    node.site.log_lines();
    for again in [false, true] {
        let (code, said) = node.say(&["refresh", "--all"]);
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("the store is away; its facts from "), "{said}");
        let logged = node.site.messages();
        assert_eq!(logged.iter().any(|line| line.contains("the store is away")), !again, "{logged:?}");
        let (code, said) = node.say(&["status"]);
        assert_eq!(code, 0);
        assert!(said.contains("facts.d/host/site: printed ") && said.contains(": the store is away\n"), "{said}");
        let (_, said) = node.say(&["doctor"]);
        assert!(said.contains("warning: programs: ") && said.contains("the store is away"), "{said}");
    }
    assert!(node.is_on_disc(&web, "place=a\n"));
    node.program(SITE, "echo '{\"place\": \"b\"}'");
    assert!(node.say(&["refresh", "--all"]).1.contains("it works again, after "));
    assert!(node.site.messages().iter().any(|line| line.contains("it works again, after ")));
    assert!(!node.say(&["refresh", "--all"]).1.contains("works again"));
    assert!(node.is_on_disc(&web, "place=b\n"));
    // One that never worked leaves new discs unmade, and says so to whoever asks.
    node.program("facts.d/host/new", "exit 1");
    let (code, said) = node.say(&["refresh", "--all"]);
    assert_eq!(code, 1);
    assert!(said.contains("running ") && said.contains("facts.d/host/new: it failed"), "{said}");
    assert!(node.say(&["doctor"]).1.contains("bad: programs: "));
    fs::remove_file(node.site.path("etc/virt-recontext/facts.d/host/new")).unwrap();
    assert_eq!(node.say(&["refresh", "--all"]).0, 0);
    assert!(!node.say(&["status"]).1.contains("host/new"));
}

#[test]
fn a_program_that_comes_while_a_refresh_waits_for_another_one_is_run_and_not_forgotten() {
    let node = node_of(&[], "echo '{\"place\": \"a\"}'");
    let running = node.lock("host-facts");
    let refresh = node.site.recontext(&["refresh", "--all"]).spawn().unwrap();
    wait_for("the refresh to wait for its turn", || Node::is_waited_for(&running));
    node.program("facts.d/host/new", "echo '{\"new\": 1}'");
    drop(running);
    assert!(finish(refresh).status.success());
    let (_, said) = node.say(&["status"]);
    assert!(said.contains("facts.d/host/new: printed "), "{said}");
}

#[test]
fn names_that_a_program_makes_up_each_time_are_not_kept_beyond_what_it_may_print() {
    let web = Vm::called("web");
    let node = node_of(std::slice::from_ref(&web), "echo '{\"place\": \"a\"}'");
    node.configure("[limits]\nprogram_output = '4KiB'\ndisc_size = '16KiB'\n");
    let printed = "printf '{\"place\": \"a\", \"k%s\": \"%01500d\"}' \"$(wc -l <\"$(dirname \"$0\")/../../runs\")\" 0";
    node.program(SITE, &counting(printed));
    for number in 1..=12 {
        let (code, said) = node.say(&["refresh", "--all"]);
        assert_eq!(code, 0, "{said}");
        assert!(node.is_on_disc(&web, &format!("\"k{number}\":")));
    }
    assert!(node.is_on_disc(&web, "\"k11\":") && !node.is_on_disc(&web, "\"k10\":"));
}

#[test]
fn a_program_whose_name_cannot_be_written_down_is_named() {
    let web = Vm::called("web");
    let node = node_of(std::slice::from_ref(&web), "echo '{\"place\": \"a\"}'");
    let dir = node.site.path("etc/virt-recontext/facts.d/host");
    fs::copy(dir.join("site"), dir.join(OsStr::from_bytes(b"bad\xff"))).unwrap();
    for command in [["refresh", "--all"], ["preview", "web"]] {
        let (code, said) = node.say(&command);
        assert!(code == 1 && said.contains("facts.d/host/bad\u{fffd}: its name is not UTF-8: rename it"), "{said}");
    }
}

#[test]
fn a_delivery_waits_for_what_it_needs_and_not_for_its_turn_behind_refreshes() {
    let web = Vm::called("web");
    let node = node_of(std::slice::from_ref(&web), "echo '{\"place\": \"a\"}'");
    assert_eq!(node.say(&["refresh", "--all"]).0, 0);
    let (known, new) = (node.site.path(KNOWN), node.site.beside("known"));
    fs::rename(&known, &new).unwrap();
    // To open it for writing is to wait until somebody has looked there.
    mkfifo(&known, Mode::S_IRWXU).unwrap();
    let _running = node.lock("host-facts");
    node.note(&web, "start");
    let helper = node.helper();
    let looked = thread::spawn(move || File::options().write(true).open(known).unwrap());
    wait_for("the helper to look", || looked.is_finished());
    // As the refresh does that has the lock; others may be next.
    fs::rename(new, node.site.path(KNOWN)).unwrap();
    assert!(finish(helper).status.success());
    assert_eq!(node.progress(&web), told("delivered", "start"));
}

#[test]
fn a_directory_where_their_facts_are_to_be_written_down_is_told_with_what_to_do() {
    let vms = vms(1);
    let node = node_of(&vms, "echo '{\"place\": \"a\"}'");
    make_dir(&node.site.path(KNOWN));
    let (code, said) = node.say(&["refresh", "--all"]);
    println!("{said}");
    let known = node.site.path(KNOWN);
    let known = known.display();
    let why = format!("writing {known}: a directory is in its place; remove it: rm -r {known}\n");
    assert!(code == 1 && said.contains(&format!("virt-recontext: running host-wide programs: {why}")), "{said}");
    fs::remove_dir(node.site.path(KNOWN)).unwrap();
    assert_eq!(node.say(&["refresh", "--all"]).0, 0);
    assert!(node.is_on_disc(&vms[0], "place=a\n"));
}
