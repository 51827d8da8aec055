//! A host whose daemon is libvirt's test driver: a file tells which VMs it runs.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, Output};

use fs2::FileExt;
use serde_json::{Value, json};

use crate::site::{Site, make_dir, now, run, wait_for};

/// How old a job or a state can be, in hundredths of a second.
pub const SECOND: u64 = 100;

/// Where libvirt looks for it.
pub const HOOK: &str = "etc/libvirt/hooks/qemu";

const RUN: &str = "run/libvirt/recontext";

/// A VM of the node.
#[derive(Clone)]
pub struct Vm {
    pub name: String,
    pub uuid: String,
    /// What our element in its metadata holds; `None` if there is none.
    pub context: Option<String>,
    /// The attributes of that element, but for those that say whose it is.
    pub attributes: &'static str,
    /// The file in its drive.
    pub medium: Option<String>,
    /// Its devices beyond that drive.
    pub devices: &'static str,
    /// What the test driver is to know beyond: `<test:runstate>5</test:runstate>` is one that does not run.
    pub more: &'static str,
}

/// Does not run.
pub const OFF: &str = "<test:runstate>5</test:runstate>";
/// Its guest stands still.
pub const PAUSED: &str = "<test:runstate>3</test:runstate>";
/// It has no definition.
pub const TRANSIENT: &str = "<test:transient/>";

impl Vm {
    /// A VM that runs and takes part, with its disc in its drive. The name, which is short, is in its UUID.
    pub fn called(name: &str) -> Vm {
        let hex: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
        let uuid = format!("6695eb01-f6a4-8304-79aa-{hex:0>12}");
        let medium = Some(format!("/var/lib/libvirt/recontext/{uuid}.iso"));
        Vm {
            name: name.to_owned(),
            uuid,
            context: Some(String::new()),
            attributes: "target='hdc'",
            medium,
            devices: "",
            more: "",
        }
    }

    /// Its definition.
    pub fn xml(&self) -> String {
        let Vm { name, uuid, attributes, devices, more, .. } = self;
        let source = |file: &String| format!("<source file='{file}' startupPolicy='optional'/>");
        let source = self.medium.as_ref().map(source).unwrap_or_default();
        let element =
            |inner: &String| format!("<r:context xmlns:r='urn:virt-recontext:1' {attributes}>{inner}</r:context>");
        let metadata = self.context.as_ref().map(element).unwrap_or_default();
        format!(
            "<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'><name>{name}</name>\
             <uuid>{uuid}</uuid><metadata>{metadata}</metadata><memory>1024</memory><os><type>hvm</type></os><devices>\
             <disk type='file' device='cdrom'>{source}<target dev='hdc' bus='ide'/><readonly/></disk>{devices}\
             </devices>{more}</domain>"
        )
    }
}

/// The host.
pub struct Node {
    pub site: Site,
}

impl Node {
    /// The usual host, on which a hook is installed, and which has these VMs.
    pub fn with(vms: &[&Vm]) -> Node {
        let node = Node { site: Site::usual() };
        let hook = "#!/bin/sh\nexec /usr/sbin/virt-recontext-hook \"$@\"\n";
        node.site.install_program(hook, HOOK);
        node.configure("");
        node.has(vms);
        node
    }

    /// From now on it has these VMs.
    pub fn has(&self, vms: &[&Vm]) {
        let domains: String = vms.iter().map(|vm| vm.xml()).collect();
        fs::write(self.site.beside("node.xml"), format!("<node>{domains}</node>")).unwrap();
    }

    /// Writes its configuration file: where the daemon is, and `options`.
    pub fn configure(&self, options: &str) {
        let uri = format!("uri = 'test://{}'\n{options}", self.site.beside("node.xml").display());
        // As a whole, or a helper that is at work reads an empty one, in which every key has its default.
        let new = self.site.beside("config");
        fs::write(&new, uri).unwrap();
        let file = self.site.path("etc/virt-recontext/config.toml");
        make_dir(file.parent().unwrap());
        fs::rename(new, file).unwrap();
    }

    /// Puts a program for facts into its place, for all VMs or for one.
    pub fn program(&self, place: &str, script: &str) {
        self.site.install_program(&format!("#!/bin/sh\n{script}\n"), &format!("etc/virt-recontext/{place}"));
    }

    /// From now on a delivery to the VM stands still at a program for facts, until the gate is opened.
    pub fn gate(&self, vm: &Vm) {
        self.configure("[limits]\nprogram_time = '60s'\n");
        let script = "here=$(dirname \"$0\")/..; touch \"$here/reached\"\n\
                      while [ -d \"$here\" ] && ! [ -e \"$here/open\" ]; do sleep 0.01; done; echo '{}'";
        self.program(&format!("domains/{}/facts.d/gate", vm.name), script);
    }

    /// Whether a delivery to the VM has come to its gate.
    pub fn is_at_gate(&self, vm: &Vm) -> bool {
        self.site.path(&format!("etc/virt-recontext/domains/{}/reached", vm.name)).exists()
    }

    /// Opens the VM's gate.
    pub fn open_gate(&self, vm: &Vm) {
        self.site.write(&format!("etc/virt-recontext/domains/{}/open", vm.name), "");
    }

    /// Notes a job, as the hook does.
    pub fn note(&self, vm: &Vm, reason: &str) {
        self.note_with(vm, json!({ "reason": reason }));
    }

    /// Notes a job of which something is different.
    pub fn note_with(&self, vm: &Vm, different: Value) {
        let noted = now();
        let mut job = json!({"uuid": vm.uuid, "name": vm.name, "reason": "start", "force": false, "noted": noted});
        for (key, value) in different.as_object().unwrap() {
            job[key] = value.clone();
        }
        job["id"] = json!(format!("{}-{}", job["noted"], job["reason"]));
        // As a whole, or a helper that is at work reads a part.
        let new = self.site.beside("job");
        fs::write(&new, job.to_string()).unwrap();
        make_dir(&self.site.path(&format!("{RUN}/jobs")));
        fs::rename(new, self.job(vm)).unwrap();
    }

    /// The file of the VM's job.
    pub fn job(&self, vm: &Vm) -> PathBuf {
        self.site.path(&format!("{RUN}/jobs/{}.json", vm.uuid))
    }

    /// The file of the VM's state.
    pub fn state_file(&self, vm: &Vm) -> PathBuf {
        self.site.path(&format!("{RUN}/state/{}.json", vm.uuid))
    }

    /// The VM's state; null if there is none.
    pub fn state(&self, vm: &Vm) -> Value {
        fs::read(self.state_file(vm)).map_or(Value::Null, |text| serde_json::from_slice(&text).unwrap())
    }

    /// How far the VM's disc has come, and for what it was made.
    pub fn progress(&self, vm: &Vm) -> (String, String) {
        let state = self.state(vm);
        let text = |key: &str| state[key].as_str().unwrap_or("none").to_owned();
        (text("progress"), text("reason"))
    }

    /// What the VM's state says.
    pub fn message(&self, vm: &Vm) -> String {
        self.state(vm)["message"].as_str().unwrap_or_default().to_owned()
    }

    /// The number of the VM's disc.
    pub fn generation(&self, vm: &Vm) -> u64 {
        self.state(vm)["edition"]["generation"].as_u64().unwrap()
    }

    /// Changes a file of JSON that the programs have written.
    pub fn edit(&self, path: &PathBuf, change: impl FnOnce(&mut Value)) {
        let mut json: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        change(&mut json);
        fs::write(path, json.to_string()).unwrap();
    }

    /// The VM's state becomes older.
    pub fn age(&self, vm: &Vm, seconds: u64) {
        self.edit(&self.state_file(vm), |state| {
            state["since"] = json!(state["since"].as_u64().unwrap() - seconds * SECOND);
        });
    }

    /// Whether somebody holds the lock of this name.
    pub fn is_locked(&self, name: &str) -> bool {
        let lock = File::open(self.site.path(&format!("{RUN}/{name}.lock")));
        lock.is_ok_and(|lock| FileExt::try_lock_exclusive(&lock).is_err())
    }

    /// Has the lock of this name until the file is dropped.
    pub fn lock(&self, name: &str) -> File {
        let path = self.site.path(&format!("{RUN}/{name}.lock"));
        make_dir(path.parent().unwrap());
        let lock = File::create(path).unwrap();
        FileExt::lock_exclusive(&lock).unwrap();
        lock
    }

    /// Whether somebody waits for a lock that the test has.
    pub fn is_waited_for(lock: &File) -> bool {
        let inode = format!(":{} ", lock.metadata().unwrap().ino());
        let locks = fs::read_to_string("/proc/locks").unwrap();
        locks.lines().any(|line| line.contains("-> FLOCK") && line.contains(&inode))
    }

    /// The VM's disc.
    pub fn image(&self, vm: &Vm) -> PathBuf {
        self.site.path(&format!("var/lib/libvirt/recontext/{}.iso", vm.uuid))
    }

    /// Whether `text` is on the VM's disc, on which files are as they were.
    pub fn is_on_disc(&self, vm: &Vm, text: &str) -> bool {
        fs::read(self.image(vm)).unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes())
    }

    /// All that there is of the VM: its job, state, disc and lock.
    pub fn all_of(&self, vm: &Vm) -> Vec<&'static str> {
        let lock = self.site.path(&format!("{RUN}/{}.lock", vm.uuid));
        let all = [("job", self.job(vm)), ("state", self.state_file(vm)), ("disc", self.image(vm)), ("lock", lock)];
        all.into_iter().filter(|(_, path)| path.exists()).map(|(what, _)| what).collect()
    }

    /// A command of the command line, and what it says on both its outputs.
    pub fn say(&self, arguments: &[&str]) -> (i32, String) {
        said(&run(&mut self.site.recontext(arguments), b""))
    }

    /// A helper that ends well and has nothing to say to a terminal.
    pub fn deliver(&self) {
        assert_eq!(self.say(&["deliver"]), (0, String::new()));
    }

    /// Makes a first disc for the VM, whose log is read.
    pub fn serve(&self, vm: &Vm) {
        self.note(vm, "start");
        self.deliver();
        assert_eq!(self.progress(vm), told("delivered", "start"));
        self.site.log_lines();
    }

    /// libvirtd calls the hook for the VM; until that, and the helper that it may have started, have ended.
    pub fn hook(&self, vm: &Vm, operation: &str) {
        let mut hook = self.site.hook(&[&vm.name, operation, "begin", "-"]);
        assert!(run(&mut hook, vm.xml().as_bytes()).status.success());
        wait_for("the hook and its helper to end", || self.site.processes().is_empty());
    }

    /// A helper that is still at work when this returns.
    pub fn helper(&self) -> Child {
        self.site.recontext(&["deliver"]).spawn().unwrap()
    }
}

/// The first sectors of a disc with this label.
pub fn disc(label: &str) -> Vec<u8> {
    let mut disc = vec![b' '; 40_000];
    let descriptor = &mut disc[32_768..];
    descriptor[..6].copy_from_slice(b"\x01CD001");
    descriptor[40..40 + label.len()].copy_from_slice(label.as_bytes());
    disc
}

/// The exit code, and what was said on both outputs.
pub fn said(output: &Output) -> (i32, String) {
    let text = String::from_utf8([output.stdout.clone(), output.stderr.clone()].concat()).unwrap();
    (output.status.code().unwrap_or(-1), text)
}

/// As [`Node::progress`] gives it.
pub fn told(progress: &str, reason: &str) -> (String, String) {
    (progress.to_owned(), reason.to_owned())
}
