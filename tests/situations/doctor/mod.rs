//! `doctor`: what it finds on a host that is well, and on one with each fault. Without libvirtd: the VMs are those of
//! libvirt's test driver, and the daemon is what the host's /run and /proc tell of one.

mod apparmor;
mod daemon;
mod denied;
mod hook;
mod host;
mod kernel;
mod selinux;
mod units;
mod vms;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use super::normal::Normal;
use super::site::{Site, UUID, install, make_dir, now, run};
use super::snapshot::Snapshot;

pub const IMAGES: &str = "var/lib/libvirt/recontext";
pub const DRIVE: &str = "<disk type='file' device='cdrom'><source file='IMAGE' startupPolicy='optional'/>\
                     <target dev='hdc' bus='ide'/><readonly/></disk>";
const CHECKS: [&str; 15] = [
    "hook",
    "other-hooks",
    "helper",
    "configuration",
    "libvirt",
    "daemon",
    "apparmor",
    "selinux",
    "log",
    "units",
    "run-directory",
    "jobs",
    "images",
    "content",
    "vm",
];

/// A host on which all is well: the hook is linked, a daemon started after that, and one VM runs with its disc.
pub struct Patient {
    /// The host.
    pub site: Site,
}

/// What doctor found.
pub struct Found {
    /// By which check.
    pub check: String,
    /// How it is.
    pub level: String,
    /// What.
    pub message: String,
    /// What to do, unless it is good.
    pub remedy: Option<String>,
}

impl Patient {
    /// In a directory of its own.
    pub fn new() -> Patient {
        let patient = Patient { site: Site::usual() };
        make_dir(&patient.path("etc/libvirt/hooks"));
        symlink(patient.hook_program(), patient.path("etc/libvirt/hooks/qemu")).unwrap();
        patient.site.write("proc/uptime", "1000.00 900.00\n");
        patient.site.write("run/libvirtd.pid", "812\n");
        patient.site.write("proc/812/comm", "libvirtd\n");
        patient.daemon_started(0);
        make_dir(&patient.path(IMAGES));
        patient.site.write(&format!("{IMAGES}/{UUID}.iso"), "a disc");
        patient.state("delivered", "refresh", now() - 500_000);
        patient.vm(DRIVE, "");
        patient
    }

    /// A place on it.
    pub fn path(&self, path: &str) -> PathBuf {
        self.site.root().join(path)
    }

    fn hook_program(&self) -> PathBuf {
        self.site.hook::<&str>(&[]).get_program().into()
    }

    /// The daemon started so many seconds ago.
    pub fn daemon_started(&self, ago: u64) {
        self.daemon_started_at(1000 - ago);
    }

    /// The daemon started so many seconds after the boot.
    fn daemon_started_at(&self, uptime: u64) {
        let ticks = uptime * 100;
        let fields = format!("812 (libvirtd) S 1 {}{ticks} 0 0\n", "0 ".repeat(17));
        self.site.write("proc/812/stat", &fields);
    }

    /// The VM runs with these drives; `options` is more of its configuration file.
    pub fn vm(&self, drives: &str, options: &str) {
        self.vms(&domain("web", drives, "<r:context xmlns:r='urn:virt-recontext:1' target='hdc'/>", ""), options);
    }

    fn vms(&self, domains: &str, options: &str) {
        let node = self.site.beside("node.xml");
        fs::write(&node, format!("<node>{domains}</node>")).unwrap();
        self.site.write("etc/virt-recontext/config.toml", &format!("uri = 'test://{}'\n{options}", node.display()));
    }

    fn state(&self, progress: &str, reason: &str, since: u64) {
        let image = format!("/{IMAGES}/{UUID}.iso");
        self.site.write(
            &format!("run/libvirt/recontext/state/{UUID}.json"),
            &format!(
                "{{\"uuid\":\"{UUID}\",\"name\":\"web\",\"progress\":\"{progress}\",\"since\":{since},\"reason\":\"{reason}\",\
                 \"message\":\"so it is\",\"edition\":{{\"generation\":{since},\"reason\":\"{reason}\"}},\
                 \"image\":\"{image}\",\"identity\":{{\"dev\":1,\"ino\":2}}}}"
            ),
        );
    }

    /// Does something to the host, in its root, with a shell.
    pub fn sh(&self, script: &str) {
        let done = Command::new("sh").arg("-ec").arg(script).current_dir(self.site.root()).status().unwrap();
        assert!(done.success(), "{script}");
    }

    /// Doctor's findings; its exit code is checked.
    pub fn examine(&self) -> Vec<Found> {
        findings(&run(&mut self.site.recontext(&["doctor", "--json"]), b""))
    }

    /// The same on file systems mounted for it alone: `mount OPTIONS`, in the host's root.
    fn examine_with(&self, mount: &str) -> Vec<Found> {
        findings(&run(&mut self.site.in_mounts(mount, &self.site.recontext(&["doctor", "--json"])), b""))
    }

    /// The same on a host that systemd runs, whose systemctl answers these questions.
    fn examine_under_systemd(&self, answers: &[(String, String)]) -> Vec<Found> {
        make_dir(&self.path("run/systemd/system"));
        let answer = |(asked, answer): &(String, String)| format!("'{asked}') printf '{answer}';;\n");
        let answers: String = answers.iter().map(answer).collect();
        let script = self.site.beside("script");
        fs::write(&script, format!("#!/bin/sh\ncase \"$*\" in\n{answers}*) exit 1;;\nesac\n")).unwrap();
        let systemctl = self.site.beside("bin/systemctl");
        install(&script, &systemctl);
        let mut doctor = self.site.recontext(&["doctor", "--json"]);
        doctor.env("PATH", format!("{}:/usr/bin:/bin", systemctl.parent().unwrap().display()));
        findings(&run(&mut doctor, b""))
    }

    /// What a person reads.
    pub fn told(&self) -> String {
        String::from_utf8(run(&mut self.site.recontext(&["doctor", "--verbose"]), b"").stdout).unwrap()
    }
}

fn domain(name: &str, drives: &str, metadata: &str, more: &str) -> String {
    let drives = drives.replace("IMAGE", &format!("/{IMAGES}/{UUID}.iso"));
    format!(
        "<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'><name>{name}</name><uuid>{UUID}</uuid>\
         <metadata>{metadata}</metadata><memory>1024</memory><os><type>hvm</type></os><devices>{drives}</devices>{more}</domain>"
    )
}

fn findings(output: &Output) -> Vec<Found> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr, "");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let read = |found: &Value| {
        assert_eq!(found.as_object().unwrap().len(), 5, "{found}");
        assert!(matches!(found["vm"].as_str(), None | Some("web")), "{found}");
        Found {
            check: text(&found["check"]).unwrap(),
            level: text(&found["level"]).unwrap(),
            message: text(&found["message"]).unwrap(),
            remedy: text(&found["remedy"]),
        }
    };
    let found: Vec<Found> = json.as_array().unwrap().iter().map(read).collect();
    for one in &found {
        assert_eq!(one.level == "good", one.remedy.is_none(), "{}: {}", one.check, one.message);
        assert!(one.check == "switch" || CHECKS.contains(&one.check.as_str()), "{}", one.check);
    }
    let bad = found.iter().any(|one| one.level == "bad");
    assert_eq!(output.status.code(), Some(i32::from(bad)));
    found
}

/// That `check` found this, and what is not good is told by no other check.
#[track_caller]
fn assert_finds(found: &[Found], check: &str, level: &str, message: &str, remedy: &str) {
    let all: Vec<String> =
        found.iter().map(|one| format!("{}: {}: {} -> {:?}", one.level, one.check, one.message, one.remedy)).collect();
    let all = all.join("\n");
    let fits = |one: &&Found| one.check == check && one.level == level && one.message.contains(message);
    let one = found.iter().find(fits).unwrap_or_else(|| panic!("no {level} {check}: …{message}… in\n{all}"));
    assert!(one.remedy.as_deref().unwrap_or_default().contains(remedy), "no …{remedy}… in\n{all}");
    assert!(found.iter().all(|one| one.level == "good" || one.check == check), "more than {check} in\n{all}");
}

#[test]
fn a_host_on_which_all_is_well_is_all_good() {
    let patient = Patient::new();
    let found = patient.examine();
    let checks: Vec<&str> = found.iter().map(|one| one.check.as_str()).collect();
    assert_eq!(checks, CHECKS);
    for one in &found {
        assert_eq!(one.level, "good", "{}: {}", one.check, one.message);
    }
    let told = patient.told();
    assert_eq!(told.lines().count(), CHECKS.len() + 1);
    assert!(told.contains(&format!("qemu is virt-recontext-hook {}, in /", env!("CARGO_PKG_VERSION"))), "{told}");
    assert!(told.contains("\ngood: vm web: its disc is in the drive hdc, delivered (refresh, 20"), "{told}");
    assert!(told.ends_with("\n15 good, 0 warning, 0 bad\n"), "{told}");
}

#[test]
fn the_manual_has_every_check() {
    let page = include_str!("../../../packaging/man/virt-recontext.8");
    for check in CHECKS {
        let named = page.lines().any(|line| {
            line.strip_prefix(".B ")
                .or(line.strip_prefix(".BR "))
                .is_some_and(|words| words.trim_end_matches([' ', ',']) == check)
        });
        assert!(named, "{check}");
        let (_, remedies) = page.split_once(".SH REMEDIES\n").unwrap();
        let (remedies, _) = remedies.split_once("\n.SH ").unwrap();
        assert!(remedies.contains(&format!(".TP\n.B {check}\n")), "{check}");
    }
}

#[test]
fn nothing_on_the_host_is_changed_whatever_is_found() {
    let faults = [
        "true",
        "rm -r var/lib/libvirt/recontext run/libvirt/recontext etc/libvirt",
        "echo x >etc/virt-recontext/config.toml",
        "echo '{{ x }}' >etc/virt-recontext/context/x.j2",
        "echo '#!/bin/sh\necho {}' >etc/virt-recontext/facts.d/x; chmod 755 etc/virt-recontext/facts.d/x",
        "mkdir run/libvirt/recontext/jobs; echo x >run/libvirt/recontext/jobs/6695eb01-f6a4-8304-79aa-97f2502e193f.json",
    ];
    for fault in faults {
        let patient = Patient::new();
        patient.sh(fault);
        let before = Snapshot::of(&patient.site.root());
        patient.examine();
        patient.told();
        let changes = Snapshot::of(&patient.site.root()).changes_since(&before, &mut Normal::new(&patient.site.root()));
        assert_eq!(changes, [""; 0], "{fault}");
        assert_eq!(patient.site.log_lines(), [""; 0], "{fault}");
        assert_eq!(patient.site.helper_calls().len(), 0, "{fault}");
    }
}
