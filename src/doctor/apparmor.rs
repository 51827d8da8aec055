//! AppArmor: what it lets libvirtd run, and VMs read. The kernel is asked; where it does not answer, what the usual profiles
//! allow is known from their texts, see hooks/README.md.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::daemon::Daemon;
use super::denial::{Called, Denial};
use super::installed::Installed;
use super::question::ask;
use super::report::{Check, Report};
use crate::host::config::Config;
use crate::host::paths::Host;

/// The profiles of libvirt's daemons, as distributions call them.
const PROFILES: [&str; 2] = ["libvirtd", "virtqemud"];

/// Where AppArmor's profile of libvirtd lets programs be run from, and nowhere deeper.
const PROGRAM_DIRS: [&str; 4] = ["/bin", "/sbin", "/usr/bin", "/usr/sbin"];

/// Where it lets them run in its own confinement.
const HOOKS: &str = "/etc/libvirt/hooks";

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

/// Whom a profile confines: a daemon, or the one that will run.
struct Confined<'a> {
    host: &'a Host,
    name: &'a str,
    profile: Option<&'a str>,
}

/// Whether a program may be run: the kernel's answer, or what the usual profile says.
struct Ruling {
    may: bool,
    by_kernel: bool,
}

impl Ruling {
    /// On whose word, as a part of a sentence.
    fn by(&self) -> &'static str {
        if self.by_kernel { "" } else { " under its usual profile" }
    }
}

impl Confined<'_> {
    fn ruling(&self, program: &Path) -> Ruling {
        let answer = self.profile.and_then(|profile| may_run(self.host, profile, program));
        let in_program_dir = program.parent().is_some_and(|dir| PROGRAM_DIRS.iter().any(|fit| dir == Path::new(fit)));
        let may = answer.unwrap_or(in_program_dir || program.starts_with(HOOKS));
        Ruling { may, by_kernel: answer.is_some() }
    }
}

/// Whether the profile lets `program` be run; `None` if the kernel does not say.
fn may_run(host: &Host, profile: &str, program: &Path) -> Option<bool> {
    // The profile, the class of files, and the path; the answer has a mask, whose lowest bit is to execute.
    let question = [b"label\0", profile.as_bytes(), b"\0\x02", program.as_os_str().as_bytes()].concat();
    let answer = ask(&host.apparmor_question_file(), &question)?;
    let allowed = answer.lines().find_map(|line| line.strip_prefix("allow 0x"))?;
    Some(u32::from_str_radix(allowed.trim(), 16).ok()? & 1 != 0)
}

pub(super) fn check(host: &Host, config: &Config, daemons: &[Daemon], hooks: &[Installed], report: &mut Report) {
    let check = &mut report.check("apparmor");
    if fs::read_to_string(host.apparmor_enabled_file()).unwrap_or_default().trim() != "Y" {
        return check.good("it is not in use");
    }
    let enforced = |daemon: &&Daemon| daemon.enforced_profile().is_some();
    let confined = match daemons.iter().find(enforced) {
        Some(daemon) => Confined { host, name: daemon.name, profile: daemon.enforced_profile() },
        // One that is started on demand will run in a profile that the kernel knows already.
        None if daemons.is_empty() => {
            let is_known = |profile: &&str| may_run(host, profile, Path::new(HOOKS)).is_some();
            Confined { host, name: "libvirt's daemon", profile: PROFILES.into_iter().find(is_known) }
        }
        None => return check.good("it does not confine libvirt's daemon"),
    };
    let mut asked = true;
    for program in Called::all(host, hooks, daemons).iter().filter(|program| is_confined(host, program)) {
        let ruling = confined.ruling(&program.real);
        asked &= ruling.by_kernel;
        if !ruling.may {
            let remedy =
                program.remedy("install -m 755", "allow it in the daemon's profile, as the usual profile does");
            program.deny(host, &Denial { who: confined.name, label: "", by: ruling.by() }, &remedy, check);
        }
    }
    asked &= check_helper(host, &confined, check);
    check_images(config, check);
    if check.is_clean() {
        let whom = if daemons.is_empty() { "libvirt's daemon, when it runs," } else { "libvirt's daemon" };
        if asked {
            check.good(format_args!("it lets {whom} run the programs; its usual profiles let VMs read the images"));
        } else {
            check.good(format_args!("its usual profiles let {whom} run the programs, and VMs read the images"));
        }
    }
}

/// What a script calls is confined as the script is: only one that lies among the hooks themselves runs in the daemon's
/// profile, others without any.
fn is_confined(host: &Host, program: &Called) -> bool {
    let script = || program.hook.path.canonicalize().map(|real| host.seen_inside(&real));
    !program.by_script || script().is_ok_and(|script| script.starts_with(HOOKS))
}

/// The hook starts the helper; without it VMs start all the same. Whether the kernel said so.
fn check_helper(host: &Host, confined: &Confined, check: &mut Check) -> bool {
    let helper = host.helper();
    let Ok(real) = helper.canonicalize() else { return true };
    let real = host.seen_inside(&real);
    let ruling = confined.ruling(&real);
    if !ruling.may {
        let (helper, real, who, by) = (helper.display(), real.display(), confined.name, ruling.by());
        check.bad(
            format_args!("{helper} is really {real}, which {who} may not run{by}"),
            "install it into /usr/sbin itself",
        );
    }
    ruling.by_kernel
}

fn check_images(config: &Config, check: &mut Check) {
    if let Some(dir) = NO_IMAGES.iter().find(|dir| config.image_dir.starts_with(dir)) {
        check.bad(
            format_args!(
                "image_dir = {:?}: libvirt's virt-aa-helper gives no VM access to an image below {dir}",
                config.image_dir
            ),
            "use the default, /var/lib/libvirt/recontext, or a directory below /srv",
        );
    }
    if config.image_dir.as_os_str().as_bytes().contains(&b'"') {
        check.bad("image_dir contains a quotation mark, which libvirt's virt-aa-helper refuses", "rename it");
    }
}

impl Daemon {
    /// AppArmor's profile that it runs in, if that is enforced.
    fn enforced_profile(&self) -> Option<&str> {
        let label = self.label.as_deref()?;
        label.strip_suffix(" (enforce)").or_else(|| label.strip_suffix(" (kill)"))
    }
}
