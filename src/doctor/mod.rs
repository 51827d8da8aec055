//! Is all as it must be for VMs to get their context? It looks and changes nothing; an error ends no
//! check but its own.

mod adapted;
mod apparmor;
mod content;
mod daemon;
mod denial;
mod former;
mod hook;
mod installed;
mod jobs;
mod libvirt;
mod machine;
mod metrics;
mod mount;
mod programs;
mod question;
mod report;
mod rules;
mod script;
mod select;
mod selinux;
mod signing;
mod systemd;
mod units;
mod vm;

pub(crate) use self::report::{Report, Rest};

use self::daemon::Daemon;
use self::installed::Installed;
use crate::host::config::Config;
use crate::host::host_wide;
use crate::host::off;
use crate::host::paths::Host;
use crate::libvirt::survey::Survey;

/// What this host lacks for VMs that take part to get anything of it: for whoever lets one.
pub(crate) fn lacks(host: &Host, config: &Config) -> Vec<String> {
    [Installed::lack(host, config.driver(host)), content::lack(host, config)].into_iter().flatten().collect()
}

pub(crate) fn examine(host: &Host) -> Report {
    let mut report = Report::default();
    if let Some(off) = off::told(host) {
        report.check("switch").warning(off, format_args!("rm {}", host.off_switch().display()));
    }
    // What does not depend on a broken configuration is still worth a look.
    let assumed = Config::assumed(host);
    let driver = assumed.driver(host);
    let installed = Installed::all(host, driver);
    hook::check(host, driver, &installed, &mut report);
    hook::check_others(host, driver, &installed, &mut report);
    machine::check_helper(host, &mut report);
    let config = content::check_configuration(host, &mut report);

    let uri = assumed.uri_of(driver);
    let survey = Survey::take(uri);
    let in_directory = |hook: &Installed| hook.path.parent() != Some(&host.hooks_dir());
    let only_in_directory = installed.iter().filter(|hook| hook.is_ours()).all(in_directory);
    libvirt::check(host, driver, uri, &survey, only_in_directory, daemon::unit(host, driver), &mut report);
    // Behind the survey, whose call may have started it.
    let daemons = Daemon::running(host, driver);
    daemon::check(host, driver, &daemons, &installed, &mut report);
    apparmor::check(host, &assumed, &daemons, &installed, &mut report);
    selinux::check(host, &assumed, &daemons, &installed, &mut report);

    machine::check_log(host, &mut report);
    units::check(host, &mut report);
    machine::check_run_dir(host, &mut report);
    jobs::check(host, &mut report);
    if let Some(config) = &config {
        let vms = survey.as_ref().ok().map(|survey| survey.vms.as_slice());
        machine::check_images(host, config, vms, &mut report);
        let mut told = content::check_content(host, config, vms, &mut report);
        told.extend(signing::check(host, config, &mut report));
        metrics::check(host, config, &mut report);
        // What cannot be read is told.
        let host_wide = host_wide::look(host, config).unwrap_or_default();
        programs::check(&host_wide, &mut report);
        rules::check(host, driver, &mut report);
        if let Ok(survey) = &survey {
            adapted::check(host, &survey.vms, &mut report);
            select::check(host, config, &survey.vms, &mut report);
            vm::check_all((host, config), &survey.vms, &told, &host_wide, &mut report);
        }
    }
    report
}
