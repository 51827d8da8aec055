//! SELinux: what it lets libvirt's daemon run, which the kernel is asked, and the labels that libvirt and QEMU need.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::libc;

use super::daemon::Daemon;
use super::denial::{Called, Denial};
use super::installed::Installed;
use super::question::ask;
use super::report::{Check, Report};
use crate::host::config::Config;
use crate::host::paths::Host;

/// The type of what lies in libvirt's directory of hooks.
const HOOK_TYPE: &str = "virt_hook_t";

/// What lets virtqemud do what it needs, where the packages have it.
const MODULE: &str = "/usr/share/selinux/packages/virt-recontext.cil";

pub(super) fn check(host: &Host, config: &Config, daemons: &[Daemon], hooks: &[Installed], report: &mut Report) {
    let check = &mut report.check("selinux");
    let enforce = fs::read_to_string(host.selinux_dir().join("enforce"));
    match enforce.as_deref().map(str::trim) {
        Err(_) => return check.good("it is not in use"),
        Ok("1") => {}
        Ok(_) => return check.good("it is permissive: it refuses nothing"),
    }
    for daemon in daemons {
        check_programs(host, daemon, hooks, daemons, check);
        check_callers(host, daemon, check);
        check_images(host, config, daemon, check);
    }
    check_labels(host, config, check);
    if check.is_clean() {
        check.good("it is enforcing, and the labels are as they should be");
    }
}

/// Whether `daemon` may run the hooks, and what scripts among them name.
fn check_programs(host: &Host, daemon: &Daemon, hooks: &[Installed], daemons: &[Daemon], check: &mut Check) {
    let Some(domain) = daemon.label.as_deref() else { return };
    let mut left = Vec::new();
    for program in Called::all(host, hooks, daemons) {
        let Some(label) = label(&program.path) else { continue };
        // What a script names runs in the script's domain, of which nothing is known if it is another than the daemon's.
        if program.by_script && left.contains(&&program.hook.path) {
            continue;
        }
        let kind = kind_in(&label).unwrap_or(&label);
        match may_run(host, domain, &label) {
            Some(Ruling::Denied) => {
                let label = format!(", with the label {kind}");
                let denial = Denial { who: daemon.name, label: &label, by: "" };
                program.deny(host, &denial, &remedy(&program, kind), check);
            }
            Some(Ruling::InAnotherDomain) => left.push(&program.hook.path),
            Some(Ruling::AsItIs) => {}
            None if kind == HOOK_TYPE && kind_in(domain) == Some("virtqemud_t") => check.warning(
                format_args!(
                    "{} has the label {HOOK_TYPE}, which {} may not run under most policies; the kernel gave no answer",
                    program.path.display(),
                    daemon.name
                ),
                format_args!("{}; and look for denials: ausearch -m avc -c rpc-virtqemud", remedy(&program, kind)),
            ),
            None => {}
        }
    }
}

fn remedy(program: &Called, kind: &str) -> String {
    let install = program.remedy("install -Z -m 755", &format!("restorecon {}", program.real.display()));
    if kind == HOOK_TYPE { format!("{install}; or allow it: semodule -i {MODULE}") } else { install }
}

enum Ruling {
    /// In the domain of who runs it.
    AsItIs,
    /// In another domain, into which the policy sends it.
    InAnotherDomain,
    Denied,
}

/// The number that the kernel has for this, below its directory of classes.
fn number(host: &Host, path: &str) -> Option<u32> {
    fs::read_to_string(host.selinux_dir().join("class").join(path)).ok()?.trim().parse().ok()
}

/// Whether a process in `domain` may do this to a thing of the class with this label; `None` if the kernel does not say.
fn may(host: &Host, domain: &str, (label, class): (&str, &str), permission: &str) -> Option<bool> {
    let question = format!("{domain} {label} {}", number(host, &format!("{class}/index"))?);
    let bit = number(host, &format!("{class}/perms/{permission}"))?.checked_sub(1)?;
    let answer = ask(&host.selinux_dir().join("access"), question.as_bytes())?;
    // What is allowed, what was decided, what is logged (twice), a number of the policy, and flags: 1 is a permissive domain.
    let words: Vec<&str> = answer.split_ascii_whitespace().collect();
    let hexadecimal = |at: usize| u32::from_str_radix(words.get(at)?, 16).ok();
    let (allowed, flags) = (hexadecimal(0)?, hexadecimal(5)?);
    Some(flags & 1 != 0 || allowed & 1_u32.checked_shl(bit)? != 0)
}

/// The domain into which the policy sends a process that runs a file with this label.
fn next_domain(host: &Host, domain: &str, label: &str) -> Option<String> {
    let question = format!("{domain} {label} {}", number(host, "process/index")?);
    let answer = ask(&host.selinux_dir().join("create"), question.as_bytes())?;
    Some(answer.trim_end_matches('\0').to_owned())
}

/// Whether a process in `domain` may run a file with this label; `None` if the kernel does not say.
fn may_run(host: &Host, domain: &str, label: &str) -> Option<Ruling> {
    let may = |permission| may(host, domain, (label, "file"), permission);
    if !may("execute")? {
        return Some(Ruling::Denied);
    }
    if next_domain(host, domain, label)? != domain {
        return Some(Ruling::InAnotherDomain);
    }
    Some(if may("execute_no_trans")? { Ruling::AsItIs } else { Ruling::Denied })
}

/// Whether `daemon` looks at whoever calls it from a unit of systemd, as it must, or else refuses him.
fn check_callers(host: &Host, daemon: &Daemon, check: &mut Check) {
    let init = fs::read_to_string(host.process_dir(1).join("attr/current")).unwrap_or_default();
    let unit = label(&host.helper()).and_then(|helper| next_domain(host, init.trim_end_matches(['\0', '\n']), &helper));
    let (Some(domain), Some(unit)) = (daemon.label.as_deref(), unit) else { return };
    if host.systemd_dir().is_dir() && may(host, domain, (&unit, "dir"), "search") == Some(false) {
        check.warning(
            format_args!(
                "{} may not look at processes of {}, and refuses them (\"Cannot find start time for pid\"): no refresh by \
                 systemd's units works",
                daemon.name,
                kind_in(&unit).unwrap_or(&unit)
            ),
            format_args!("semodule -i {MODULE}"),
        );
    }
}

/// Whether `daemon` may give the images the label with which QEMU may read them.
fn check_images(host: &Host, config: &Config, daemon: &Daemon, check: &mut Check) {
    let (Some(domain), Some(label)) = (daemon.label.as_deref(), label(&host.under_root(&config.image_dir))) else {
        return;
    };
    if may(host, domain, (&label, "file"), "relabelfrom") == Some(false) {
        check.bad(
            format_args!(
                "{} may not change the label {} that images get in {}: VMs do not start with their discs",
                daemon.name,
                kind_in(&label).unwrap_or(&label),
                config.image_dir.display()
            ),
            format_args!("semodule -i {MODULE}; or set image_dir to a directory below /var/lib/libvirt/images"),
        );
    }
}

fn check_labels(host: &Host, config: &Config, check: &mut Check) {
    let dir = host.under_root(&config.image_dir);
    if let Some(kind) = kind(&dir).filter(|kind| !kind.starts_with("virt_") && !kind.starts_with("svirt_")) {
        let shown = config.image_dir.display();
        check.warning(
            format_args!(
                "{shown} has the label {kind}: the policy may keep libvirt from writing there, or QEMU from reading"
            ),
            format_args!("semanage fcontext -a -t virt_image_t '{shown}(/.*)?' && restorecon -R {shown}"),
        );
    }
    if let Some(kind) = kind(&host.helper()).filter(|kind| kind != "bin_t" && !kind.ends_with("_exec_t")) {
        let shown = host.helper();
        let shown = shown.display();
        check.warning(
            format_args!("{shown} has the label {kind}, not bin_t: the policy may keep the hook from starting it"),
            format_args!("restorecon {shown}"),
        );
    }
}

/// The type in the label of what `path` leads to; `None` if it has none.
fn kind(path: &Path) -> Option<String> {
    kind_in(&label(path)?).map(str::to_owned)
}

fn kind_in(label: &str) -> Option<&str> {
    label.split(':').nth(2)
}

/// The label of what `path` leads to; `None` if it has none.
fn label(path: &Path) -> Option<String> {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut label = [0_u8; 512];
    // SAFETY: both strings end with a NUL, and the buffer is ours and as long as is said.
    let length =
        unsafe { libc::getxattr(path.as_ptr(), c"security.selinux".as_ptr(), label.as_mut_ptr().cast(), label.len()) };
    let label = label.get(..usize::try_from(length).ok()?)?;
    Some(std::str::from_utf8(label).ok()?.trim_end_matches('\0').to_owned())
}
