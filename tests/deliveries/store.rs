//! A host that follows a store: the shipped program for etcd in `facts.d/host`, its watcher, and a real etcd.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::node::{Node, Vm, told};
use crate::servers::Etcd;
use crate::site::{make_dir, run, wait_for};

const PROGRAM: &str = "etc/virt-recontext/facts.d/host/etcd";
const KEY: &str = "/site/store/endpoint";

/// A host whose discs show a fact of the store's.
struct Follower {
    node: Node,
    etcd: Etcd,
}

impl Follower {
    fn with(vms: &[Vm]) -> Follower {
        let node = Node::with(&vms.iter().collect::<Vec<_>>());
        let etcd = Etcd::new(node.site.beside("etcd-data"));
        node.site.write("etc/virt-recontext/context/endpoint.j2", "endpoint={{ facts.store.endpoint }}\n");
        node.site.write("etc/virt-recontext/etcd.conf", &format!("endpoints={}\nprefix=/site\n", etcd.url()));
        let link = node.site.path(PROGRAM);
        make_dir(link.parent().unwrap());
        symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/facts/etcd"), link).unwrap();
        node.site.install_real_helper();
        Follower { node, etcd }
    }

    /// Changes what all follow.
    fn put(&self, endpoint: &str) {
        self.etcd.put(KEY, endpoint);
    }

    fn shows(&self, vm: &Vm, endpoint: &str) -> bool {
        self.node.image(vm).exists() && self.node.is_on_disc(vm, &format!("endpoint={endpoint}\n"))
    }

    fn all_show(&self, vms: &[Vm], endpoint: &str) -> bool {
        vms.iter().all(|vm| self.shows(vm, endpoint))
    }

    fn refresh(&self) -> (i32, String) {
        let said = self.node.say(&["refresh", "--all"]);
        wait_for("the helper to end", || self.node.site.processes().is_empty());
        said
    }

    /// The watcher, as systemd runs it.
    fn watch(&self) -> Watcher {
        Watcher(self.watcher().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn watcher(&self) -> Command {
        let mut watch = Command::new(self.node.site.path(PROGRAM));
        watch.arg("watch");
        self.node.site.on_this_host(&mut watch, 0);
        let helper = self.node.site.path("usr/sbin");
        watch.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", helper.display()));
        watch
    }
}

struct Watcher(Child);

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ended_before = self.0.kill();
        self.0.wait().unwrap();
    }
}

fn vms(number: usize) -> Vec<Vm> {
    (0..number).map(|number| Vm::called(&format!("vm{number}"))).collect()
}

#[test]
fn a_change_in_the_store_is_on_fifty_discs_within_five_seconds_and_five_changes_are_one_query() {
    let vms = vms(50);
    let follower = Follower::with(&vms);
    follower.put("a");
    let before = follower.etcd.queries();
    assert_eq!(follower.refresh().0, 0);
    assert!(follower.all_show(&vms, "a"));
    assert_eq!(follower.etcd.queries(), before + 1);

    // Five changes take long where much else is done at the same time.
    let conf = follower.node.site.path("etc/virt-recontext/etcd.conf");
    fs::write(&conf, fs::read_to_string(&conf).unwrap() + "settle=2s\n").unwrap();
    // What has changed while nobody watched is found at its start.
    follower.put("b");
    let mut watcher = follower.watch();
    wait_for("the watcher's first refresh", || follower.all_show(&vms, "b"));
    let before = follower.etcd.queries();
    let begin = Instant::now();
    for number in 1..=5 {
        follower.put(&format!("c{number}"));
    }
    wait_for("the change to be on all discs", || follower.all_show(&vms, "c5"));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(follower.etcd.queries(), before + 1);
    assert!(watcher.0.try_wait().unwrap().is_none(), "it watches no more");
}

#[test]
fn a_watcher_ends_whose_refreshes_would_all_be_refused() {
    let follower = Follower::with(&[]);
    let conf = follower.node.site.path("etc/virt-recontext/etcd.conf");
    let rest = fs::read_to_string(&conf).unwrap();
    for wrong in ["settle=rubbish", "spread=", "spread=1"] {
        fs::write(&conf, format!("{rest}{wrong}\n")).unwrap();
        let output = run(&mut follower.watcher(), b"");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains("settle= and spread= are times such as 1s"), "{said}");
    }
}

#[test]
fn a_watcher_outlives_its_store_and_finds_what_it_has_missed() {
    let web = [Vm::called("web")];
    let mut follower = Follower::with(&web);
    follower.put("a");
    let mut watcher = follower.watch();
    wait_for("the watcher's first refresh", || follower.all_show(&web, "a"));
    follower.etcd.kill();
    follower.etcd.start();
    // Before it is there again, as it seems to it.
    follower.put("b");
    wait_for("the change to be on the disc", || follower.all_show(&web, "b"));
    assert!(watcher.0.try_wait().unwrap().is_none(), "it has ended");
}

#[test]
fn a_store_that_is_away_changes_nothing_and_that_is_told_and_its_return_once() {
    let (web, db) = (Vm::called("web"), Vm::called("db"));
    let mut follower = Follower::with(std::slice::from_ref(&web));
    follower.put("a");
    assert_eq!(follower.refresh().0, 0);
    let generation = follower.node.generation(&web);
    follower.etcd.kill();
    follower.node.site.log_lines();
    let why = format!("asking etcd at {}: Error: context deadline exceeded", follower.etcd.url());
    let (code, said) = follower.refresh();
    assert!(code == 0 && said.contains(&why), "{code}: {said}");
    let (code, said) = follower.node.say(&["status"]);
    assert!(code == 0 && said.contains(&why), "{code}: {said}");
    assert!(follower.node.site.messages().iter().any(|line| line.contains(&why)));
    assert_eq!(follower.node.generation(&web), generation);
    // A VM that was never here has what the store said last.
    follower.node.hook(&db, "prepare");
    assert_eq!(follower.node.progress(&db), told("delivered", "start"));
    assert!(follower.shows(&db, "a"));

    follower.etcd.start();
    follower.put("b");
    follower.node.has(&[&web, &db]);
    let back = || follower.node.site.messages().iter().filter(|line| line.contains("works again")).count();
    back();
    assert_eq!(follower.refresh().0, 0);
    assert_eq!(follower.refresh().0, 0);
    assert_eq!(back(), 1);
    assert!(follower.shows(&web, "b") && follower.shows(&db, "b"));
}

#[test]
fn a_store_that_lost_all_its_keys_takes_no_fact_from_any_vm() {
    let web = Vm::called("web");
    let follower = Follower::with(std::slice::from_ref(&web));
    follower.put("a");
    assert_eq!(follower.refresh().0, 0);
    let generation = follower.node.generation(&web);
    follower.etcd.ctl("del --prefix /site");
    let (code, said) = follower.refresh();
    assert!(code == 0 && said.contains("nothing lies below /site/"), "{code}: {said}");
    assert_eq!(follower.node.generation(&web), generation);
}

#[test]
fn a_store_that_does_not_answer_costs_no_vm_a_moment() {
    let (web, db) = (Vm::called("web"), Vm::called("db"));
    let follower = Follower::with(&[web.clone(), db.clone()]);
    follower.put("a");
    assert_eq!(follower.refresh().0, 0);
    follower.etcd.stop();
    let mut slow = follower.node.site.recontext(&["refresh", "--all"]).spawn().unwrap();
    wait_for("a refresh to ask the store", || follower.node.is_locked("host-facts"));
    let new = Vm::called("new");
    follower.node.has(&[&web, &db, &new]);
    let mut hook = follower.node.site.hook(&["new", "prepare", "begin", "-"]);
    assert!(run(&mut hook, new.xml().as_bytes()).status.success());
    follower.node.note(&web, "restore");
    follower.node.deliver();
    wait_for("a disc and a delivery", || follower.shows(&new, "a") && !follower.node.job(&web).exists());
    assert_eq!(follower.node.progress(&web), told("delivered", "restore"));
    assert!(slow.try_wait().unwrap().is_none(), "nobody asks the store any more");
    follower.etcd.go_on();
    slow.wait().unwrap();
}
