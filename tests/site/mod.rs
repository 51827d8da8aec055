//! A host in a temporary directory, and the program under test on it, called as libvirtd calls it.

pub mod journal;

use std::ffi::OsStr;
use std::fs;
use std::io::{Error, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;

/// The usual VM's.
pub const UUID: &str = "6695eb01-f6a4-8304-79aa-97f2502e193f";

/// The host's name, whatever the machine is called.
pub const HOST: &str = "host-b";

/// So long something that must happen is waited for, before its absence is a failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Stands where the hook looks for the helper, and writes down how it was called.
const STUB: &str = include_str!("stub_helper.sh");

/// A host of its own below a temporary directory.
pub struct Site {
    dir: TempDir,
    log: UnixDatagram,
}

/// The program called `name`, as built by Cargo or as given in VIRT_RECONTEXT_DIST.
fn program(name: &str) -> PathBuf {
    match std::env::var_os("VIRT_RECONTEXT_DIST") {
        Some(dist) => PathBuf::from(dist).join(name).canonicalize().unwrap(),
        None if name == "virt-recontext" => env!("CARGO_BIN_EXE_virt-recontext").into(),
        None => env!("CARGO_BIN_EXE_virt-recontext-hook").into(),
    }
}

impl Site {
    /// A host with the files of `trees`, later ones over earlier ones, a log, and a stub for the helper.
    pub fn new(trees: &[PathBuf]) -> Site {
        assert!(geteuid().is_root(), "the hook does nothing for others than root: run these tests as root");
        let dir = TempDir::with_prefix("recontext-").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let root = dir.path().join("root");
        make_dir(&root);
        for tree in trees {
            copy(tree, &root);
        }
        for dir in ["dev", "run/libvirt", "var/lib/libvirt"] {
            make_dir(&root.join(dir));
        }
        let log = UnixDatagram::bind(root.join("dev/log")).unwrap();
        log.set_nonblocking(true).unwrap();
        let site = Site { dir, log };
        site.install_helper(STUB);
        site
    }

    /// The usual host: some facts, a template and a plain file.
    pub fn usual() -> Site {
        Site::new(&[here().join("host")])
    }

    /// The root.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// A place below the root.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// A place of the test's own, which the programs do not see.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file below the root.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        make_dir(path.parent().unwrap());
        fs::write(path, text).unwrap();
    }

    /// Puts a shell script in the helper's place.
    pub fn install_helper(&self, script: &str) {
        self.install_program(script, "usr/sbin/virt-recontext");
    }

    /// Puts the helper itself in its place, or as good as that.
    pub fn install_real_helper(&self) {
        self.install_helper(&format!("#!/bin/sh\nexec '{}' \"$@\"\n", program("virt-recontext").display()));
    }

    /// Makes a shell script a program below the root.
    pub fn install_program(&self, script: &str, path: &str) {
        let source = self.beside("script");
        fs::write(&source, script).unwrap();
        install(&source, &self.path(path));
    }

    /// The hook with the environment and the working directory that libvirtd gives it.
    pub fn hook<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        self.hook_as(0, arguments)
    }

    /// The hook, run by an unprivileged daemon of the user `uid`.
    pub fn hook_as<S: AsRef<OsStr>>(&self, uid: u32, arguments: &[S]) -> Command {
        self.hook_called("/etc/libvirt/hooks/qemu", uid, arguments)
    }

    /// The hook as a driver calls it that has it under the name `called`.
    pub fn hook_called<S: AsRef<OsStr>>(&self, called: &str, uid: u32, arguments: &[S]) -> Command {
        let mut hook = Command::new(self.reachable(&program("virt-recontext-hook"), uid));
        hook.arg0(called).args(arguments);
        self.on_this_host(&mut hook, uid);
        hook
    }

    /// The command line.
    pub fn recontext<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        self.recontext_as(0, arguments)
    }

    /// The command line, run by the user `uid`.
    pub fn recontext_as<S: AsRef<OsStr>>(&self, uid: u32, arguments: &[S]) -> Command {
        let mut recontext = Command::new(self.reachable(&program("virt-recontext"), uid));
        recontext.args(arguments);
        self.on_this_host(&mut recontext, uid);
        recontext
    }

    /// Lets the command run on this host, as libvirtd does: with an environment, three pipes and a user.
    pub fn on_this_host(&self, command: &mut Command, uid: u32) {
        command.env_clear().env("LC_ALL", "C").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("VIRT_RECONTEXT_ROOT", self.root()).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let become_the_host = move || {
            // SAFETY: system calls alone, on this process alone, with pointers to constants.
            let done = unsafe {
                libc::unshare(libc::CLONE_NEWUTS) == 0
                    && libc::sethostname(HOST.as_ptr().cast(), HOST.len()) == 0
                    && (uid == 0 || (libc::setgroups(0, std::ptr::null()) == 0 && libc::setuid(uid) == 0))
            };
            if done { Ok(()) } else { Err(Error::last_os_error()) }
        };
        // SAFETY: the closure allocates nothing and takes no lock.
        unsafe { command.pre_exec(become_the_host) };
    }

    /// The command on this host, in a mount namespace of its own that `commands` have changed. They run in the root, and
    /// have the command as `"$0" "$@"`.
    pub fn in_mounts(&self, commands: &str, command: &Command) -> Command {
        let mut shell = Command::new("unshare");
        shell.args(["--mount", "--propagation", "private", "/bin/sh", "-euc"]);
        shell.arg(format!("cd \"$VIRT_RECONTEXT_ROOT\"; {commands}\ncd /; exec \"$0\" \"$@\""));
        shell.arg(command.get_program()).args(command.get_args());
        self.on_this_host(&mut shell, 0);
        shell
    }

    /// The program, where the user `uid` can surely reach it.
    fn reachable(&self, program: &Path, uid: u32) -> PathBuf {
        if uid == 0 {
            return program.to_owned();
        }
        let copy = self.beside(program.file_name().unwrap().to_str().unwrap());
        install(program, &copy);
        copy
    }

    /// The lines that came to the log since it was last read.
    pub fn log_lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = [0; 65_536];
        loop {
            match self.log.recv(&mut line) {
                Ok(length) => lines.push(String::from_utf8(line[..length].to_vec()).unwrap()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return lines,
                Err(error) => panic!("reading the log: {error}"),
            }
        }
    }

    /// The same without what stands before the message in each.
    pub fn messages(&self) -> Vec<String> {
        let message = |line: String| line.split_once("]: ").unwrap().1.to_owned();
        self.log_lines().into_iter().map(message).collect()
    }

    /// The helpers that were started since this was last asked for, once all of them have ended.
    pub fn helper_calls(&self) -> Vec<HelperCall> {
        // Twice: the hook's child starts the helper after the hook has ended, perhaps between the list of processes and the
        // look at itself.
        wait_for("the helpers to end", || self.processes().is_empty() && self.processes().is_empty());
        let records = PathBuf::from(format!("{}.helpers", self.root().display()));
        let Ok(entries) = fs::read_dir(&records) else { return Vec::new() };
        let dirs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        let calls = dirs.iter().map(|dir| HelperCall::read(dir)).collect();
        fs::remove_dir_all(&records).unwrap();
        calls
    }

    /// The processes that live on this host: those with its root in their environment. One that is just becoming another
    /// program has none, and counts too if it may be ours: all of ours are in UTS namespaces of their own.
    pub fn processes(&self) -> Vec<i32> {
        let wanted = format!("VIRT_RECONTEXT_ROOT={}", self.root().display());
        let here = fs::read_link("/proc/self/ns/uts").unwrap();
        let lives_here = |pid: &i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            match fs::read_link(format!("/proc/{pid}/ns/uts")) {
                Ok(namespace) if environment.is_empty() => namespace != here && !is_dead(*pid),
                _ => environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes()),
            }
        };
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        pids.filter(lives_here).collect()
    }
}

/// Whether the process has ended, and at most waits for its parent to notice.
fn is_dead(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with(['Z', 'X']))
}

/// How the stub helper was called.
pub struct HelperCall {
    /// Its arguments, itself included.
    pub arguments: String,
    /// Its environment, sorted.
    pub environment: Vec<String>,
    /// Its descriptors and where they lead.
    pub descriptors: Vec<String>,
    /// Whether it leads a session and process group of its own.
    pub leads: bool,
    /// Its working directory.
    pub directory: String,
    /// Its umask.
    pub umask: String,
    /// The soft limit of its address space.
    pub memory: String,
    /// The signals that it blocks, as a mask.
    pub blocked: String,
}

impl HelperCall {
    fn read(dir: &Path) -> HelperCall {
        let text = |name: &str| String::from_utf8(fs::read(dir.join(name)).unwrap()).unwrap();
        let stat = text("stat");
        // PID (NAME) STATE PARENT GROUP SESSION …
        let pid = stat.split(' ').next().unwrap();
        let after_name: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let mut environment: Vec<String> = text("environ").split_terminator('\0').map(str::to_owned).collect();
        environment.sort();
        // The shell's own script is none that it was given.
        let fds = text("fds");
        let descriptors = fds.lines().filter_map(|line| line.split_once(" -> "));
        let descriptors = descriptors.filter(|(_, to)| !to.ends_with("/usr/sbin/virt-recontext"));
        let after = |text: &str, key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key).map(str::to_owned)).unwrap();
            line.split_whitespace().next().unwrap().to_owned()
        };
        HelperCall {
            arguments: text("cmdline").trim_end_matches('\0').replace('\0', " "),
            environment,
            descriptors: descriptors.map(|(fd, to)| format!("{} -> {to}", fd.rsplit(' ').next().unwrap())).collect(),
            leads: after_name[2] == pid && after_name[3] == pid,
            directory: text("cwd").trim_end().to_owned(),
            umask: text("umask").trim_end().to_owned(),
            memory: after(&text("limits"), "Max address space"),
            blocked: after(&text("status"), "SigBlk:"),
        }
    }
}

/// Gives `command` its stdin and reads what it says to the end, as libvirtd does.
pub fn run(command: &mut Command, stdin: &[u8]) -> Output {
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    // One that leaves early closes it.
    let _left_early = child.stdin.take().unwrap().write_all(stdin);
    finish(child)
}

/// Reads what `child` says to the end, as libvirtd does. One that never ends is killed and so fails its test.
pub fn finish(child: Child) -> Output {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let (ended, end) = channel::<()>();
    let watch = thread::spawn(move || {
        if end.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let _ended_just_now = kill(pid, Signal::SIGKILL);
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(ended);
    watch.join().unwrap();
    output
}

/// Waits until `condition` holds.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Hundredths of a second since 1970, as discs, jobs and states count them.
pub fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() / 10).unwrap()
}

/// Where the situations lie.
pub fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/situations")
}

/// Makes a directory as a distribution would, whatever the umask.
pub fn make_dir(path: &Path) {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path).unwrap();
}

/// Copies a program. By another process: one that any thread of ours starts meanwhile would inherit the copy, open for
/// writing, and what is open for writing cannot be run.
pub fn install(program: &Path, to: &Path) {
    let done = Command::new("install").args(["-D", "-m", "755"]).arg(program).arg(to).status().unwrap();
    assert!(done.success(), "installing {}", to.display());
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let (source, target) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if source.is_dir() {
            make_dir(&target);
            copy(&source, &target);
        } else {
            // Root's and 0644, whoever checked it out.
            fs::write(&target, fs::read(&source).unwrap()).unwrap();
            fs::set_permissions(&target, fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
}
