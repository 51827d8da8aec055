//! Executables in `facts.d`, run by the built command line: what they are given, what they may do, and what is made of
//! what they print.

mod dns_srv;
mod etcd;
mod shipped;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use crate::site::{Site, UUID, run};

/// A host with one program for facts.
struct Host {
    site: Site,
}

impl Host {
    fn with_program(script: &str) -> Host {
        let host = Host { site: Site::new(&[]) };
        host.write("etc/virt-recontext/facts.d/probe", &format!("#!/bin/sh\n{script}\n"), 0o755);
        host.write("etc/virt-recontext/context/probe.j2", "{{ facts.probe }}\n", 0o644);
        host.write("vm.xml", &format!("<domain><name>web 1</name><uuid>{UUID}</uuid></domain>"), 0o644);
        host
    }

    fn write(&self, path: &str, text: &str, mode: u32) {
        self.site.write(path, text);
        fs::set_permissions(self.site.path(path), Permissions::from_mode(mode)).unwrap();
    }

    fn preview(&self) -> Output {
        let xml = self.site.path("vm.xml");
        let mut preview = self.site.recontext(&["preview", "--file", "/probe", "--xml", xml.to_str().unwrap()]);
        run(preview.env("SECRET", "x"), b"")
    }

    /// What the template shows.
    fn fact(&self) -> String {
        let output = self.preview();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// With this mode, a file or directory is named as the reason for there being no disc.
    fn assert_refused_with_mode(&self, path: &str, mode: u32) {
        // Without the slash at the end that joining "" gives.
        let path: PathBuf = self.site.path("etc/virt-recontext").join(path).components().collect();
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let complaint = self.complaint();
        let named = format!("{} is writable by users other than root: chmod go-w", path.display());
        assert!(complaint.contains(&named), "{complaint}");
        fs::set_permissions(&path, before).unwrap();
    }

    /// The one line that says why there is no disc.
    fn complaint(&self) -> String {
        let output = self.preview();
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn a_program_gives_facts_in_json() {
    assert_eq!(Host::with_program("echo '{\"probe\": \"a b\"}'").fact(), "a b");
}

#[test]
fn a_program_is_told_the_vm_and_nothing_else() {
    let host = Host::with_program(
        "printf '{\"probe\": \"%s|%s|%s|%s|%s\"}' \"$VIRT_RECONTEXT_DOMAIN_NAME\" \"$VIRT_RECONTEXT_DOMAIN_UUID\" \
         \"$SECRET\" \"$(pwd)\" \"$(readlink /proc/self/fd/0)\"",
    );
    assert_eq!(host.fact(), format!("web 1|{UUID}||/|/dev/null"));
}

#[test]
fn a_program_has_no_terminal_and_a_session_of_its_own() {
    let host = Host::with_program("set -- $(cat /proc/$$/stat); printf '{\"probe\": \"%s\"}' \"$(($6 == $$)) $7\"");
    assert_eq!(host.fact(), "1 0");
}

#[test]
fn a_program_that_fails_is_named_with_its_complaint() {
    let complaint = Host::with_program("echo 'no such sensor' >&2; exit 3").complaint();
    assert!(complaint.contains("facts.d/probe") && complaint.contains("exit status: 3"), "{complaint}");
    assert!(complaint.contains("no such sensor"), "{complaint}");
}

#[test]
fn a_program_that_prints_no_json_object_is_named() {
    for script in ["echo nonsense", "echo '[1]'", "true", "printf '\\377'"] {
        let complaint = Host::with_program(script).complaint();
        assert!(complaint.contains("facts.d/probe"), "{script}: {complaint}");
    }
}

#[test]
fn a_program_that_takes_too_long_ends_with_all_its_children() {
    let host = Host::with_program("sleep 1000 & echo $! >\"$(dirname \"$0\")/../child\"; sleep 1000");
    host.write("etc/virt-recontext/config.toml", "[limits]\nprogram_time = \"1s\"\n", 0o644);
    let begin = Instant::now();
    assert!(host.complaint().contains("limits.program_time = 1 s"));
    assert!(begin.elapsed() < Duration::from_secs(30));
    let child = fs::read_to_string(host.site.path("etc/virt-recontext/child")).unwrap();
    let alive = || {
        let stat = fs::read_to_string(Path::new("/proc").join(child.trim()).join("stat"));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    };
    while alive() {
        assert!(begin.elapsed() < Duration::from_secs(30), "a child of the program outlived it");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Has a tracer that lets it die, and keeps it from having died: to its parent that is as if it were held in the kernel.
const HELD: &str = "#!/usr/bin/python3 -I
import ctypes, os, time
program, (read, write) = os.getpid(), os.pipe()
if os.fork() == 0:
    os.setsid()
    null = os.open('/dev/null', os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    SEIZE = 0x4206
    traces = ctypes.CDLL(None).ptrace(SEIZE, program, None, None) == 0
    os.write(write, b'y' if traces else b'n')
    time.sleep(15)
    os._exit(0)
assert os.read(read, 1) == b'y'
time.sleep(1000)
";

#[test]
fn a_program_that_does_not_end_though_it_is_killed_keeps_nobody() {
    let host = Host::with_program("");
    host.write("etc/virt-recontext/facts.d/probe", HELD, 0o755);
    host.write("etc/virt-recontext/config.toml", "[limits]\nprogram_time = \"1s\"\n", 0o644);
    let begin = Instant::now();
    let complaint = host.complaint();
    assert!(complaint.contains("probe: it was killed and does not end: the kernel holds it"), "{complaint}");
    assert!(begin.elapsed() < Duration::from_secs(12), "{:?}", begin.elapsed());
}

#[test]
fn a_program_that_ended_is_not_told_to_take_long() {
    let host = Host::with_program("sleep 1000 & echo '{}'");
    host.write("etc/virt-recontext/config.toml", "[limits]\nprogram_time = \"1s\"\n", 0o644);
    let complaint = host.complaint();
    assert!(complaint.contains("probe: it ended, and what it has left running still holds its output"), "{complaint}");
}

#[test]
fn what_a_program_lacks_to_start_is_named() {
    let host = Host::with_program("");
    for (program, why) in [
        (
            "#! /bin/nosh -e\necho",
            "running FILE: its first line asks for the interpreter \"/bin/nosh\", which is not there",
        ),
        ("#!/bin/sh\r\necho\r\n", "end as on Windows, so that its first one asks for the interpreter \"/bin/sh\\r\""),
    ] {
        host.write("etc/virt-recontext/facts.d/probe", program, 0o755);
        let why = why.replace("FILE", host.site.path("etc/virt-recontext/facts.d/probe").to_str().unwrap());
        let complaint = host.complaint();
        assert!(complaint.contains(&why) && !complaint.contains("No such file"), "{complaint}");
    }
}

#[test]
fn a_program_that_may_not_be_executed_is_told_so() {
    let host = Host::with_program("echo '{}'");
    host.write("etc/virt-recontext/facts.d/probe", "#!/bin/sh\necho '{}'\n", 0o644);
    let program = host.site.path("etc/virt-recontext/facts.d/probe");
    let told = format!("{0} is a program that may not be executed: chmod +x {0}", program.display());
    assert!(host.complaint().contains(&told), "{}", host.complaint());
}

#[test]
fn a_program_that_prints_without_end_is_stopped() {
    let host = Host::with_program("yes '{}'");
    host.write("etc/virt-recontext/config.toml", "[limits]\nprogram_output = \"64KiB\"\n", 0o644);
    assert!(host.complaint().contains("limits.program_output = 65536"));
}

#[test]
fn a_program_that_others_can_write_is_not_run() {
    let host = Host::with_program("touch \"$(dirname \"$0\")/../ran\"; echo '{}'");
    for (path, mode) in [("facts.d/probe", 0o775), ("facts.d/probe", 0o757), ("facts.d", 0o777), ("", 0o775)] {
        host.assert_refused_with_mode(path, mode);
    }
    assert!(!host.site.path("etc/virt-recontext/ran").exists());
}

#[test]
fn nothing_that_others_can_write_is_read() {
    let host = Host::with_program("echo '{\"probe\": 1}'");
    host.write("etc/virt-recontext/config.toml", "", 0o644);
    host.write("etc/virt-recontext/domains/web 1/facts.d/more.toml", "a = 1\n", 0o644);
    for path in ["config.toml", "context", "context/probe.j2", "domains", "domains/web 1", "domains/web 1/facts.d"] {
        host.assert_refused_with_mode(path, 0o775);
        host.assert_refused_with_mode(path, 0o757);
    }
    assert_eq!(host.fact(), "1");
}

#[test]
fn a_file_that_is_neither_facts_nor_a_program_is_named() {
    let host = Host::with_program("echo '{\"probe\": 1}'");
    host.write("etc/virt-recontext/facts.d/site.yaml", "a: 1\n", 0o644);
    assert!(host.complaint().contains("site.yaml: facts are in *.toml, *.json, or what an executable prints"));
}
