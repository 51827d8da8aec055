//! What goes wrong around the hook, and never harms a VM: processes that hang or die, discs and logs that are full.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::site::journal::fill;
use super::site::{Site, UUID, finish, here, run, wait_for};
use super::situation::usual_vm;

pub(super) const IMAGE: &str = "var/lib/libvirt/recontext/6695eb01-f6a4-8304-79aa-97f2502e193f.iso";
pub(super) const MIGRATE: [&str; 4] = ["vm", "migrate", "begin", "-"];
const STARTED: [&str; 4] = ["vm", "started", "begin", "-"];

/// The hook's own deadlines: at an arrival, and where libvirtd holds the domain's lock. And some time for a machine that
/// is busy.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
const SHORT_DEADLINE: Duration = Duration::from_secs(4);
const LATEST: Duration = Duration::from_secs(25);

/// What libvirtd gives at `migrate`, and at `started`.
pub(super) fn arriving() -> Vec<u8> {
    usual_vm(&here(), "arriving.xml", "vm").into_bytes()
}

fn running() -> Vec<u8> {
    usual_vm(&here(), "running.xml", "vm").into_bytes()
}

/// The VM goes on: nothing is answered, nothing refused.
pub(super) fn assert_harmless(output: &Output) {
    assert!(output.status.success(), "{}", output.status);
    assert_eq!(output.stdout, b"");
    assert_eq!(output.stderr, b"");
}

fn messages(site: &Site) -> String {
    site.messages().join("\n")
}

/// Starts the hook on the VM's arrival while somebody holds the VM's lock: its child waits.
fn held_up(site: &Site) -> (File, Child) {
    held_up_at(site, &MIGRATE)
}

fn held_up_at(site: &Site, call: &[&str; 4]) -> (File, Child) {
    site.write(&format!("run/libvirt/recontext/{UUID}.lock"), "");
    let lock = File::open(site.root().join(format!("run/libvirt/recontext/{UUID}.lock"))).unwrap();
    lock.lock().unwrap();
    let mut hook = site.hook(call).spawn().unwrap();
    std::io::Write::write_all(&mut hook.stdin.take().unwrap(), &arriving()).unwrap();
    (lock, hook)
}

/// The child of the process, once it waits for a lock.
fn child_that_waits(parent: u32) -> Pid {
    let mut child = None;
    wait_for("the hook's child to wait for the lock", || {
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        child = children.split_whitespace().next().and_then(|pid| pid.parse::<i32>().ok());
        let Some(pid) = child else { return false };
        // "-> FLOCK ADVISORY WRITE PID …" is one that waits; others may do so at the same time.
        let locks = fs::read_to_string("/proc/locks").unwrap();
        locks.lines().any(|line| line.contains("-> FLOCK") && line.contains(&format!(" {pid} ")))
    });
    Pid::from_raw(child.unwrap())
}

#[test]
fn a_lock_that_is_held_ends_at_the_deadline() {
    let site = Site::usual();
    let begin = Instant::now();
    let (_lock, hook) = held_up(&site);
    assert_harmless(&finish(hook));
    assert!((DEADLINE..LATEST).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    assert_eq!(messages(&site), "vm: migrate: the child process took too long and was killed; the VM goes on");
    wait_for("the child to be gone", || site.processes().is_empty());
    assert!(!site.root().join(IMAGE).exists());
}

#[test]
fn where_libvirtd_can_list_no_vms_meanwhile_the_deadline_is_shorter() {
    for operation in [["prepare", "begin"], ["stopped", "end"], ["release", "end"]] {
        let site = Site::usual();
        let begin = Instant::now();
        let (_lock, hook) = held_up_at(&site, &["vm", operation[0], operation[1], "-"]);
        assert_harmless(&finish(hook));
        assert!((SHORT_DEADLINE..DEADLINE).contains(&begin.elapsed()), "{operation:?}: {:?}", begin.elapsed());
    }
}

#[test]
fn a_child_that_is_stopped_ends_at_the_deadline() {
    let site = Site::usual();
    let begin = Instant::now();
    let (lock, hook) = held_up(&site);
    kill(child_that_waits(hook.id()), Signal::SIGSTOP).unwrap();
    drop(lock);
    assert_harmless(&finish(hook));
    assert!((DEADLINE..LATEST).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    assert_eq!(messages(&site), "vm: migrate: the child process took too long and was killed; the VM goes on");
    wait_for("the child to be gone", || site.processes().is_empty());
}

#[test]
fn a_stdin_that_never_ends_ends_at_the_deadline() {
    let site = Site::usual();
    let begin = Instant::now();
    let mut hook = site.hook(&MIGRATE).spawn().unwrap();
    let mut stdin = hook.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, &arriving()).unwrap();
    assert_harmless(&finish(hook));
    assert!((DEADLINE..LATEST).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    drop(stdin);
}

#[test]
fn a_stdin_without_end_is_not_kept_in_memory() {
    let site = Site::usual();
    let mut hook = site.hook(&MIGRATE);
    hook.stdin(File::open("/dev/zero").unwrap());
    assert_harmless(&hook.output().unwrap());
}

#[test]
fn a_stdin_that_is_closed_changes_nothing() {
    let site = Site::usual();
    let mut hook = Command::new("/bin/sh");
    let program = site.hook(&MIGRATE).get_program().to_owned();
    hook.args(["-c", "exec \"$0\" vm migrate begin - <&-"]).arg(program).env("VIRT_RECONTEXT_ROOT", site.root());
    assert_harmless(&hook.output().unwrap());
    assert!(!site.root().join("run/libvirt/recontext").exists());
}

#[test]
fn a_child_that_is_killed_harms_nothing() {
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGXFSZ] {
        let site = Site::usual();
        let (_lock, hook) = held_up(&site);
        kill(child_that_waits(hook.id()), signal).unwrap();
        assert_harmless(&finish(hook));
        assert_eq!(messages(&site), format!("vm: migrate: the child process was killed by {signal}; the VM goes on"));
    }
}

#[test]
fn a_child_that_is_killed_refuses_only_where_that_is_wanted() {
    let site = Site::usual();
    site.write("etc/virt-recontext/config.toml", "on_error = 'refuse'\n");
    let (_lock, hook) = held_up(&site);
    kill(child_that_waits(hook.id()), Signal::SIGKILL).unwrap();
    let output = finish(hook);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "virt-recontext: making the context disc: the child process was killed by SIGKILL\n");
}

#[test]
fn a_lock_that_is_given_back_lets_the_work_go_on() {
    let site = Site::usual();
    let (lock, hook) = held_up(&site);
    let child = child_that_waits(hook.id());
    // Even one that cannot be killed would not keep libvirtd waiting for the end of our pipes.
    for fd in 0..3 {
        assert_eq!(fs::read_link(format!("/proc/{child}/fd/{fd}")).unwrap().to_str(), Some("/dev/null"));
    }
    drop(lock);
    assert_harmless(&finish(hook));
    assert!(site.root().join(IMAGE).exists());
}

#[test]
fn our_pipes_end_while_the_helper_lives_on() {
    let site = Site::usual();
    run(&mut site.hook(&MIGRATE), &arriving());
    let (helper, end) = (site.beside("helper"), site.beside("end"));
    // It lives until the test says so.
    site.install_helper(&format!(
        "#!/bin/sh\necho $$ > {helper}.new\nmv {helper}.new {helper}\nuntil [ -e {end} ]; do sleep 0.02; done\n",
        helper = helper.display(),
        end = end.display()
    ));
    // Returns at the end of both pipes.
    assert_harmless(&run(&mut site.hook(&STARTED), &running()));
    wait_for("the helper to run", || helper.exists());
    let pid = fs::read_to_string(&helper).unwrap();
    assert!(site.processes().contains(&pid.trim().parse().unwrap()), "the helper has ended");
    fs::write(&end, "").unwrap();
    wait_for("the helper to end", || site.processes().is_empty());
}

#[test]
fn the_helper_keeps_no_descriptor_of_whoever_called_the_hook() {
    use std::os::fd::AsRawFd;
    use std::os::unix::process::CommandExt;
    let site = Site::usual();
    run(&mut site.hook(&MIGRATE), &arriving());
    site.helper_calls();
    let root = File::open(site.root()).unwrap();
    let mut hook = site.hook(&STARTED);
    let fd = root.as_raw_fd();
    // SAFETY: one system call, on this process alone; the copy stays open in the new program.
    unsafe { hook.pre_exec(move || nix::errno::Errno::result(libc::dup2(fd, 200)).map(drop).map_err(Into::into)) };
    assert_harmless(&run(&mut hook, &running()));
    let helpers = site.helper_calls();
    assert_eq!(helpers.len(), 1);
    assert_eq!(helpers[0].descriptors, ["0 -> /dev/null", "1 -> /dev/null", "2 -> /dev/null"]);
}

#[test]
fn a_helper_at_work_is_not_joined_by_another() {
    let site = Site::usual();
    run(&mut site.hook(&MIGRATE), &arriving());
    site.helper_calls();
    let lock = File::open(site.root().join("run/libvirt/recontext/helper.lock")).unwrap();
    lock.lock().unwrap();
    assert_harmless(&run(&mut site.hook(&STARTED), &running()));
    assert_eq!(site.helper_calls().len(), 0);
    // Not by closing it: a process that another test is just starting has it open as well.
    lock.unlock().unwrap();
    assert_harmless(&run(&mut site.hook(&STARTED), &running()));
    assert_eq!(site.helper_calls().len(), 1);
}

#[test]
fn two_hundred_arrivals_at_once_all_get_their_disc() {
    let site = Site::usual();
    let xml = String::from_utf8(arriving()).unwrap();
    let uuid = |n: usize| format!("6695eb01-f6a4-8304-79aa-{n:012}");
    let hooks: Vec<Child> = (0..200)
        .map(|n| {
            let mut hook = site.hook(&MIGRATE).spawn().unwrap();
            let xml = xml.replace(UUID, &uuid(n));
            std::io::Write::write_all(&mut hook.stdin.take().unwrap(), xml.as_bytes()).unwrap();
            hook
        })
        .collect();
    for hook in hooks {
        assert_harmless(&finish(hook));
    }
    for n in 0..200 {
        assert!(site.root().join(format!("var/lib/libvirt/recontext/{}.iso", uuid(n))).exists());
        assert!(site.root().join(format!("run/libvirt/recontext/jobs/{}.json", uuid(n))).exists());
    }
}

#[test]
fn one_vm_many_times_at_once_ends_with_one_whole_disc() {
    let site = Site::usual();
    let hooks: Vec<Child> = (0..20)
        .map(|_| {
            let mut hook = site.hook(&MIGRATE).spawn().unwrap();
            std::io::Write::write_all(&mut hook.stdin.take().unwrap(), &arriving()).unwrap();
            hook
        })
        .collect();
    for hook in hooks {
        assert_harmless(&finish(hook));
    }
    let metadata = fs::metadata(site.root().join(IMAGE)).unwrap();
    let state = fs::read_to_string(site.root().join(format!("run/libvirt/recontext/state/{UUID}.json"))).unwrap();
    assert!(state.contains(&format!("\"ino\":{},", metadata.ino())), "{state}");
    let images = fs::read_dir(site.root().join("var/lib/libvirt/recontext")).unwrap().count();
    assert_eq!(images, 1, "something was left beside the image");
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let site = Site::usual();
    fill(&site.path("dev/log"));
    let begin = Instant::now();
    assert_harmless(&run(&mut site.hook(&MIGRATE), &arriving()));
    assert!(begin.elapsed() < DEADLINE, "it waited for the log");
    assert!(site.root().join(IMAGE).exists());
}

#[test]
fn who_has_the_old_disc_open_keeps_it() {
    let site = Site::usual();
    run(&mut site.hook(&MIGRATE), &arriving());
    let image = site.root().join(IMAGE);
    let before = fs::read(&image).unwrap();
    let mut open = File::open(&image).unwrap();
    site.write("etc/virt-recontext/facts.d/10-site.toml", "site = 'x'\nmonitoring.endpoint = 'y'\n");
    run(&mut site.hook(&MIGRATE), &arriving());
    let mut still = Vec::new();
    open.read_to_end(&mut still).unwrap();
    assert!(still == before, "the open disc changed");
    assert_ne!(open.metadata().unwrap().ino(), fs::metadata(&image).unwrap().ino());
    assert!(fs::read(&image).unwrap() != before, "the new disc is the old one");
}

/// The hook, in a mount namespace of its own that `commands` have changed. They run in the root.
fn in_mounts(site: &Site, commands: &str, arguments: &[&str]) -> Command {
    site.in_mounts(commands, &site.hook(arguments))
}

#[test]
fn a_full_disk_keeps_the_old_disc() {
    let site = Site::usual();
    // Seen from inside the mount, so what is left there is copied out.
    let left = site.beside("left");
    let commands = format!(
        "mkdir var/lib/libvirt/recontext; mount -t tmpfs -o size=64k tmpfs var/lib/libvirt/recontext
         echo old > {IMAGE}; head -c 100k /dev/zero 2> /dev/null > var/lib/libvirt/recontext/filler || true
         \"$0\" \"$@\"; cp {IMAGE} {left}; ls -A var/lib/libvirt/recontext > {left}.names; exit 0",
        left = left.display()
    );
    assert_harmless(&run(&mut in_mounts(&site, &commands, &MIGRATE), &arriving()));
    assert_eq!(fs::read_to_string(&left).unwrap(), "old\n");
    assert_eq!(fs::read_to_string(site.beside("left.names")).unwrap(), format!("{UUID}.iso\nfiller\n"));
    let said = messages(&site);
    assert!(said.contains(&format!("{UUID}.iso: ")) && said.contains("No space left on device"), "{said}");
    let job = site.root().join(format!("run/libvirt/recontext/jobs/{UUID}.json"));
    assert!(job.exists(), "the helper is to try again");
}

#[test]
fn a_read_only_image_directory_harms_nothing() {
    let site = Site::usual();
    let commands = "mkdir var/lib/libvirt/recontext; mount --bind var/lib/libvirt/recontext var/lib/libvirt/recontext\n\
                    mount -o remount,bind,ro var/lib/libvirt/recontext";
    for operation in ["migrate", "prepare"] {
        assert_harmless(&run(&mut in_mounts(&site, commands, &["vm", operation, "begin", "-"]), &arriving()));
        let said = messages(&site);
        assert!(said.contains("Read-only file system") && said.ends_with("the VM goes on"), "{said}");
        fs::remove_dir(site.root().join("var/lib/libvirt/recontext")).unwrap();
        let _only_after_migrate = fs::remove_file(site.root().join(format!("run/libvirt/recontext/jobs/{UUID}.json")));
    }
}

#[test]
fn a_run_directory_that_is_full_or_read_only_harms_nothing() {
    let site = Site::usual();
    let commands = "mount --bind run run; mount -o remount,bind,ro run";
    for [operation, when] in [
        ["prepare", "begin"],
        ["migrate", "begin"],
        ["restore", "begin"],
        ["started", "begin"],
        ["reconnect", "begin"],
        ["stopped", "end"],
        ["release", "end"],
    ] {
        assert_harmless(&run(&mut in_mounts(&site, commands, &["vm", operation, when, "-"]), &arriving()));
    }
}

#[test]
fn a_limit_on_file_size_harms_nothing() {
    use std::os::unix::process::CommandExt;
    let site = Site::usual();
    let mut hook = site.hook(&MIGRATE);
    let limit = libc::rlimit { rlim_cur: 4096, rlim_max: 4096 };
    // SAFETY: one system call, on this process alone.
    unsafe {
        hook.pre_exec(move || {
            nix::errno::Errno::result(libc::setrlimit(libc::RLIMIT_FSIZE, &limit)).map(drop).map_err(Into::into)
        })
    };
    assert_harmless(&run(&mut hook, &arriving()));
    let said = messages(&site);
    assert!(said.ends_with("the VM goes on"), "{said}");
    assert!(!site.root().join(IMAGE).exists());
}

#[test]
fn a_limit_on_open_files_harms_nothing() {
    use std::os::unix::process::CommandExt;
    let site = Site::usual();
    let mut hook = site.hook(&MIGRATE);
    // Enough for the dynamic linker and for the log, too few for a pipe.
    let limit = libc::rlimit { rlim_cur: 4, rlim_max: 4 };
    // SAFETY: one system call, on this process alone.
    unsafe {
        hook.pre_exec(move || {
            nix::errno::Errno::result(libc::setrlimit(libc::RLIMIT_NOFILE, &limit)).map(drop).map_err(Into::into)
        })
    };
    assert_harmless(&run(&mut hook, &arriving()));
    let said = messages(&site);
    assert!(said.starts_with("vm: migrate: making a pipe: ") && said.ends_with("the VM goes on"), "{said}");
}
