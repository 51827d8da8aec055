//! AppArmor and SELinux: what they let libvirtd run, and QEMU read.
//!
//! What the profiles and policies allow is known from their texts, see hooks/README.md. It is not asked of the kernel.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::libc;

use super::daemon::Daemon;
use super::installed::{Installed, Standing};
use super::report::{Check, Report};
use crate::host::config::Config;
use crate::host::paths::Host;

/// Where AppArmor's profile of libvirtd lets programs be run from, and nowhere deeper.
const PROGRAM_DIRS: [&str; 4] = ["/bin", "/sbin", "/usr/bin", "/usr/sbin"];

/// Below these, libvirt's virt-aa-helper gives no VM an image.
const NO_IMAGES: [&str; 18] = [
    "/bin",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/lost+found",
    "/proc",
    "/sbin",
    "/selinux",
    "/sys",
    "/usr/bin",
    "/usr/lib",
    "/usr/libexec",
    "/usr/sbin",
    "/usr/share",
    "/usr/local/bin",
    "/usr/local/lib",
];

/// Checks what AppArmor would refuse.
pub fn check_apparmor(host: &Host, config: &Config, daemons: &[Daemon], hooks: &[Installed], report: &mut Report) {
    let check = &mut report.check("apparmor");
    let read = |path: &str| fs::read_to_string(host.under_root(Path::new(path))).unwrap_or_default();
    if read("/sys/module/apparmor/parameters/enabled").trim() != "Y" {
        return check.good("it is not in use");
    }
    let confined: Vec<&str> =
        daemons.iter().filter(|daemon| daemon.is_enforced_by_apparmor()).map(|daemon| daemon.name).collect();
    if confined.is_empty() && !daemons.is_empty() {
        return check.good("it does not confine libvirt's daemon");
    }
    let helper = (!host.helper().is_symlink() || host.helper().exists()).then(|| host.helper());
    let called = hooks.iter().filter(|hook| hook.is_ours() && hook.standing == Standing::Called);
    for path in called.map(|hook| &hook.path).chain(&helper) {
        let Some(real) = path.canonicalize().ok().map(|real| host.seen_inside(&real)) else { continue };
        let beside_hooks = real.starts_with("/etc/libvirt/hooks");
        if !beside_hooks && !real.parent().is_some_and(|dir| PROGRAM_DIRS.iter().any(|fit| dir == Path::new(fit))) {
            check.bad(
                format_args!("{} is really {}, which libvirtd may not run", path.display(), real.display()),
                "install it into /usr/sbin itself",
            );
        }
    }
    if let Some(dir) = NO_IMAGES.iter().find(|dir| config.image_dir.starts_with(dir)) {
        check.bad(
            format_args!(
                "image_dir = {:?}: libvirt's virt-aa-helper gives no VM an image below {dir}",
                config.image_dir
            ),
            "use the default, /var/lib/libvirt/recontext, or a directory below /srv",
        );
    }
    if config.image_dir.as_os_str().as_bytes().contains(&b'"') {
        check.bad("image_dir holds a quotation mark, which libvirt's virt-aa-helper refuses", "rename it");
    }
    if check.is_clean() {
        let whom = if confined.is_empty() { "libvirt's daemon, when it runs," } else { "libvirt's daemon" };
        check.good(format_args!("its usual profiles let {whom} run the programs, and VMs read the images"));
    }
}

impl Daemon {
    fn is_enforced_by_apparmor(&self) -> bool {
        self.label.as_deref().is_some_and(|label| label.ends_with("(enforce)"))
    }

    /// The type in which SELinux runs it.
    fn selinux_type(&self) -> Option<&str> {
        self.label.as_deref()?.split(':').nth(2)
    }
}

/// Checks what SELinux would refuse.
pub fn check_selinux(host: &Host, config: &Config, daemons: &[Daemon], hooks: &[Installed], report: &mut Report) {
    let check = &mut report.check("selinux");
    let enforce = fs::read_to_string(host.under_root(Path::new("/sys/fs/selinux/enforce")));
    match enforce.as_deref().map(str::trim) {
        Err(_) => return check.good("it is not in use"),
        Ok("1") => {}
        Ok(_) => return check.good("it is permissive: it refuses nothing"),
    }
    check_programs(daemons, hooks, check);
    check_labels(host, config, check);
    if check.is_clean() {
        check.good("it is enforcing, and the labels are as they should be");
    }
}

/// virtqemud may run what has a program's label, but no rule lets it run what has the label of a hook.
fn check_programs(daemons: &[Daemon], hooks: &[Installed], check: &mut Check) {
    let Some(daemon) = daemons.iter().find(|daemon| daemon.selinux_type() == Some("virtqemud_t")) else { return };
    let as_hook = |hook: &&Installed| {
        hook.is_ours() && hook.standing == Standing::Called && kind(&hook.path).as_deref() == Some("virt_hook_t")
    };
    let Some(hook) = hooks.iter().find(as_hook) else { return };
    let path = hook.path.display();
    check.warning(
        format_args!("{path} has the label virt_hook_t, which {} may not run under most policies", daemon.name),
        format_args!(
            "install -Z the hook as /usr/sbin/virt-recontext-hook, make {path} a link to it, and look for denials: \
             ausearch -m avc -c rpc-virtqemud; or allow it, with the module virt-recontext.cil of the documentation"
        ),
    );
}

fn check_labels(host: &Host, config: &Config, check: &mut Check) {
    let dir = host.under_root(&config.image_dir);
    if let Some(kind) = kind(&dir).filter(|kind| !kind.starts_with("virt_") && !kind.starts_with("svirt_")) {
        let shown = config.image_dir.display();
        check.warning(
            format_args!("{shown} has the label {kind}: libvirt may not be let write or QEMU read there"),
            format_args!("semanage fcontext -a -t virt_image_t '{shown}(/.*)?' && restorecon -R {shown}"),
        );
    }
    if let Some(kind) = kind(&host.helper()).filter(|kind| kind != "bin_t" && !kind.ends_with("_exec_t")) {
        let shown = host.helper();
        let shown = shown.display();
        check.warning(
            format_args!("{shown} has the label {kind}, not bin_t: the hook may not be let start it"),
            format_args!("restorecon {shown}"),
        );
    }
}

/// The type in the SELinux label of what `path` leads to; `None` if it has none.
fn kind(path: &Path) -> Option<String> {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut label = [0_u8; 512];
    // SAFETY: both strings end with a NUL, and the buffer is ours and as long as is said.
    let length =
        unsafe { libc::getxattr(path.as_ptr(), c"security.selinux".as_ptr(), label.as_mut_ptr().cast(), label.len()) };
    let label = label.get(..usize::try_from(length).ok()?)?;
    let label = std::str::from_utf8(label).ok()?.trim_end_matches('\0');
    label.split(':').nth(2).map(str::to_owned)
}
