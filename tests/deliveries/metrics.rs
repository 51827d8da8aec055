//! Metrics: what the helper counts, what `status --metrics` and the file for node_exporter show, and that no trouble with them
//! costs a VM anything. Prometheus' own tools judge them.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::json;

use super::node::{Node, OFF, SECOND, Vm, said, told};
use crate::servers::NodeExporter;
use crate::site::{make_dir, now, run, wait_for};

const COUNTERS: &str = "run/libvirt/recontext/metrics/counters.json";
const DIR: &str = "var/lib/prometheus/node-exporter";
const FILE: &str = "var/lib/prometheus/node-exporter/virt_recontext.prom";
const CONFIGURED: &str = "metrics_file = '/var/lib/prometheus/node-exporter/virt_recontext.prom'\n";

/// The longest that a helper may take for a file that does not answer, and some more for a busy machine.
const LATEST: Duration = Duration::from_secs(15);

/// A tool of Prometheus, which must be content with what it reads.
#[track_caller]
fn promtool(arguments: &[&str], stdin: &[u8]) {
    let mut promtool = Command::new(crate::servers::prometheus("promtool"));
    promtool.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    promtool.current_dir(env!("CARGO_MANIFEST_DIR"));
    let (code, said) = said(&run(&mut promtool, stdin));
    assert_eq!(code, 0, "{said}");
}

/// The samples of a text, with what their names have in braces.
fn samples(text: &str) -> HashMap<String, f64> {
    let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap());
    samples.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

/// What `status --metrics` shows, with which promtool is content.
#[track_caller]
fn metrics(node: &Node) -> HashMap<String, f64> {
    let (code, text) = node.say(&["status", "--metrics"]);
    assert_eq!(code, 0, "{text}");
    promtool(&["check", "metrics"], text.as_bytes());
    samples(&text)
}

/// The metrics of that name, by all that follows it.
#[track_caller]
fn assert_has(metrics: &HashMap<String, f64>, wanted: &[(&str, f64)]) {
    for (name, value) in wanted {
        assert_eq!(metrics.get(&format!("virt_recontext_{name}")), Some(value), "{name}: {metrics:#?}");
    }
}

fn deliveries(metrics: &HashMap<String, f64>, reason: &str) -> f64 {
    metrics[&format!("virt_recontext_deliveries_total{{reason=\"{reason}\",way=\"asked\"}}")]
}

/// The VM comes, and is given its disc.
#[track_caller]
fn arrive(node: &Node, vm: &Vm) {
    node.note(vm, "migrate");
    node.deliver();
    assert_eq!(node.progress(vm), told("delivered", "migrate"));
    assert!(!node.job(vm).exists());
}

/// A host with the VM `web`, whose helper writes the file.
fn exporting(web: &Vm) -> Node {
    let node = Node::with(&[web]);
    node.configure(CONFIGURED);
    make_dir(&node.site.path(DIR));
    node
}

#[test]
fn on_a_host_where_nothing_has_happened_all_that_is_counted_is_0() {
    let node = Node::with(&[]);
    let metrics = metrics(&node);
    for reason in ["start", "migrate", "restore", "refresh"] {
        let labels = format!("{{reason=\"{reason}\"}}");
        let zeros = [
            format!("deliveries_total{{reason=\"{reason}\",way=\"asked\"}}"),
            format!("deliveries_total{{reason=\"{reason}\",way=\"forced\"}}"),
            format!("failures_total{labels}"),
            format!("delivery_seconds_sum{labels}"),
            format!("delivery_seconds_count{labels}"),
        ];
        zeros.iter().for_each(|name| assert_has(&metrics, &[(name, 0.0)]));
    }
    assert_has(
        &metrics,
        &[
            (&format!("build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1.0),
            ("discs{state=\"failed\"}", 0.0),
            ("last_refresh_timestamp_seconds", 0.0),
        ],
    );
    assert!(!metrics.contains_key("virt_recontext_oldest_waiting_timestamp_seconds"));
}

#[test]
fn the_manual_has_every_metric_and_no_other() {
    let (_, text) = Node::with(&[]).say(&["status", "--metrics"]);
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let shown: BTreeSet<String> = families
        .flat_map(|(name, kind)| match kind {
            "summary" => vec![format!("{name}_sum"), format!("{name}_count")],
            _ => vec![name.to_owned()],
        })
        .collect();
    let page = include_str!("../../packaging/man/virt-recontext.8");
    let words = page.split_whitespace().filter(|word| word.starts_with("virt_recontext_")).map(str::to_owned);
    assert_eq!(words.collect::<BTreeSet<_>>(), shown);
}

#[test]
fn what_helpers_deliver_and_what_fails_is_counted_by_reason() {
    let (web, came) = (Vm::called("web"), Vm::called("came"));
    let bad = Vm { context: Some("<r:file path='a.j2'>{{ x }}</r:file>".to_owned()), ..Vm::called("bad") };
    let node = Node::with(&[&web, &came, &bad]);
    arrive(&node, &web);
    node.note(&bad, "start");
    // An arrival of some time.
    node.note_with(&came, json!({"reason": "restore", "noted": now() - 30 * SECOND}));
    node.deliver();
    let metrics = metrics(&node);
    assert_has(
        &metrics,
        &[
            ("deliveries_total{reason=\"migrate\",way=\"asked\"}", 1.0),
            ("deliveries_total{reason=\"restore\",way=\"asked\"}", 1.0),
            ("deliveries_total{reason=\"restore\",way=\"forced\"}", 0.0),
            ("failures_total{reason=\"start\"}", 1.0),
            ("delivery_seconds_count{reason=\"restore\"}", 1.0),
            ("discs{state=\"delivered\"}", 2.0),
            ("discs{state=\"failed\"}", 1.0),
        ],
    );
    let time = metrics["virt_recontext_delivery_seconds_sum{reason=\"restore\"}"];
    assert!((30.0..90.0).contains(&time), "{time}");
    assert!(!metrics.keys().any(|name| name.contains("web") || name.contains(&web.uuid)), "{metrics:#?}");
    // What is the same is delivered to nobody.
    assert_eq!(node.say(&["refresh", "web"]).0, 0);
    node.site.write("etc/virt-recontext/facts.d/90-new.json", "{\"new\": 1}");
    assert_eq!(node.say(&["refresh", "web"]).0, 0);
    assert_eq!(deliveries(&super::metrics::metrics(&node), "refresh"), 1.0);
}

#[test]
fn a_refresh_tells_of_itself_and_of_programs_by_name() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.program("facts.d/host/good", "echo '{\"a\": 1}'");
    node.program("facts.d/host/bad \"one\"", "exit 1");
    node.program("facts.d/of-vms", "echo '{\"b\": 1}'");
    node.program("domains/web/facts.d/its-own", "[ -e /nowhere ]");
    let begin = now() as f64 / 100.0;
    assert_eq!(node.say(&["refresh", "--all"]).0, 1);
    let failing = metrics(&node);
    assert_has(
        &failing,
        &[
            ("facts_program_success{program=\"good\"}", 1.0),
            ("facts_program_success{program=\"bad \\\"one\\\"\"}", 0.0),
            ("facts_program_success{program=\"domains\"}", 0.0),
        ],
    );
    assert!(failing["virt_recontext_last_refresh_timestamp_seconds"] >= begin);
    let last = "virt_recontext_facts_program_last_success_timestamp_seconds";
    assert!(failing[&format!("{last}{{program=\"good\"}}")] >= begin);
    assert!(!failing.contains_key(&format!("{last}{{program=\"bad \\\"one\\\"\"}}")));
    // One that is mended, and one that is gone.
    node.program("domains/web/facts.d/its-own", "echo '{}'");
    fs::remove_file(node.site.path("etc/virt-recontext/facts.d/host/bad \"one\"")).unwrap();
    assert_eq!(node.say(&["refresh", "--all"]).0, 0);
    let mended = metrics(&node);
    assert_has(&mended, &[("facts_program_success{program=\"domains\"}", 1.0)]);
    assert!(mended[&format!("{last}{{program=\"domains\"}}")] >= begin);
    assert!(!mended.keys().any(|name| name.contains("one")), "{mended:#?}");
}

#[test]
fn a_disc_waits_since_it_was_asked_for_first_and_not_before_its_vm_is_here() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    let oldest = || metrics(&node).get("virt_recontext_oldest_waiting_timestamp_seconds").copied();
    let noted = now() - 700 * SECOND;
    node.note_with(&web, json!({"reason": "migrate", "noted": noted}));
    assert_eq!(oldest(), None, "it may still be on its way");
    // Asked for again, while a helper is at it.
    node.gate(&web);
    let mut helper = node.helper();
    wait_for("the helper to be at work", || node.is_at_gate(&web));
    let mut refresh = node.site.recontext(&["refresh", "--all"]).spawn().unwrap();
    wait_for("the refresh to ask", || {
        fs::read_to_string(node.job(&web)).is_ok_and(|job| job.contains("\"again\":true"))
    });
    assert_eq!(oldest(), Some(noted as f64 / 100.0));
    node.open_gate(&web);
    assert!(helper.wait().unwrap().success() && refresh.wait().unwrap().success());
    assert_eq!(oldest(), None);
    assert_eq!(node.progress(&web), told("delivered", "migrate"));
}

#[test]
fn a_disc_of_a_vm_that_has_ended_here_is_not_counted() {
    let (web, gone) = (Vm::called("web"), Vm::called("gone"));
    let node = Node::with(&[&web, &gone]);
    arrive(&node, &web);
    arrive(&node, &gone);
    for vm in [&web, &gone] {
        node.edit(&node.state_file(vm), |state| state["progress"] = json!("failed"));
    }
    assert_has(&metrics(&node), &[("discs{state=\"failed\"}", 2.0)]);
    // libvirt's own files tell, where they are those of its usual daemon.
    fs::remove_file(node.site.path("etc/virt-recontext/config.toml")).unwrap();
    node.site.write("run/libvirt/qemu/web.xml", "");
    assert_has(&metrics(&node), &[("discs{state=\"failed\"}", 1.0)]);
}

#[test]
fn counters_survive_a_helper_that_is_killed() {
    let (web, next) = (Vm::called("web"), Vm::called("next"));
    let node = Node::with(&[&web, &next]);
    arrive(&node, &web);
    node.gate(&next);
    node.note(&web, "restore");
    node.note(&next, "restore");
    let mut helper = node.helper();
    wait_for("one delivery, with another under way", || {
        node.is_at_gate(&next) && node.progress(&web) == told("delivered", "restore") && !node.job(&web).exists()
    });
    helper.kill().unwrap();
    helper.wait().unwrap();
    let counted = metrics(&node);
    assert_eq!([deliveries(&counted, "migrate"), deliveries(&counted, "restore")], [1.0, 1.0]);
    node.open_gate(&next);
    node.deliver();
    assert_eq!(deliveries(&metrics(&node), "restore"), 2.0);
}

#[test]
fn counters_that_are_damaged_begin_anew_and_those_that_cannot_be_written_delay_nothing() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    arrive(&node, &web);
    node.site.log_lines();
    let counters = node.site.path(COUNTERS);
    let warnings =
        || -> Vec<String> { node.site.messages().into_iter().filter(|line| line.starts_with("metrics: ")).collect() };
    for damage in ["{\"version\":1,\"reas", "\0\u{1}", "{\"version\":7}"] {
        fs::write(&counters, damage).unwrap();
        assert_eq!(deliveries(&metrics(&node), "migrate"), 0.0);
        arrive(&node, &web);
        assert_eq!(deliveries(&metrics(&node), "migrate"), 1.0, "{damage}");
        let told = warnings();
        assert!(told.len() == 1 && told[0].contains("counting begins anew"), "{told:?}");
    }
    // What hangs whoever opens it, and what nothing can take the place of.
    fs::remove_file(&counters).unwrap();
    mkfifo(&counters, Mode::S_IRWXU).unwrap();
    arrive(&node, &web);
    assert_eq!(warnings().len(), 1);
    fs::remove_file(&counters).unwrap();
    make_dir(&counters.join("in its place"));
    for lines in [1, 0] {
        arrive(&node, &web);
        assert_eq!(warnings().len(), lines);
    }
    assert_eq!(deliveries(&metrics(&node), "migrate"), 0.0);
}

#[test]
fn node_exporter_shows_the_file_that_a_helper_leaves() {
    let web = Vm::called("web");
    let node = exporting(&web);
    arrive(&node, &web);
    let there = node.site.path(FILE).metadata().unwrap();
    assert_eq!((there.mode() & 0o7777, there.is_file()), (0o644, true));
    let text = fs::read_to_string(node.site.path(FILE)).unwrap();
    promtool(&["check", "metrics"], text.as_bytes());
    let exporter = NodeExporter::of(&node.site.path(DIR), &node.site.beside("exporter.log"));
    let scraped = samples(&exporter.scrape());
    assert_eq!(scraped.get("node_textfile_scrape_error"), Some(&0.0));
    assert_has(
        &scraped,
        &[
            ("deliveries_total{reason=\"migrate\",way=\"asked\"}", 1.0),
            ("discs{state=\"delivered\"}", 1.0),
            ("last_refresh_timestamp_seconds", 0.0),
        ],
    );
    // A refresh that has nothing to deliver writes it as well; a link in its place is not followed.
    let (theirs, file) = (node.site.beside("theirs"), node.site.path(FILE));
    fs::write(&theirs, "theirs").unwrap();
    fs::remove_file(&file).unwrap();
    symlink(&theirs, &file).unwrap();
    assert_eq!(node.say(&["refresh", "--all"]).0, 0);
    assert!(!file.is_symlink() && fs::read_to_string(theirs).unwrap() == "theirs");
    let scraped = samples(&exporter.scrape());
    assert!(scraped["virt_recontext_last_refresh_timestamp_seconds"] > 0.0);
    assert_eq!(scraped.get("node_textfile_scrape_error"), Some(&0.0));
    let names: Vec<PathBuf> = fs::read_dir(node.site.path(DIR)).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names, [file]);
}

/// A delivery and a refresh, with the helper that it starts, on a host that `commands` have spoilt: each goes well and in time,
/// and that the file is not written is told once.
#[track_caller]
fn assert_harmless(node: &Node, web: &Vm, commands: &str, why: &str) {
    let begin = Instant::now();
    node.note(web, "migrate");
    let mut helper = node.site.in_mounts(commands, &node.site.recontext(&["deliver"]));
    assert_eq!(said(&run(&mut helper, b"")), (0, String::new()), "{why}");
    assert_eq!(node.progress(web), told("delivered", "migrate"));
    assert!(!node.is_locked("helper") && !node.job(web).exists());
    let refresh = node.site.recontext(&["refresh", "--all"]);
    let (code, _) = said(&run(&mut node.site.in_mounts(commands, &refresh), b""));
    assert_eq!(code, 0, "{why}");
    wait_for("whoever was started to end", || node.site.processes().is_empty());
    assert!(begin.elapsed() < LATEST, "{why}: {:?}", begin.elapsed());
    let log = node.site.messages();
    let warnings: Vec<&String> = log.iter().filter(|line| line.starts_with("metrics: ")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains(why), "{why}: {log:?}");
}

#[test]
fn a_file_that_cannot_be_written_costs_no_vm_anything_and_is_told_once() {
    let web = Vm::called("web");
    let node = exporting(&web);
    let dir = node.site.path(DIR);
    for trouble in ["first", "again"] {
        fs::remove_dir_all(&dir).unwrap();
        assert_harmless(&node, &web, "", "No such file or directory");
        make_dir(&dir);
        node.deliver();
        assert!(node.site.path(FILE).is_file(), "{trouble}");
        assert_eq!(node.site.messages(), [""; 0]);
    }
    fs::remove_file(node.site.path(FILE)).unwrap();
    mkfifo(&node.site.path(FILE), Mode::S_IRWXU).unwrap();
    assert_harmless(&node, &web, "", "something else than a file is in its place");
    make_dir(&node.site.path("var/lib/prometheus/virt_recontext.prom"));
    node.configure("metrics_file = '/var/lib/prometheus/virt_recontext.prom'\n");
    assert_harmless(&node, &web, "", "something else than a file is in its place");
}

#[test]
fn doctor_tells_of_a_file_that_is_not_written_and_of_a_name_that_node_exporter_does_not_read() {
    let web = Vm::called("web");
    let node = exporting(&web);
    let told = || {
        let (_, said) = node.say(&["doctor", "--verbose"]);
        said.lines().filter(|line| line.contains(": metrics: ")).map(str::to_owned).collect::<Vec<_>>()
    };
    node.deliver();
    assert!(told().len() == 1 && told()[0].starts_with("good: "), "{:?}", told());
    let aged = Command::new("touch").args(["-d", "-20 minutes"]).arg(node.site.path(FILE)).status();
    assert!(aged.unwrap().success() && told()[0].contains(" was last written 20 min ago"), "{:?}", told());
    fs::remove_dir_all(node.site.path(DIR)).unwrap();
    assert!(told()[0].starts_with("warning: ") && told()[0].contains("make its directory"), "{:?}", told());
    node.configure("metrics_file = '/var/lib/prometheus/x.txt'\n");
    assert!(told()[0].contains("only files whose name ends in .prom"), "{:?}", told());
    node.configure("");
    assert_eq!(told(), [""; 0]);
}

#[test]
fn a_directory_without_room_or_that_may_not_be_written_costs_no_vm_anything() {
    let web = Vm::called("web");
    let node = exporting(&web);
    let full = format!("mount -t tmpfs -o size=4k tmpfs {DIR}; cat /dev/zero > {DIR}/filler 2> /dev/null || true");
    assert_harmless(&node, &web, &full, "No space left on device");
    let node = exporting(&web);
    let read_only = format!("mount -t tmpfs -o ro tmpfs {DIR}");
    assert_harmless(&node, &web, &read_only, "Read-only file system");
}

#[test]
fn a_directory_that_does_not_answer_costs_no_vm_anything() {
    let web = Vm::called("web");
    let node = exporting(&web);
    // A file system whose server is there and answers nothing.
    let silent =
        format!("exec 9<> /dev/fuse; mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 silent {DIR}");
    assert_harmless(&node, &web, &silent, "does not answer within 2 s");
}

#[test]
fn switched_off_nothing_is_written_and_status_shows_it_all_the_same() {
    let off = Vm { more: OFF, ..Vm::called("off") };
    let node = exporting(&off);
    node.site.write("etc/virt-recontext/disabled", "");
    assert_eq!(node.say(&["refresh", "--all"]).0, 3);
    assert!(!node.site.path(FILE).exists());
    assert_has(&metrics(&node), &[("last_refresh_timestamp_seconds", 0.0)]);
}

#[test]
fn alerts_fire_when_they_are_to() {
    promtool(&["check", "rules", "packaging/prometheus/virt-recontext.rules.yml"], b"");
    promtool(&["test", "rules", "tests/alerts/rules.test.yml"], b"");
}
