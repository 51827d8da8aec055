//! `doctor`: what it finds on a host that is well, and on one with each fault. Without libvirtd: the VMs are those of
//! libvirt's test driver, and the daemon is what the host's /run and /proc tell of one.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde_json::Value;

use super::normal::Normal;
use super::site::{Site, UUID, install, make_dir, now, run};
use super::snapshot::Snapshot;

pub const IMAGES: &str = "var/lib/libvirt/recontext";
pub const DRIVE: &str = "<disk type='file' device='cdrom'><source file='IMAGE' startupPolicy='optional'/>\
                     <target dev='hdc' bus='ide'/><readonly/></disk>";
const CHECKS: [&str; 14] = [
    "hook",
    "other-hooks",
    "helper",
    "configuration",
    "libvirt",
    "daemon",
    "apparmor",
    "selinux",
    "log",
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

    /// What a person reads.
    pub fn told(&self) -> String {
        String::from_utf8(run(&mut self.site.recontext(&["doctor"]), b"").stdout).unwrap()
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
        assert!(CHECKS.contains(&one.check.as_str()), "{}", one.check);
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
    assert!(told.ends_with("\n14 good, 0 warning, 0 bad\n"), "{told}");
}

#[test]
fn the_manual_has_every_check() {
    let page = include_str!("../../packaging/man/virt-recontext.8");
    for check in CHECKS {
        let named = page.lines().any(|line| {
            line.strip_prefix(".B ")
                .or(line.strip_prefix(".BR "))
                .is_some_and(|words| words.trim_end_matches([' ', ',']) == check)
        });
        assert!(named, "{check}");
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

#[test]
fn a_hook_that_libvirtd_does_not_call_is_bad() {
    let at = "etc/libvirt/hooks/qemu";
    for (fault, message, remedy) in [
        ("rm $at", "our hook is not in ", "ln -s /usr/sbin/virt-recontext-hook "),
        ("rm -r etc/libvirt", "our hook is not in ", "mkdir -p "),
        (
            "ln -sf /nowhere/virt-recontext-hook $at",
            "is a link to /nowhere/virt-recontext-hook, which does not exist",
            "install",
        ),
        (
            "cp --remove-destination /bin/true $at",
            "is another program, and none in qemu.d is ours",
            "50-virt-recontext",
        ),
        ("ln -sf $PWD/usr/sbin/virt-recontext $at", "is virt-recontext, not virt-recontext-hook", "rm "),
        ("cp --remove-destination $(readlink $at) $at; chmod 644 $at", "is not executable", "chmod 755 "),
        (
            "cp --remove-destination $(readlink $at) $at; chmod 757 $at",
            "is writable by users other than root",
            "run that command",
        ),
    ] {
        let patient = Patient::new();
        patient.sh(&fault.replace("$at", at));
        let found = patient.examine();
        let relevant: Vec<Found> =
            found.into_iter().filter(|one| !matches!(one.check.as_str(), "daemon" | "other-hooks")).collect();
        assert_finds(&relevant, "hook", "bad", message, remedy);
    }
}

#[test]
fn a_hook_is_known_as_a_link_a_copy_or_a_script_and_in_qemu_d() {
    let at = "etc/libvirt/hooks/qemu";
    for change in [
        "cp --remove-destination $(readlink $at) $at",
        "mkdir $at.d; mv $at $at.d/50-virt-recontext",
        "rm $at; printf '#!/bin/sh\nexec /usr/sbin/virt-recontext-hook \"$@\"\n' >$at; chmod 755 $at",
    ] {
        let patient = Patient::new();
        patient.sh(&change.replace("$at", at));
        // The files are newer now than the daemon of the past.
        patient.daemon_started(0);
        let found = patient.examine();
        let faults: Vec<&str> =
            found.iter().filter(|one| one.level != "good").map(|one| one.message.as_str()).collect();
        assert_eq!(faults, [""; 0], "{change}");
    }
}

#[test]
fn a_hook_of_another_version_and_a_second_one_are_worth_a_look() {
    let patient = Patient::new();
    let (at, program) = (patient.path("etc/libvirt/hooks/qemu"), patient.site.beside("old-hook"));
    let mut old = fs::read(patient.hook_program()).unwrap();
    let words = format!("virt-recontext-hook {}\n", env!("CARGO_PKG_VERSION"));
    let place = old.windows(words.len()).position(|part| part == words.as_bytes()).unwrap();
    old[place..place + words.len()].copy_from_slice(words.replace("hook 0", "hook 9").as_bytes());
    fs::write(&program, old).unwrap();
    fs::remove_file(&at).unwrap();
    install(&program, &at);
    assert_finds(&patient.examine(), "hook", "warning", "is version 9", "both programs");

    let patient = Patient::new();
    patient
        .sh("mkdir etc/libvirt/hooks/qemu.d; cp -P etc/libvirt/hooks/qemu etc/libvirt/hooks/qemu.d/50-virt-recontext");
    assert_finds(&patient.examine(), "hook", "warning", "more than once", "qemu.d/50-virt-recontext");
}

#[test]
fn what_else_libvirtd_runs_is_told_and_what_is_left_over_is_worth_a_look() {
    let foreign = "etc/libvirt/hooks/qemu.d; cp /bin/true etc/libvirt/hooks/qemu.d";
    let first = "rm etc/libvirt/hooks/qemu; mkdir etc/libvirt/hooks/qemu.d; ln -s $(readlink -f $HOOK) etc/libvirt/hooks/qemu.d/50-x; ";
    for (change, level, message) in [
        (
            format!("mkdir {foreign}/50-x.dpkg-old"),
            "warning",
            "50-x.dpkg-old looks like a leftover, but libvirtd runs it",
        ),
        (format!("mkdir {foreign}/50-x~"), "warning", "50-x~ looks like a leftover"),
        (format!("mkdir {foreign}/.50-x"), "warning", ".50-x looks like a leftover"),
        (format!("mkdir {foreign}/x.rpmsave; chmod 644 etc/libvirt/hooks/qemu.d/*"), "good", "runs no other"),
        (format!("mkdir {foreign}/60-network"), "warning", "60-network after ours: what that answers"),
        (format!("{first}cp /bin/true etc/libvirt/hooks/qemu.d/10-network"), "good", "10-network before ours"),
        ("chmod 777 etc/libvirt/hooks".to_owned(), "bad", "is writable by users other than root: chmod go-w"),
        ("cp -P etc/libvirt/hooks/qemu etc/libvirt/hooks/qemu.dpkg-old".to_owned(), "good", "runs no other"),
    ] {
        let patient = Patient::new();
        patient.sh(&change.replace("$HOOK", patient.hook_program().to_str().unwrap()));
        assert_finds(&patient.examine(), "other-hooks", level, message, "");
    }
}

#[test]
fn a_daemon_that_started_before_the_hook_may_not_call_it_until_it_has() {
    let patient = Patient::new();
    patient.daemon_started(900);
    let before =
        "libvirtd (process 812) started before the hook was installed; unless it has been reloaded since, it does not";
    assert_finds(&patient.examine(), "daemon", "warning", before, "systemctl reload libvirtd");
    // A refresh is no proof: it needs no hook.
    patient.state("delivered", "refresh", now() - 100);
    assert_finds(&patient.examine(), "daemon", "warning", before, "systemctl reload libvirtd");
    patient.state("delivered", "migrate", now() - 200_000);
    assert_finds(&patient.examine(), "daemon", "warning", before, "systemctl reload libvirtd");
    patient.state("delivered", "migrate", now() - 100);
    assert_finds(&patient.examine(), "daemon", "good", "has called the hook since it started: for web at ", "");
    // It looks into qemu.d at each call if it found any hook when it started.
    let patient = Patient::new();
    patient.daemon_started(900);
    patient.sh("mkdir etc/libvirt/hooks/qemu.d; mv etc/libvirt/hooks/qemu etc/libvirt/hooks/qemu.d/50-virt-recontext");
    assert_finds(&patient.examine(), "daemon", "warning", "started before the hook was installed", "reload");
}

#[test]
fn a_daemon_that_systemd_has_reloaded_since_has_seen_the_hook() {
    let patient = Patient::new();
    patient.daemon_started(900);
    patient.sh("mkdir -p run/systemd/system");
    let systemctl = patient.site.beside("bin/systemctl");
    let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap());
    // The oldest moment that every machine has, however young it is.
    let boot = Duration::from_micros(1);
    let told = |pid: u32, changed: Duration| {
        let changed = changed.as_micros();
        let script = patient.site.beside("script");
        let answer = format!("echo MainPID={pid}\necho StateChangeTimestampMonotonic={changed}\n");
        let asked = "[ \"$*\" = 'show --property=MainPID,StateChangeTimestampMonotonic libvirtd.service' ] || exit 1";
        fs::write(&script, format!("#!/bin/sh\n{asked}\n{answer}")).unwrap();
        install(&script, &systemctl);
        let mut doctor = patient.site.recontext(&["doctor", "--json"]);
        doctor.env("PATH", format!("{}:/usr/bin:/bin", systemctl.parent().unwrap().display()));
        findings(&run(&mut doctor, b""))
    };
    let before = "started before the hook was installed";
    assert_finds(&told(812, boot), "daemon", "warning", before, "systemctl reload libvirtd");
    assert_finds(&told(813, now), "daemon", "warning", before, "systemctl reload libvirtd");
    assert_finds(&told(812, now), "daemon", "good", "was reloaded by systemd after ", "");
}

#[test]
fn a_daemon_that_started_when_the_machine_did_is_older_than_the_hook() {
    let patient = Patient::new();
    patient.site.write("proc/uptime", "60.00 40.00\n");
    patient.daemon_started_at(0);
    assert_finds(&patient.examine(), "daemon", "warning", "started before the hook was installed", "reload");
    patient.daemon_started_at(60);
    assert_finds(&patient.examine(), "daemon", "good", "libvirtd (process 812) started after ", "");
}

#[test]
fn a_start_that_the_uptime_contradicts_is_not_taken_for_one_just_now() {
    // As in a container: its own uptime, and the daemon's start since the boot of the machine below.
    let patient = Patient::new();
    patient.site.write("proc/uptime", "60.00 40.00\n");
    patient.daemon_started_at(900);
    assert_finds(
        &patient.examine(),
        "daemon",
        "warning",
        "it is not known when libvirtd (process 812) started",
        "reload",
    );
}

#[test]
fn the_modular_daemon_is_known_and_a_stale_number_is_none() {
    let patient = Patient::new();
    patient.sh("mv run/libvirtd.pid run/virtqemud.pid");
    assert_finds(&patient.examine(), "daemon", "warning", "neither libvirtd nor virtqemud is running", "");
    patient.sh("echo virtqemud >proc/812/comm");
    assert_finds(&patient.examine(), "daemon", "good", "virtqemud (process 812) started after ", "");
    patient.sh("rm -r proc/812");
    assert_finds(&patient.examine(), "daemon", "warning", "neither libvirtd nor virtqemud is running", "on demand");
}

#[test]
fn a_host_that_xen_runs_is_looked_at_as_such() {
    let of = |found: &[Found], check: &str| {
        let one = found.iter().find(|one| one.check == check).unwrap();
        (one.level.clone(), one.message.clone(), one.remedy.clone().unwrap_or_default())
    };
    // No daemon of this machine is asked.
    let nowhere = "uri = 'xen+unix:///system?socket=/nowhere'\n";
    let patient = Patient::new();
    patient.site.write("etc/virt-recontext/config.toml", nowhere);
    let found = patient.examine();
    let (level, message, remedy) = of(&found, "hook");
    assert!(level == "bad" && message.ends_with("for Xen: no VM gets its context"), "{message}");
    assert!(remedy.contains("/etc/libvirt/hooks/libxl && systemctl reload libvirtd"), "{remedy}");
    assert!(of(&found, "libvirt").1.contains("xen+unix:///system"), "{}", of(&found, "libvirt").1);

    patient.sh("mv etc/libvirt/hooks/qemu etc/libvirt/hooks/libxl");
    patient.sh("mv run/libvirtd.pid run/virtxend.pid; echo virtxend >proc/812/comm");
    patient.daemon_started(0);
    let found = patient.examine();
    assert!(of(&found, "hook").1.contains("hooks/libxl is virt-recontext-hook "), "{}", of(&found, "hook").1);
    assert_eq!(of(&found, "other-hooks").1, "libvirtd runs no other hook for Xen's VMs");
    assert!(of(&found, "daemon").1.starts_with("virtxend (process 812) started after "), "{}", of(&found, "daemon").1);

    // Without a configuration the hypervisor decides; with a broken one too.
    patient.site.write("etc/virt-recontext/config.toml", "x\n");
    assert_eq!(of(&patient.examine(), "other-hooks").1, "libvirtd runs no other hook for QEMU's VMs");
    patient.site.write("proc/xen/capabilities", "control_d\n");
    assert_eq!(of(&patient.examine(), "other-hooks").1, "libvirtd runs no other hook for Xen's VMs");
}

#[test]
fn a_broken_configuration_is_told_with_its_line_and_ends_no_other_check() {
    let patient = Patient::new();
    patient.vm(DRIVE, "force_afer = '3s'\n");
    let found = patient.examine();
    let config: Vec<&Found> = found.iter().filter(|one| one.check == "configuration").collect();
    assert!(config[0].level == "bad" && config[0].message.contains("line 2"), "{}", config[0].message);
    let checks: Vec<&str> = found.iter().map(|one| one.check.as_str()).collect();
    assert_eq!(checks, CHECKS[..11]);

    patient.vm(DRIVE, "");
    patient.sh("chmod 666 etc/virt-recontext/config.toml");
    let found = patient.examine();
    assert!(found.iter().any(|one| one.level == "bad" && one.message.contains("chmod go-w")));
}

#[test]
fn a_daemon_that_does_not_run_is_told_and_ends_no_other_check() {
    let patient = Patient::new();
    patient.site.write("etc/virt-recontext/config.toml", "uri = 'test:///nowhere.xml'\n");
    let found = patient.examine();
    assert_finds(&found, "libvirt", "bad", "connecting to libvirt at test:///nowhere.xml: ", "systemctl start");
    assert_eq!(found.len(), CHECKS.len() - 1, "all but the VMs");
}

#[test]
fn a_daemon_that_takes_calls_and_never_answers_holds_up_no_report() {
    let patient = Patient::new();
    let socket = patient.site.beside("silent");
    let _silent = UnixListener::bind(&socket).unwrap();
    let uri = format!("uri = 'qemu+unix:///system?socket={}'\n", socket.display());
    patient.site.write("etc/virt-recontext/config.toml", &uri);
    // run() allows as long as doctor waits; this one is let take longer.
    let output = patient.site.recontext(&["doctor", "--json"]).output().unwrap();
    let found = findings(&output);
    assert_finds(&found, "libvirt", "bad", "did not answer all questions", "");
    assert_eq!(found.len(), CHECKS.len() - 1, "all but the VMs");
}

#[test]
fn a_helper_that_the_hook_cannot_start_is_bad() {
    for (fault, message) in [
        ("rm usr/sbin/virt-recontext", "No such file"),
        ("chmod 644 usr/sbin/virt-recontext", "is not an executable file"),
        ("chmod 777 usr/sbin/virt-recontext", "is writable by users other than root"),
    ] {
        let patient = Patient::new();
        patient.sh(fault);
        assert_finds(&patient.examine(), "helper", "bad", message, "install virt-recontext as ");
    }
}

#[test]
fn a_log_that_nobody_reads_is_worth_a_look() {
    let patient = Patient::new();
    patient.sh("rm dev/log");
    assert_finds(&patient.examine(), "log", "warning", "all else works, but nothing is logged", "systemd-journald");
}

#[test]
fn directories_that_are_not_fit_are_told() {
    for (fault, check, level, message) in [
        ("chmod 700 $dir", "images", "bad", "QEMU's user cannot reach the images through "),
        ("chmod 700 var/lib", "images", "bad", "/var/lib"),
        ("chmod 777 $dir", "images", "bad", "is writable by users other than root: chmod go-w"),
        ("chown 65534 $dir", "images", "bad", "belongs to user 65534, not to root: chown root"),
        ("rm -r $dir; touch $dir", "images", "bad", "is not a directory"),
        ("chmod 777 run/libvirt/recontext", "run-directory", "bad", "is writable by users other than root"),
        ("rm -r run/libvirt/recontext; touch run/libvirt/recontext", "run-directory", "bad", "is not a directory"),
    ] {
        let patient = Patient::new();
        patient.sh(&fault.replace("$dir", IMAGES));
        let found = patient.examine();
        // Of a VM without image or state there is more to say, and no job or state can be read.
        let relevant: Vec<Found> = found
            .into_iter()
            .filter(|one| !matches!(one.check.as_str(), "vm" | "jobs") || one.check == check)
            .collect();
        assert_finds(&relevant, check, level, message, "");
    }
}

#[test]
fn file_systems_that_are_not_fit_are_told() {
    let keep = format!("cp -a {IMAGES} copy && mount -t tmpfs");
    for (mount, check, level, message) in [
        (format!("{keep} x {IMAGES} && cp copy/* {IMAGES}"), "images", "warning", "is on tmpfs, in this host's memory"),
        (format!("mount --bind {IMAGES} {IMAGES} && mount -o remount,bind,ro {IMAGES}"), "images", "bad", "read-only"),
        ("mount --bind usr usr && mount -o remount,bind,noexec usr".to_owned(), "helper", "bad", "is mounted noexec"),
    ] {
        let patient = Patient::new();
        assert_finds(&patient.examine_with(&mount), check, level, message, "");
    }
    let patient = Patient::new();
    patient.sh("cp --remove-destination $(readlink etc/libvirt/hooks/qemu) etc/libvirt/hooks/qemu");
    let found = patient.examine_with("mount --bind etc etc && mount -o remount,bind,noexec etc");
    assert_finds(&found, "hook", "bad", "which is mounted noexec", "in /usr/sbin");
    let patient = Patient::new();
    let small = format!("mount -t tmpfs -o size=1m,mode=755 x {IMAGES} && echo disc >{IMAGES}/{UUID}.iso");
    assert_finds(
        &patient.examine_with(&small),
        "images",
        "warning",
        "MiB left; one disc may take 64 MiB",
        "free space",
    );
}

#[test]
fn data_that_does_not_load_is_told_with_its_file() {
    for (file, text, message) in [
        ("facts.d/x.toml", "a = \n", "facts.d/x.toml"),
        ("facts.d/x.yaml", "a: 1\n", "facts are in *.toml, *.json"),
        ("domains/web/facts.d/x.json", "[]", "domains/web/facts.d/x.json"),
        ("domains/other/facts.d/x.json", "[]", "domains/other/facts.d/x.json"),
    ] {
        let patient = Patient::new();
        patient.site.write(&format!("etc/virt-recontext/{file}"), text);
        let found = patient.examine();
        let relevant: Vec<Found> = found.into_iter().filter(|one| one.check != "vm").collect();
        assert_finds(&relevant, "content", "bad", message, "fix it");
    }
}

#[test]
fn what_apparmor_would_refuse_is_told() {
    let confined = "mkdir -p sys/module/apparmor/parameters proc/812/attr; echo Y >sys/module/apparmor/parameters/enabled; \
                    echo 'libvirtd (enforce)' >proc/812/attr/current; ";
    let in_sbin = "cp $(readlink etc/libvirt/hooks/qemu) usr/sbin/virt-recontext-hook; \
                   ln -sf $PWD/usr/sbin/virt-recontext-hook etc/libvirt/hooks/qemu; ";
    for (change, options, level, message) in [
        (in_sbin, "", "good", "its usual profiles let libvirt's daemon run the programs"),
        ("", "", "bad", "which libvirtd may not run"),
        ("cp --remove-destination $(readlink etc/libvirt/hooks/qemu) etc/libvirt/hooks/qemu", "", "good", "let"),
        (
            "mkdir -p opt/x; cp --remove-destination $(readlink etc/libvirt/hooks/qemu) etc/libvirt/hooks/qemu; \
             mv usr/sbin/virt-recontext opt/x; ln -s $PWD/opt/x/virt-recontext usr/sbin",
            "",
            "bad",
            "/usr/sbin/virt-recontext is really /opt/x/virt-recontext, which libvirtd may not run",
        ),
        ("echo 'libvirtd (complain)' >proc/812/attr/current", "", "good", "does not confine"),
        (in_sbin, "image_dir = '/usr/share/discs'\n", "bad", "gives no VM access to an image below /usr/share"),
    ] {
        let patient = Patient::new();
        patient.vm(DRIVE, options);
        patient.sh(&[confined, change].concat());
        patient.daemon_started(0);
        let found = patient.examine();
        let relevant: Vec<Found> = found.into_iter().filter(|one| one.check != "vm").collect();
        assert_finds(&relevant, "apparmor", level, message, "");
    }
}

#[test]
fn what_selinux_would_refuse_is_told() {
    let enforcing = "mkdir -p sys/fs/selinux proc/812/attr; echo 1 >sys/fs/selinux/enforce; \
                     echo system_u:system_r:virtqemud_t:s0-s0:c0.c1023 >proc/812/attr/current; ";
    let label = |kind: &str, path: &str| {
        format!("python3 -c 'import os; os.setxattr(\"{path}\", \"security.selinux\", b\"u:object_r:{kind}:s0\")'; ")
    };
    let copied = "cp --remove-destination $(readlink etc/libvirt/hooks/qemu) etc/libvirt/hooks/qemu; ";
    for (change, level, message, remedy) in [
        (String::new(), "good", "it is enforcing", ""),
        (label("virt_var_lib_t", IMAGES) + &label("bin_t", "usr/sbin/virt-recontext"), "good", "it is enforcing", ""),
        ("echo 0 >sys/fs/selinux/enforce".to_owned(), "good", "permissive", ""),
        (copied.to_owned() + &label("virt_hook_t", "etc/libvirt/hooks/qemu"), "warning", "virt_hook_t", "ausearch"),
        (label("default_t", IMAGES), "warning", "has the label default_t", "semanage fcontext -a -t virt_image_t"),
        (label("user_home_t", "usr/sbin/virt-recontext"), "warning", "has the label user_home_t", "restorecon"),
    ] {
        let patient = Patient::new();
        patient.sh(&[enforcing, &change].concat());
        patient.daemon_started(0);
        assert_finds(&patient.examine(), "selinux", level, message, remedy);
    }
}

#[test]
fn a_vms_drive_that_is_not_fit_is_told() {
    let disk = |source: &str, target: &str| {
        format!("<disk type='file' device='cdrom'>{source}<target {target}/><readonly/></disk>")
    };
    let ours = "<source file='IMAGE' startupPolicy='optional'/>";
    let other_place = format!("<source file='/other/{UUID}.iso' startupPolicy='optional'/>");
    let hdc = "dev='hdc' bus='ide'";
    for (drive, level, message, remedy) in [
        (disk(ours, "dev='hdc' bus='usb'"), "bad", "is on the usb bus, where QEMU cannot change", "--target DEV"),
        (String::new(), "bad", "has no CD-ROM drive hdc", "virt-recontext enable web"),
        (disk("", hdc), "warning", "the drive hdc is empty", "virt-recontext refresh web"),
        (
            disk("<source file='/x.iso' startupPolicy='optional'/>", hdc),
            "bad",
            "holds /x.iso, not its context",
            "refresh web",
        ),
        (disk(&other_place, hdc), "warning", "but on this host its image is /var/lib", "refresh web"),
        (disk("<source file='IMAGE'/>", hdc), "warning", "has no startupPolicy='optional'", "--force"),
    ] {
        let patient = Patient::new();
        patient.vm(&drive, "");
        let found = patient.examine();
        assert_finds(&found, "vm", level, message, remedy);
        let later = |one: &&Found| one.level != "good" && one.message.starts_with("at its next start, ");
        assert_eq!(found.iter().filter(later).count(), 1, "its definition has the same fault");
    }
    let patient = Patient::new();
    patient.sh(&format!("rm {IMAGES}/*"));
    let missing = format!("its image /{IMAGES}/{UUID}.iso is missing");
    assert_finds(&patient.examine(), "vm", "bad", &missing, "virt-recontext refresh web");
}

#[test]
fn what_became_of_a_vms_disc_is_told() {
    let patient = Patient::new();
    patient.state("failed", "migrate", now() - 200_000);
    assert_finds(
        &patient.examine(),
        "vm",
        "bad",
        "it got no new disc at 20",
        "fix that, then virt-recontext refresh web",
    );
    patient.state("waiting", "migrate", now() - 200_000);
    assert_finds(
        &patient.examine(),
        "vm",
        "warning",
        "its new disc has been waiting since 20",
        "virt-recontext refresh web",
    );
    patient.sh("rm -r run/libvirt/recontext");
    assert_finds(
        &patient.examine(),
        "vm",
        "warning",
        "the hook had not been called when it came",
        "virt-recontext refresh web",
    );
}

#[test]
fn a_job_is_late_only_when_no_helper_is_at_work() {
    let patient = Patient::new();
    let job = |noted: u64| {
        patient.site.write(
            &format!("run/libvirt/recontext/jobs/{UUID}.json"),
            &format!(
                "{{\"uuid\":\"{UUID}\",\"name\":\"web\",\"reason\":\"migrate\",\"noted\":{noted},\"id\":\"1-1\"}}"
            ),
        );
    };
    job(now());
    assert_finds(&patient.examine(), "jobs", "good", "noted a moment ago for: web", "");
    job(now() - 100_000);
    let late = "no helper is running, and a disc has been waiting for more than 60 s for: web";
    assert_finds(&patient.examine(), "jobs", "warning", late, "virt-recontext refresh VM");
    patient.site.write("run/libvirt/recontext/helper.lock", "");
    assert_finds(&patient.examine(), "jobs", "warning", late, "virt-recontext refresh VM");
    let lock = fs::File::open(patient.path("run/libvirt/recontext/helper.lock")).unwrap();
    fs2::FileExt::lock_exclusive(&lock).unwrap();
    patient.state("waiting", "migrate", now());
    let found = patient.examine();
    assert_finds(&found, "jobs", "good", "a helper is working for: web", "");
    assert!(found.iter().any(|one| one.message == "its new disc is on its way into the drive hdc"));
}

#[test]
fn a_disc_that_could_not_be_made_now_is_told() {
    let patient = Patient::new();
    patient.site.write("etc/virt-recontext/context/x.j2", "{{ nothing }}\n");
    let message = "no disc can be made for it now: the template ";
    assert_finds(&patient.examine(), "vm", "bad", message, "virt-recontext preview web");

    let patient = Patient::new();
    let program = "etc/virt-recontext/facts.d/probe";
    patient.site.write(program, "#!/bin/sh\necho no >&2; exit 1\n");
    fs::set_permissions(patient.path(program), Permissions::from_mode(0o755)).unwrap();
    assert_finds(&patient.examine(), "vm", "bad", "facts.d/probe: it failed (exit status: 1): no", "preview");
    let found = patient.examine_with("mount --bind etc etc && mount -o remount,bind,noexec etc");
    assert!(found.iter().any(|one| one.check == "content" && one.message.contains("probe is on ")));
}

#[test]
fn vms_that_take_no_part_or_do_not_run_are_judged_by_what_they_are() {
    let patient = Patient::new();
    patient.vms(&domain("web", "", "", ""), "");
    assert_finds(&patient.examine(), "vm", "good", "none of this host's VMs (1) takes part", "");
    let shut_off = "<test:runstate>5</test:runstate>";
    let opt_in = "<r:context xmlns:r='urn:virt-recontext:1' target='hdc'/>";
    patient.vms(&domain("web", DRIVE, opt_in, shut_off), "");
    patient.sh(&format!("rm -r {IMAGES} run/libvirt/recontext"));
    assert_finds(
        &patient.examine(),
        "vm",
        "good",
        "is not running; the drive hdc holds its disc from its next start on",
        "",
    );
    let faulty = "<r:context xmlns:r='urn:virt-recontext:1' tagret='hdc'/>";
    patient.vms(&domain("web", DRIVE, faulty, shut_off), "");
    assert_finds(&patient.examine(), "vm", "bad", "tagret", "virsh metadata web");
}

#[test]
fn a_vms_name_never_becomes_part_of_a_command_that_is_to_be_copied() {
    let patient = Patient::new();
    let opt_in = "<r:context xmlns:r='urn:virt-recontext:1' target='hdc'/>";
    patient.vms(&domain("$(reboot)", "", opt_in, ""), "");
    let output = run(&mut patient.site.recontext(&["doctor"]), b"");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains(&format!("-> virt-recontext enable {UUID} --target DEV")), "{told}");
}

#[test]
fn the_hook_tells_its_version_when_asked_alone() {
    let patient = Patient::new();
    let told = run(&mut patient.site.hook(&["--version"]), b"");
    let words = format!("virt-recontext-hook {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8(told.stdout).unwrap(), words);
    assert!(told.status.success());
    // A VM may have any name.
    let asked = run(&mut patient.site.hook(&["--version", "prepare", "begin", "-"]), b"");
    assert_eq!((asked.stdout.as_slice(), asked.status.success()), (&b""[..], true));
}
