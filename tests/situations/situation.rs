//! One folder, one situation: runs its calls and compares what happened with what is promised.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, OnceLock};

use super::difference::{changes, side_by_side};
use super::normal::Normal;
use super::sentences::Sentences;
use super::site::{HelperCall, Site, here, run};
use super::snapshot::Snapshot;

/// The password in the usual VM's XML. It may show up in its own XML and nowhere else.
const SECRET: &str = "T0p-Secret";

/// What happened in a situation.
pub struct Happened {
    /// As `expected` promises it.
    transcript: String,
    /// The words for people, which `expected` leaves out.
    pub sentences: Sentences,
}

/// Compares what happens in the situation called `name` with what is promised.
pub fn check(name: &str) {
    let transcript = &happened(name).transcript;
    let promised = here().join(name).join("expected");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&promised, transcript).unwrap();
    }
    let promise = fs::read_to_string(&promised).unwrap_or_default();
    assert!(promise == *transcript, "{name}: - is promised, + happened\n{}", side_by_side(&promise, transcript));
}

/// What happens in the situation called `name`. It is run once for all tests that ask.
pub fn happened(name: &str) -> Arc<Happened> {
    static RUNS: Mutex<BTreeMap<String, Arc<OnceLock<Arc<Happened>>>>> = Mutex::new(BTreeMap::new());
    let once = Arc::clone(RUNS.lock().unwrap().entry(name.to_owned()).or_default());
    Arc::clone(once.get_or_init(|| Arc::new(run_all(name))))
}

/// Runs the situation's calls.
fn run_all(name: &str) -> Happened {
    let folder = here().join(name);
    let mut trees = vec![here().join("host")];
    trees.extend(Some(folder.join("root")).filter(|root| root.is_dir()));
    let site = Site::new(&trees);
    let mut normal = Normal::new(&site.root());
    let mut happened = Happened { transcript: String::new(), sentences: Sentences::default() };
    for line in fs::read_to_string(folder.join("call")).unwrap().lines() {
        if let Some(command) = line.strip_prefix("! ") {
            let done = Command::new("/bin/sh").args(["-euc", command]).current_dir(site.root()).output().unwrap();
            assert!(done.status.success(), "{name}: {command}: {}", String::from_utf8_lossy(&done.stderr));
        } else if !line.is_empty() && !line.starts_with('#') {
            happened.transcript += &format!("$ {line}\n");
            for line in call(&site, &folder, &Call::parse(line), &mut normal, &mut happened.sentences) {
                happened.transcript += format!("  {line}").trim_end();
                happened.transcript.push('\n');
            }
        }
    }
    happened
}

/// A line of `call`.
struct Call {
    /// The name by which the hook is called, in /etc/libvirt/hooks.
    name: String,
    uid: u32,
    arguments: Vec<String>,
    stdin: Option<String>,
}

impl Call {
    /// `[by NAME:] [as UID:] ARGUMENT… [< FILE]`, arguments quoted by `'` where they have spaces.
    fn parse(line: &str) -> Call {
        let mut words = Vec::new();
        let mut rest = line.trim();
        while !rest.is_empty() {
            let (word, behind) = match rest.strip_prefix('\'') {
                Some(quoted) => quoted.split_once('\'').expect("a closing quote"),
                None => rest.split_once(' ').unwrap_or((rest, "")),
            };
            words.push(word.to_owned());
            rest = behind.trim_start();
        }
        let stdin = words.iter().position(|word| word == "<").map(|at| words.drain(at..).nth(1).unwrap());
        let name = match words.first().map(String::as_str) {
            Some("by") => words.drain(..2).nth(1).unwrap().trim_end_matches(':').to_owned(),
            _ => "qemu".to_owned(),
        };
        let uid = match words.first().map(String::as_str) {
            Some("as") => words.drain(..2).nth(1).unwrap().trim_end_matches(':').parse().unwrap(),
            _ => 0,
        };
        if words == ["(no", "arguments)"] {
            words.clear();
        }
        Call { name, uid, arguments: words, stdin }
    }

    /// What libvirtd gives on stdin: the named file, `stdin.xml`, or the usual VM as this operation sees it.
    fn stdin(&self, folder: &Path) -> Vec<u8> {
        let file = match &self.stdin {
            Some(file) => folder.join(file),
            None => folder.join("stdin.xml"),
        };
        if self.stdin.is_some() || file.exists() {
            return fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
        let document = match self.arguments.get(1).map(String::as_str) {
            Some("migrate" | "restore") => "arriving.xml",
            Some("stopped" | "release") => "gone.xml",
            _ => "running.xml",
        };
        let name = self.arguments.first().map_or("vm", String::as_str);
        usual_vm(folder, document, name).into_bytes()
    }
}

/// The usual VM, with the `metadata.xml` and `drives.xml` of the folder, where it has its own.
pub fn usual_vm(folder: &Path, document: &str, name: &str) -> String {
    let usual = here().join("domain");
    let part = |file: &str| {
        let own = folder.join(file);
        let path: PathBuf = if own.exists() { own } else { usual.join(file) };
        fs::read_to_string(path).unwrap()
    };
    let name = name.replace('&', "&amp;").replace('<', "&lt;");
    fs::read_to_string(usual.join(document))
        .unwrap()
        .replace("<!-- name -->", &name)
        .replace("    <!-- metadata -->\n", &part("metadata.xml"))
        .replace("    <!-- drives -->\n", &part("drives.xml"))
}

/// Makes one call and tells what happened; nothing, if nothing did.
fn call(site: &Site, folder: &Path, call: &Call, normal: &mut Normal, sentences: &mut Sentences) -> Vec<String> {
    let stdin = call.stdin(folder);
    let before = Snapshot::of(&site.root());
    let output =
        run(&mut site.hook_called(&format!("/etc/libvirt/hooks/{}", call.name), call.uid, &call.arguments), &stdin);
    // Waits for the helpers, which may have something to say as well.
    let helpers = site.helper_calls();
    let log = site.log_lines();
    let after = Snapshot::of(&site.root());
    assert!(!after.holds(SECRET.as_bytes()), "a secret was written to a file");
    let said = [log.join("\n").into_bytes(), output.stderr.clone()].concat();
    assert!(!String::from_utf8_lossy(&said).contains(SECRET), "a secret was logged");
    let mut happened = Vec::new();
    let mut section = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            happened.push(title.to_owned());
            happened.extend(lines.into_iter().map(|line| format!("  {line}")));
        }
    };
    section("exit", status(&output));
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    section("stderr", stderr.lines().map(|line| sentences.take_from_stderr(&normal.text(line))).collect());
    let answer = answer(&stdin, &output.stdout);
    section("answer", answer.iter().map(|line| normal.text(line)).collect());
    let logged = log.iter().map(|line| sentences.take_from_log(&normal.log_line(line), &call.arguments));
    section("log", logged.collect());
    let files = after.changes_since(&before, normal);
    section("files", files.iter().map(|line| sentences.take_from_state(line)).collect());
    for helper in &helpers {
        section("helper", started(helper, normal));
    }
    happened
}

fn status(output: &Output) -> Vec<String> {
    if output.status.success() { Vec::new() } else { vec![output.status.to_string()] }
}

/// How the answer differs from the question. What libvirt itself would not take is no answer.
fn answer(question: &[u8], answer: &[u8]) -> Vec<String> {
    if answer.is_empty() {
        return Vec::new();
    }
    let file = tempfile::NamedTempFile::with_suffix(".xml").unwrap();
    fs::write(file.path(), answer).unwrap();
    let mut validate = Command::new("virt-xml-validate");
    let validate = validate.arg(file.path()).arg("domain").output();
    let validate = validate.expect("virt-xml-validate is not installed: apt-get install libvirt-clients libxml2-utils");
    assert!(validate.status.success(), "the answer is no domain: {}", String::from_utf8_lossy(&validate.stderr));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let changes = changes(&text(question), &text(answer));
    if changes.is_empty() { vec!["the same again".to_owned()] } else { changes }
}

/// How the helper was started. What must be so for every helper is not told but checked.
fn started(helper: &HelperCall, normal: &mut Normal) -> Vec<String> {
    assert!(helper.leads, "the helper leads no session of its own");
    assert_eq!(helper.descriptors, ["0 -> /dev/null", "1 -> /dev/null", "2 -> /dev/null"]);
    assert_eq!((helper.directory.as_str(), helper.umask.as_str()), ("/", "0022"));
    assert_eq!(helper.memory, "unlimited", "the limit of the hook's child");
    assert_eq!(helper.blocked, "0000000000000000", "signals");
    let environment: Vec<String> = helper.environment.iter().map(|variable| normal.text(variable)).collect();
    assert_eq!(environment, ["LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "VIRT_RECONTEXT_ROOT=ROOT"]);
    vec![normal.text(&helper.arguments)]
}

/// The names of all situations: the folders that hold a `call`.
pub fn all() -> Vec<String> {
    let entries = fs::read_dir(here()).unwrap().map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.path().join("call").exists());
    let mut names: Vec<String> =
        folders.map(|entry| String::from_utf8(entry.file_name().as_bytes().to_vec()).unwrap()).collect();
    names.sort();
    names
}
