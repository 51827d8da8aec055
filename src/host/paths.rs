//! Where everything lies. Every path hangs from one root, so that all of it runs in a temporary directory.

use std::path::{Path, PathBuf};

use super::file;
use crate::context::domain::driver::Driver;
use crate::context::uuid::Uuid;

/// The variable that moves the root, for tests. libvirtd passes it to no hook.
pub(crate) const ROOT_VARIABLE: &str = "VIRT_RECONTEXT_ROOT";

//  <root>/etc/virt-recontext/config.toml       what the administrator wants
//  <root>/etc/virt-recontext/disabled          the switch for a bad day
//  <root>/etc/virt-recontext/context/          files and templates for every VM
//  <root>/etc/virt-recontext/facts.d/          facts for every VM
//  <root>/etc/virt-recontext/facts.d/host/     programs that give the same facts to every VM
//  <root>/etc/virt-recontext/rewrite.d/        rules for the XML of VMs that come
//  <root>/etc/virt-recontext/domains/VM/       the same three again, for one VM by name or UUID
//  <root>/etc/virt-recontext/domains/UUID/unselected   no rule selects this VM
//  <root>/var/lib/libvirt/recontext/UUID.iso   the images (image_dir); everything in there is ours
//  <root>/run/libvirt/recontext/jobs/UUID.json   left by the hook, done by the helper
//  <root>/run/libvirt/recontext/state/UUID.json  what became of it, for `status`
//  <root>/run/libvirt/recontext/facts/UUID.json  what programs printed last for a VM, for the hook
//  <root>/run/libvirt/recontext/facts/host.json  what those in facts.d/host/ printed last
//  <root>/run/libvirt/recontext/metrics/counters.json   how many discs were delivered
//  <root>/run/libvirt/recontext/metrics/refreshed.json  when all were brought up to date
//  <root>/run/libvirt/recontext/metrics/told.json       what was told of trouble with these and with metrics_file
//  <root>/run/libvirt/recontext/UUID.lock        held while the VM's image or state is written
//  <root>/run/libvirt/recontext/host-facts.lock  held while those run
//  <root>/run/libvirt/recontext/helper.lock      held by the one helper
//  <root>/run/libvirt/recontext/metrics.lock     held while metrics_file is written
//  <root>/run/libvirt/recontext/settle.lock      held by a refresh that waits for others to join it
//  <root>/usr/sbin/virt-recontext              the helper
//  <root>/run/systemd/journal/socket           the log, where journald keeps it
//  <root>/dev/log                              the log elsewhere
//  <root>/var/lib/libvirt/qemu/snapshot/VM/    libvirt's snapshots of a VM
//  <root>/run/libvirt/{qemu,libxl}/VM.xml      libvirt's knowledge of a VM that runs
//  <root>/etc/libvirt/hooks/{qemu,qemu.d/*}    where libvirtd looks for hooks
//  <root>/etc/libvirt/hooks/{libxl,libxl.d/*}  the same for VMs of Xen
//  <root>/run/{libvirtd,virtqemud,virtxend}.pid  libvirt's daemon; <root>/proc tells more of it
//  <root>/usr/sbin/{libvirtd,virtqemud,virtxend}
//  <root>/sys/                                 what AppArmor and SELinux let the daemon do
/// This host, as the programs see it.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
    config_dir: PathBuf,
    /// The host's name, for templates and `/recontext.json`.
    pub(crate) name: String,
}

impl Host {
    /// The host under `root` (`/` but for tests), called `name`.
    pub fn new(root: PathBuf, name: String) -> Host {
        Host { config_dir: root.join("etc/virt-recontext"), root, name }
    }

    /// The same host, if `dir` were the directory of its configuration.
    #[cfg(feature = "libvirt")]
    pub(crate) fn configured_by(&self, dir: PathBuf) -> Host {
        Host { config_dir: dir, ..self.clone() }
    }

    /// The real host; its root is `/`, or what `ROOT_VARIABLE` says.
    pub fn real() -> Host {
        let root = std::env::var_os(ROOT_VARIABLE).map_or_else(|| PathBuf::from("/"), PathBuf::from);
        let name = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
        Host::new(root, name.unwrap_or_default())
    }

    /// Where `path`, absolute as libvirt and the administrator write it, really lies.
    pub(crate) fn under_root(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Where `path`, which really lies there, lies for the programs of this host.
    pub(crate) fn seen_inside(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).map_or_else(|_| path.to_owned(), |inside| Path::new("/").join(inside))
    }

    /// The number that the host was given at its installation.
    pub(crate) fn machine_id_file(&self) -> PathBuf {
        self.root.join("etc/machine-id")
    }

    pub(crate) fn config_dir(&self) -> PathBuf {
        self.config_dir.clone()
    }

    /// The private key that signs discs; it may be missing.
    pub(crate) fn signing_key(&self) -> PathBuf {
        self.config_dir().join("signing_key")
    }

    /// The certificate of that key, or of the one that `sign_command` has; it may be missing.
    pub(crate) fn signing_certificate(&self) -> PathBuf {
        self.config_dir().join("signing_key-cert.pub")
    }

    /// The public part of the key that `sign_command` has.
    pub(crate) fn signing_public_key(&self) -> PathBuf {
        self.config_dir().join("signing_key.pub")
    }

    /// The configuration file; it may be missing.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.config_dir().join("config.toml")
    }

    /// While this is there, nothing is done.
    pub(crate) fn off_switch(&self) -> PathBuf {
        self.config_dir().join("disabled")
    }

    /// While this is there, no rule of the configuration selects the VM.
    pub(crate) fn unselected_file(&self, uuid: &Uuid) -> PathBuf {
        self.domain_dir(uuid).join("unselected")
    }

    /// This host's data for one VM.
    pub(crate) fn domain_dir(&self, uuid: &Uuid) -> PathBuf {
        self.config_dir().join("domains").join(uuid.to_string())
    }

    /// Jobs, state and locks; gone after a reboot, as the running VMs are.
    pub(crate) fn run_dir(&self) -> PathBuf {
        self.root.join("run/libvirt/recontext")
    }

    pub(crate) fn jobs_dir(&self) -> PathBuf {
        self.run_dir().join("jobs")
    }

    pub fn job_file(&self, uuid: &Uuid) -> PathBuf {
        self.jobs_dir().join(format!("{uuid}.json"))
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.run_dir().join("state")
    }

    pub fn state_file(&self, uuid: &Uuid) -> PathBuf {
        self.state_dir().join(format!("{uuid}.json"))
    }

    pub(crate) fn facts_dir(&self) -> PathBuf {
        self.run_dir().join("facts")
    }

    pub fn facts_file(&self, uuid: &Uuid) -> PathBuf {
        self.facts_dir().join(format!("{uuid}.json"))
    }

    /// What host-wide programs printed last.
    pub(crate) fn host_facts_file(&self) -> PathBuf {
        self.facts_dir().join("host.json")
    }

    pub(crate) fn host_facts_lock_file(&self) -> PathBuf {
        self.run_dir().join("host-facts.lock")
    }

    /// Which discs guests are seen to have read.
    #[cfg(feature = "libvirt")]
    pub(crate) fn receipts_file(&self) -> PathBuf {
        self.run_dir().join("receipts.json")
    }

    /// What is kept for metrics alone.
    pub(crate) fn metrics_dir(&self) -> PathBuf {
        self.run_dir().join("metrics")
    }

    /// How many discs were delivered.
    #[cfg(feature = "libvirt")]
    pub(crate) fn counters_file(&self) -> PathBuf {
        self.metrics_dir().join("counters.json")
    }

    /// When the last refresh of all VMs has ended.
    #[cfg(feature = "libvirt")]
    pub(crate) fn refreshed_file(&self) -> PathBuf {
        self.metrics_dir().join("refreshed.json")
    }

    /// What was told of trouble with metrics.
    #[cfg(feature = "libvirt")]
    pub(crate) fn metrics_told_file(&self) -> PathBuf {
        self.metrics_dir().join("told.json")
    }

    #[cfg(feature = "libvirt")]
    pub(crate) fn metrics_lock_file(&self) -> PathBuf {
        self.run_dir().join("metrics.lock")
    }

    pub(crate) fn lock_file(&self, uuid: &Uuid) -> PathBuf {
        self.run_dir().join(format!("{uuid}.lock"))
    }

    pub(crate) fn helper_lock_file(&self) -> PathBuf {
        self.run_dir().join("helper.lock")
    }

    pub(crate) fn settle_lock_file(&self) -> PathBuf {
        self.run_dir().join("settle.lock")
    }

    pub(crate) fn helper(&self) -> PathBuf {
        self.root.join("usr/sbin/virt-recontext")
    }

    /// Whether libvirt keeps snapshots of the VM called `name`. Its QEMU driver has a file for each in a directory of that name.
    /// If that cannot be read, there may be some.
    pub(crate) fn has_snapshots(&self, name: &str) -> bool {
        let snapshots = file::entries(&self.root.join("var/lib/libvirt/qemu/snapshot").join(name));
        !snapshots.is_ok_and(|snapshots| snapshots.is_empty())
    }

    /// Where lines go in journald's own form.
    pub(crate) fn journal_socket(&self) -> PathBuf {
        self.root.join("run/systemd/journal/socket")
    }

    pub(crate) fn log_socket(&self) -> PathBuf {
        self.root.join("dev/log")
    }

    /// The file in which libvirt keeps the definition of the VM of QEMU called `name`.
    pub(crate) fn definition(&self, name: &str) -> PathBuf {
        self.root.join("etc/libvirt/qemu").join(format!("{name}.xml"))
    }

    pub(crate) fn hooks_dir(&self) -> PathBuf {
        self.root.join("etc/libvirt/hooks")
    }

    /// The hook that libvirt's daemon calls first for the VMs of `driver`.
    pub(crate) fn hook(&self, driver: Driver) -> PathBuf {
        self.hooks_dir().join(driver.hook())
    }

    /// The directory of the hooks that it calls after that.
    pub(crate) fn more_hooks_dir(&self, driver: Driver) -> PathBuf {
        self.hooks_dir().join(format!("{}.d", driver.hook()))
    }

    /// Where libvirt's daemon of this name writes the number of its process.
    pub(crate) fn daemon_pid_file(&self, daemon: &str) -> PathBuf {
        self.root.join("run").join(format!("{daemon}.pid"))
    }

    /// Where libvirt's daemon keeps a file `NAME.xml` for each VM of `driver` that runs, as long as it does.
    pub(crate) fn running_vms_dir(&self, driver: Driver) -> PathBuf {
        self.root.join("run/libvirt").join(driver.hook())
    }

    /// The program of libvirt's daemon of this name.
    pub(crate) fn daemon_program(&self, daemon: &str) -> PathBuf {
        self.root.join("usr/sbin").join(daemon)
    }

    /// A directory that is there where systemd runs the host.
    pub(crate) fn systemd_dir(&self) -> PathBuf {
        self.root.join("run/systemd/system")
    }

    /// What the kernel tells of a process.
    pub(crate) fn process_dir(&self, pid: u32) -> PathBuf {
        self.root.join("proc").join(pid.to_string())
    }

    /// Whether Xen runs this host, and lets it control the VMs.
    pub(crate) fn is_run_by_xen(&self) -> bool {
        let capabilities = std::fs::read_to_string(self.root.join("proc/xen/capabilities"));
        capabilities.is_ok_and(|capabilities| capabilities.contains("control_d"))
    }

    /// What the kernel tells of a network interface.
    pub(crate) fn network_device(&self, name: &Path) -> PathBuf {
        self.root.join("sys/class/net").join(name)
    }

    /// Says whether AppArmor is in use.
    pub(crate) fn apparmor_enabled_file(&self) -> PathBuf {
        self.root.join("sys/module/apparmor/parameters/enabled")
    }

    /// Where AppArmor is asked what a profile allows.
    pub(crate) fn apparmor_question_file(&self) -> PathBuf {
        self.root.join("sys/kernel/security/apparmor/.access")
    }

    /// What SELinux tells, and where it is asked; not there where it is not in use.
    pub(crate) fn selinux_dir(&self) -> PathBuf {
        self.root.join("sys/fs/selinux")
    }

    /// For how long the kernel has run.
    pub(crate) fn uptime_file(&self) -> PathBuf {
        self.root.join("proc/uptime")
    }
}
