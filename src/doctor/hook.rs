//! Is our hook where libvirtd looks for it, and what else runs there?

use std::path::Path;

use super::daemon;
use super::installed::{Installed, Program, Standing};
use super::mount::Mount;
use super::report::{Check, Report};
use crate::context::domain::driver::Driver;
use crate::host::file;
use crate::host::left_over;
use crate::host::paths::Host;

pub(super) fn check(host: &Host, driver: Driver, installed: &[Installed], report: &mut Report) {
    let check = &mut report.check("hook");
    let ours: Vec<&Installed> = installed.iter().filter(|hook| hook.is_ours()).collect();
    for hook in &ours {
        look_at(hook, check);
    }
    match ours.as_slice() {
        [] => absent(host, driver, installed, check),
        [_] => {}
        [first, others @ ..] => {
            let others = listed(others.iter().copied());
            check.warning(
                format_args!("libvirtd calls it more than once: {} and {others}", first.path.display()),
                format_args!("remove {others}"),
            );
        }
    }
}

fn look_at(hook: &Installed, check: &mut Check) {
    let shown = hook.path.display();
    if hook.standing == Standing::NotExecutable {
        return check.bad(
            format_args!("{shown} is not executable: libvirtd does not call it"),
            format_args!("chmod 755 {shown}"),
        );
    }
    if let Some(mount) = Mount::noexec(&hook.path) {
        return check.bad(
            format_args!("{shown} is on {}, which is mounted noexec: libvirtd cannot call it", mount.at.display()),
            "install virt-recontext-hook in /usr/sbin, and put a link to it here",
        );
    }
    if let Err(error) = trusted(&hook.path) {
        return check.bad(
            format_args!("libvirtd runs it as root, but {error:#}"),
            "run that command, and find out who changed it",
        );
    }
    let own = env!("CARGO_PKG_VERSION");
    match &hook.program {
        Program::Hook(version) if version != own => check.warning(
            format_args!("{shown} is version {version}, but this program is version {own}"),
            "install both programs in the same version",
        ),
        Program::Hook(version) => check.good(format_args!("{shown} is virt-recontext-hook {version}{}", leading(hook))),
        _ => check.good(format_args!("{shown} is a script that names virt-recontext-hook; make sure that it calls it")),
    }
}

/// Where a link leads, for the reader.
fn leading(hook: &Installed) -> String {
    let target = std::fs::read_link(&hook.path);
    target.map(|target| format!(", in {}", target.display())).unwrap_or_default()
}

/// Why there is none, and how there comes to be one.
fn absent(host: &Host, driver: Driver, installed: &[Installed], check: &mut Check) {
    let hooks = host.hooks_dir();
    let main = host.hook(driver);
    let more = host.more_hooks_dir(driver);
    let make_it = |place: &Path| {
        let (place, unit) = (place.display(), daemon::unit(host, driver));
        format!("ln -s /usr/sbin/virt-recontext-hook {place} && systemctl reload {unit}")
    };
    if let Some((hook, target)) = installed.iter().find_map(|hook| Some((hook, hook.missing_hook()?))) {
        let (path, target) = (hook.path.display(), target.display());
        check.bad(
            format_args!("{path} is a link to {target}, which does not exist: no VM gets its context"),
            format_args!("install virt-recontext-hook as {target}"),
        );
    } else if let Some(hook) = installed.iter().find(|hook| hook.program == Program::Helper) {
        let path = hook.path.display();
        check.bad(
            format_args!("{path} is virt-recontext, not virt-recontext-hook: no VM gets its context"),
            format_args!("rm {path} && {}", make_it(&hook.path)),
        );
    } else if installed.iter().any(|hook| hook.path == main) {
        check.bad(
            format_args!(
                "{} is another program, and none in {}.d is ours: no VM gets its context",
                main.display(),
                driver.hook()
            ),
            format_args!("mkdir -p {} && {}", more.display(), make_it(&more.join("50-virt-recontext"))),
        );
    } else {
        check.bad(
            format_args!("our hook is not in {} for {}: no VM gets its context", hooks.display(), name(driver)),
            format_args!("mkdir -p {} && {}", hooks.display(), make_it(&main)),
        );
    }
}

pub(super) fn check_others(host: &Host, driver: Driver, installed: &[Installed], report: &mut Report) {
    let check = &mut report.check("other-hooks");
    let hooks = host.hooks_dir();
    let directory = format!("{}.d", driver.hook());
    for dir in [hooks.clone(), host.more_hooks_dir(driver)] {
        if let Err(error) = trusted(&dir) {
            check.bad(
                format_args!("libvirtd runs what is in there as root, but {error:#}"),
                "run that command, and check what is in there",
            );
        }
    }
    let called: Vec<&Installed> = installed.iter().filter(|hook| hook.standing == Standing::Called).collect();
    let is_left_over = |hook: &Installed| {
        let name = hook.path.file_name().unwrap_or_default().to_string_lossy();
        hook.path.parent() != Some(&hooks) && left_over::in_list(&name)
    };
    for hook in called.iter().filter(|hook| is_left_over(hook)) {
        let shown = hook.path.display();
        check.warning(
            format_args!(
                "{shown} looks like a leftover, but libvirtd runs it, as it does every executable in {directory}"
            ),
            format_args!("rm {shown}, or chmod -x {shown}"),
        );
    }
    let is_foreign = |hook: &&Installed| !hook.is_ours() && hook.program != Program::Helper && !is_left_over(hook);
    let last_of_ours = called.iter().rposition(|hook| hook.is_ours());
    let (before, behind) = called.split_at(last_of_ours.map_or(called.len(), |last| last + 1));
    let [before, behind] = [before, behind].map(|hooks| listed(hooks.iter().copied().filter(is_foreign)));
    if !behind.is_empty() {
        check.warning(
            format_args!(
                "libvirtd runs {behind} after ours: what that answers at a migration replaces our answer"
            ),
            format_args!(
                "make sure that it answers nothing, or what it was given; or give ours the last name in {directory}, such as \
                 99-virt-recontext"
            ),
        );
    }
    if !before.is_empty() {
        check.good(format_args!("libvirtd runs {before} before ours"));
    } else if check.is_clean() {
        check.good(format_args!("libvirtd runs no other hook for {}'s VMs", name(driver)));
    }
}

/// The hypervisor, for the reader.
fn name(driver: Driver) -> &'static str {
    match driver {
        Driver::Qemu => "QEMU",
        Driver::Xen => "Xen",
    }
}

/// Checks that nobody but root can have put `path` there; what is missing harms nobody.
fn trusted(path: &Path) -> anyhow::Result<()> {
    std::fs::metadata(path).map_or(Ok(()), |metadata| file::check_trusted(path, &metadata))
}

fn listed<'i>(hooks: impl Iterator<Item = &'i Installed>) -> String {
    hooks.map(|hook| hook.path.display().to_string()).collect::<Vec<_>>().join(", ")
}
