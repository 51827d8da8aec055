//! Each system call of the hook fails once, one after the other: the VM goes on, and the next call brings all right.

use std::fs;
use std::process::{Command, Output};

use super::site::{Site, here, run, wait_for};
use super::situation::usual_vm;

const IMAGE: &str = "var/lib/libvirt/recontext/6695eb01-f6a4-8304-79aa-97f2502e193f.iso";
const MIGRATE: [&str; 4] = ["vm", "migrate", "begin", "-"];
const PREPARE: [&str; 4] = ["vm", "prepare", "begin", "-"];
const RELEASE: [&str; 4] = ["vm", "release", "end", "destroyed"];

/// Which fail, and how: as on a disk that is full, read-only or broken, and on a host that has run out of something.
const FAULTS: [(&str, &str); 10] = [
    ("write,pwrite64", "ENOSPC"),
    ("openat", "EROFS"),
    ("openat", "EMFILE"),
    ("rename,renameat,renameat2", "EROFS"),
    ("ftruncate,fallocate,lseek", "ENOSPC"),
    ("fchmod,fchown,chmod,chown", "EPERM"),
    ("mkdir,mkdirat", "ENOSPC"),
    ("unlink,unlinkat", "EIO"),
    ("flock", "ENOLCK"),
    ("clone,clone3,fork,vfork,pipe2", "EAGAIN"),
];

/// What libvirtd gives. The VM that arrives comes from a host that keeps its images elsewhere, so that there is something
/// to answer.
fn given(call: &[&str; 4]) -> Vec<u8> {
    let vm = usual_vm(&here(), "arriving.xml", "vm");
    if call == &MIGRATE { vm.replace("/var/lib/libvirt/recontext/", "/srv/images/") } else { vm }.into_bytes()
}

/// Calls the hook and lets its `number`th such call fail, in each of its processes; and whether there was one.
fn call_with_fault(site: &Site, call: &[&str; 4], calls: &str, error: &str, number: usize) -> (Output, bool) {
    let trace = site.beside("trace");
    let hook = site.hook(call);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-e", &format!("trace={calls}"), "-o"]).arg(&trace);
    traced.args(["-e", &format!("inject={calls}:error={error}:when={number}")]);
    traced.arg(hook.get_program()).args(hook.get_args());
    site.on_this_host(&mut traced, 0);
    let output = run(&mut traced, &given(call));
    (output, fs::read_to_string(trace).unwrap().contains("(INJECTED)"))
}

#[test]
fn whatever_system_call_fails_the_vm_goes_on_and_the_next_call_mends_it() {
    let wanted = run(&mut Site::usual().hook(&MIGRATE), &given(&MIGRATE)).stdout;
    assert!(!wanted.is_empty());
    for (calls, error) in FAULTS {
        let all: usize =
            [MIGRATE, PREPARE, RELEASE].iter().map(|call| fail_one_by_one(call, calls, error, &wanted)).sum();
        assert!(all > 0, "the hook calls none of {calls}");
    }
}

/// Lets each of these system calls fail once; and how many there were.
fn fail_one_by_one(call: &[&str; 4], calls: &str, error: &str, wanted: &[u8]) -> usize {
    let wanted = if call == &MIGRATE { wanted } else { b"" };
    let site = Site::usual();
    let mut number = 1;
    loop {
        if call == &RELEASE {
            assert!(run(&mut site.hook(&MIGRATE), &given(&MIGRATE)).status.success());
        }
        let what = format!("{} with {error} at the {number}. of {calls}", call[1]);
        let (output, injected) = call_with_fault(&site, call, calls, error, number);
        assert!(output.status.success(), "{what}: {} {}", output.status, String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.is_empty() || output.stdout == wanted, "{what}: neither nothing nor the answer");
        if !injected {
            break;
        }
        number += 1;
    }
    wait_for("the helpers to end", || site.processes().is_empty());
    let mended = run(&mut site.hook(call), &given(call));
    assert!(mended.status.success() && mended.stdout == wanted, "{}: {error} at {calls} has left something", call[1]);
    let is_there = site.root().join(IMAGE).exists();
    assert_eq!(is_there, call != &RELEASE, "{}: {error} at {calls} has left something", call[1]);
    number - 1
}
