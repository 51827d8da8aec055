//! What one VM carries, or one file, costs nobody else anything.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::node::{Node, Vm, said, told};
use crate::site::{finish, run, wait_for};

/// A VM that carries these files: path and content.
fn carrying(name: &str, files: impl IntoIterator<Item = (String, String)>) -> Vm {
    let file = |(path, text): (String, String)| format!("<r:file path='{path}'>{text}</r:file>");
    Vm { context: Some(files.into_iter().map(file).collect()), ..Vm::called(name) }
}

fn one(name: &str, template: &str) -> Vm {
    carrying(name, [("a.j2".to_owned(), template.to_owned())])
}

/// So many steps nothing takes before its time is over.
const NO_STEPS: &str = "[limits]\ndisc_steps = 1000000000000\ntemplate_steps = 1000000000000\n";
/// 16 GiB.
const DOUBLED: &str = "{% set n = namespace(x='x') %}{% for i in range(34) %}{% set n.x = n.x ~ n.x %}{% endfor %}";
const ENDLESS: &str = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";

/// That all are delivered but `bad`, of which each is told why.
#[track_caller]
fn assert_costs_only(node: &Node, bad: &[(Vm, &str)], good: &Vm) {
    bad.iter().for_each(|(vm, _)| node.note(vm, "start"));
    node.note(good, "start");
    node.deliver();
    assert_eq!(node.progress(good), told("delivered", "start"));
    for (vm, why) in bad {
        assert_eq!(node.progress(vm), told("failed", "start"), "{}", vm.name);
        assert!(node.message(vm).contains(why), "{}: {}", vm.name, node.message(vm));
        assert!(node.job(vm).exists() && !node.image(vm).exists(), "{}", vm.name);
    }
    assert_eq!(node.site.processes(), [0; 0], "somebody was left behind");
}

#[test]
fn a_vm_that_carries_more_than_a_disc_holds_keeps_no_other_from_its_disc() {
    let large = "{% set s='x'*4000000 %}{{ s }}";
    let loops = "{% for a in range(9000) %}{% endfor %}";
    let many = |count: usize, text: &str| (0..count).map(|n| (format!("f{n}.j2"), text.to_owned())).collect::<Vec<_>>();
    let facts: String = (0..1001).map(|n| format!("<r:fact name='{n}'>x</r:fact>")).collect();
    let bad = [
        (carrying("bytes", many(1_100, large)), "more than limits.disc_size"),
        (carrying("steps", many(1_000, loops)), "more steps than limits.disc_steps allows"),
        (carrying("files", many(10_001, "{{ x }}")), "limits.files allows 10000"),
        (carrying("deep", [(format!("{}x", "a/".repeat(16_000)), String::new())]), "is longer than 1024 bytes"),
        (carrying("level", [("a/".repeat(8) + "x", String::new())]), "deeper than 8 levels"),
        (Vm { context: Some(facts), ..Vm::called("facts") }, "1001 facts"),
    ];
    let good = Vm::called("good");
    let node = Node::with(&bad.iter().map(|(vm, _)| vm).chain([&good]).collect::<Vec<_>>());
    // As many as there may be take a program that is built for tests as long as a disc may take.
    node.configure("[limits]\ndisc_steps = 4000000\n");
    assert_costs_only(&node, &bad, &good);
}

#[test]
fn a_vm_whose_disc_takes_all_time_or_memory_costs_itself_its_disc() {
    let bad = [
        (one("time", ENDLESS), "more than 2 s of a processor's time"),
        (one("mem", DOUBLED), "more memory than 128 MiB"),
    ];
    let good = Vm::called("good");
    let node = Node::with(&[&bad[0].0, &bad[1].0, &good]);
    node.configure(NO_STEPS);
    assert_costs_only(&node, &bad, &good);
}

/// A VM with something that is too much, or odd; another for each number.
fn hostile(number: usize) -> Vm {
    const NAMES: [&str; 6] = ["-rf", "$(reboot)", ".hidden", "a b~", "\u{202e}bew", "x&amp;y"];
    let name = format!("h{number}");
    let file = |path: String, text: String| vec![(path, text)];
    let loops = |steps: usize| format!("{{% for a in range({steps}) %}}{{{{ a }}}}{{% endfor %}}");
    let files = match number % 8 {
        0 => file("a/".repeat(9 + number * 100) + "x", String::new()),
        1 => file("x".repeat(1_025 + number * 50), String::new()),
        2 => (0..number * 5).map(|n| (format!("d{}/f{n}", n % 9), "x".repeat(number))).collect(),
        3 => (0..50).map(|n| (format!("f{n}.j2"), loops(number * 100))).collect(),
        4 => file("a.j2".to_owned(), DOUBLED.to_owned()),
        5 => file("a.j2".to_owned(), ENDLESS.to_owned()),
        6 => file("a.j2".to_owned(), "{{".repeat(number * 100)),
        _ => file("../".repeat(number), loops(9)),
    };
    let facts = if number.is_multiple_of(5) { 0..number * 7 } else { 0..3 };
    let facts = facts.map(|n| format!("<r:fact name='{}{n}'>x</r:fact>", "a.".repeat(number % 40)));
    let carried = carrying(&name, files);
    let context = carried.context.clone().map(|context| context + &facts.collect::<String>());
    Vm { name: format!("{}{number}", NAMES[number % NAMES.len()]), context, ..carried }
}

/// The longest time for which one of these files was locked, until all helpers have ended; in steps of a few milliseconds.
fn longest_lock(node: &Node) -> Duration {
    let mut since: HashMap<PathBuf, Instant> = HashMap::new();
    let mut longest = Duration::ZERO;
    while !node.site.processes().is_empty() {
        let entries = fs::read_dir(node.site.path("run/libvirt/recontext")).unwrap().flatten();
        // That of the helper is held for as long as it lives.
        let is_vms =
            |path: &PathBuf| path.extension().is_some_and(|end| end == "lock") && !path.ends_with("helper.lock");
        for path in entries.map(|entry| entry.path()).filter(is_vms) {
            let Ok(file) = fs::File::open(&path) else { continue };
            match fs2::FileExt::try_lock_exclusive(&file) {
                Ok(()) => drop(since.remove(&path)),
                Err(_) => longest = longest.max(since.entry(path).or_insert_with(Instant::now).elapsed()),
            }
        }
    }
    longest
}

#[test]
fn two_hundred_hostile_vms_cost_a_good_one_nothing() {
    let hostile: Vec<Vm> = (1..=200).map(hostile).collect();
    let good = Vm::called("good");
    let node = Node::with(&hostile.iter().chain([&good]).collect::<Vec<_>>());
    // What a release build does of the usual limit in a moment takes one that is built to be debugged seconds.
    if cfg!(debug_assertions) {
        node.configure("[limits]\ndisc_steps = 100000\ntemplate_steps = 100000\n");
    }
    hostile.iter().for_each(|vm| node.note(vm, "start"));
    node.note(&good, "start");
    let begin = Instant::now();
    let helper = node.helper();
    let longest = longest_lock(&node);
    // A figure for the reader of a run of its own; that nobody waits for a composer is tested below.
    println!("201 VMs took {:?}, and no lock was held for longer than {longest:?}", begin.elapsed());
    assert_eq!(said(&finish(helper)), (0, String::new()));
    assert_eq!(node.progress(&good), told("delivered", "start"));
    let reached: Vec<&Vm> = hostile.iter().filter(|vm| node.state(vm).is_null()).collect();
    assert!(reached.is_empty(), "nothing is known of {:?}", reached.first().map(|vm| &vm.name));
}

/// The composers that are at work, by their numbers.
fn composers(node: &Node) -> Vec<i32> {
    let is_composer =
        |pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(b"\0compose\0"));
    node.site.processes().into_iter().filter(is_composer).collect()
}

#[test]
fn a_composer_that_is_killed_costs_nobody_a_disc() {
    let (slow, good) = (one("slow", ENDLESS), Vm::called("good"));
    let node = Node::with(&[&slow, &good]);
    node.configure(NO_STEPS);
    node.gate(&good);
    node.configure(&format!("{NO_STEPS}program_time = '60s'\n"));
    node.note(&slow, "start");
    node.note(&good, "start");
    let helper = node.helper();
    wait_for("the delivery to the good VM to begin", || node.is_at_gate(&good));
    // Whether one is at the slow VM's disc or stands by.
    composers(&node).into_iter().for_each(|pid| kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap());
    node.open_gate(&good);
    assert!(finish(helper).status.success());
    assert_eq!(node.progress(&good), told("delivered", "start"));
    assert!(node.message(&slow).contains("of a processor's time"), "{}", node.message(&slow));
}

#[test]
fn nobody_waits_for_a_disc_that_is_being_composed() {
    let slow = one("slow", ENDLESS);
    let node = Node::with(&[&slow]);
    node.configure(NO_STEPS);
    node.note(&slow, "start");
    let helper = node.helper();
    wait_for("the disc to be composed", || !composers(&node).is_empty() && node.all_of(&slow).contains(&"lock"));
    let begin = Instant::now();
    assert!(run(&mut node.site.hook(&["slow", "stopped", "end", "shutdown"]), slow.xml().as_bytes()).status.success());
    let took = begin.elapsed();
    assert_eq!(composers(&node).len(), 1, "it was not being composed any more");
    assert!(took < Duration::from_secs(1), "the hook waited for {took:?}");
    assert!(!node.job(&slow).exists());
    assert!(finish(helper).status.success());
}

#[test]
fn what_lies_in_the_place_of_one_vms_file_is_that_vms_trouble() {
    for place in ["jobs", "state"] {
        let (bad, good) = (Vm::called("bad"), Vm::called("good"));
        let node = Node::with(&[&bad, &good]);
        node.note(&good, "start");
        node.note(&bad, "start");
        let odd = node.site.path(&format!("run/libvirt/recontext/{place}/{}.json", bad.uuid));
        let _missing = fs::remove_file(&odd);
        fs::create_dir_all(&odd).unwrap();
        node.deliver();
        assert_eq!(node.progress(&good), told("delivered", "start"), "{place}");
        let log = node.site.messages();
        let about_bad = |line: &&String| line.contains(odd.to_str().unwrap());
        assert_eq!(log.iter().filter(about_bad).count(), 1, "{place}: {log:?}");
        fs::remove_dir(&odd).unwrap();
        node.note(&bad, "start");
        node.deliver();
        assert_eq!(node.progress(&bad), told("delivered", "start"), "{place}");
    }
}

#[test]
fn what_cannot_be_removed_of_one_vm_stays_and_that_of_others_goes() {
    let (bad, good) = (Vm::called("bad"), Vm::called("good"));
    let node = Node::with(&[&bad, &good]);
    [&bad, &good].iter().for_each(|vm| node.serve(vm));
    [&bad, &good].iter().for_each(|vm| node.age(vm, 120));
    let lock = node.site.path(&format!("run/libvirt/recontext/{}.lock", bad.uuid));
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    node.has(&[]);
    node.deliver();
    assert_eq!([&bad, &good].map(|vm| node.all_of(vm).len()), [3, 0]);
    let log = node.site.messages();
    assert!(log.iter().any(|line| line.starts_with("bad: ") && line.contains("Is a directory")), "{log:?}");
}

#[test]
fn a_vm_that_is_nearly_called_as_another_gets_nothing_of_its_data() {
    let web = Vm::called("web");
    let names = ["web ", " web", "web\u{a0}", web.uuid.as_str()];
    let vm = |(n, name): (usize, &str)| Vm { name: name.to_owned(), ..Vm::called(&format!("a{n}")) };
    let alike: Vec<Vm> = names.into_iter().enumerate().map(vm).collect();
    let node = Node::with(&alike.iter().chain([&web]).collect::<Vec<_>>());
    node.site.write("etc/virt-recontext/domains/web/context/secret", "of web");
    node.site.write(&format!("etc/virt-recontext/domains/{}/context/key", web.uuid), "by uuid");
    alike.iter().chain([&web]).for_each(|vm| node.note(vm, "start"));
    node.deliver();
    for vm in &alike {
        assert_eq!(node.progress(vm), told("delivered", "start"), "{:?}", vm.name);
        assert!(!node.is_on_disc(vm, "of web") && !node.is_on_disc(vm, "by uuid"), "{:?}", vm.name);
        assert_eq!(node.state(vm)["name"], vm.name.as_str());
    }
    assert!(node.is_on_disc(&web, "of web") && node.is_on_disc(&web, "by uuid"));
}

#[test]
fn strangers_of_any_kind_end_no_refresh_and_are_no_fault_to_doctor() {
    let web = Vm::called("web");
    let stranger = |name: &str| Vm { context: None, ..Vm::called(name) };
    let (blank, odd) = (Vm { name: "\u{2003}".to_owned(), ..stranger("blank") }, stranger("odd"));
    let bad = one("bad", "{{ nothing }}");
    let node = Node::with(&[&blank, &odd, &bad, &web]);
    let (code, said) = node.say(&["refresh", "--all"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("web: in the drive") && said.contains("bad: the template a.j2"), "{said}");
    assert!(!said.contains("odd") && said.lines().count() == 2, "{said}");
    let (_, doctor) = node.say(&["doctor", "--verbose"]);
    assert!(doctor.contains("vm web") && !doctor.contains("odd") && !doctor.contains("\u{2003}"), "{doctor}");
}
