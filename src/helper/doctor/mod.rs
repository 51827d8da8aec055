//! `doctor`: is all as it must be for VMs to get their context? It looks and changes nothing; a fault ends no check but
//! its own.

mod apparmor;
mod content;
mod daemon;
mod denial;
mod hook;
mod installed;
mod jobs;
mod machine;
mod mount;
mod question;
mod report;
mod script;
mod selinux;
mod survey;
mod vm;

use std::io::Write;

use anyhow::Result;
use clap::Args;

use self::daemon::Daemon;
use self::installed::Installed;
use self::report::Report;
use self::survey::Survey;
use super::exit::{DONE, FAILED};
use crate::host::config::Config;
use crate::host::paths::Host;

/// Check that all is as it must be for VMs to get their context.
///
/// One line a check: good, warning or bad, and what to do. Nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct Doctor {
    /// As a JSON array, one object a finding.
    #[arg(long)]
    pub json: bool,
}

const EXIT_CODES: &str = "Exit codes: 0 nothing is bad, though there may be warnings; 1 something is bad.";

/// Checks the host and its VMs.
///
/// # Errors
/// When the report cannot be written.
pub fn doctor(host: &Host, options: &Doctor, out: &mut impl Write) -> Result<u8> {
    let report = examine(host);
    if options.json {
        report.write_json(out)?
    } else {
        report.write_text(out)?
    }
    Ok(if report.has_bad() { FAILED } else { DONE })
}

fn examine(host: &Host) -> Report {
    let mut report = Report::default();
    // What does not depend on a broken configuration is still worth a look.
    let driver = Config::load(host).unwrap_or_default().driver(host);
    let installed = Installed::all(host, driver);
    hook::check(host, driver, &installed, &mut report);
    hook::check_others(host, driver, &installed, &mut report);
    machine::check_helper(host, &mut report);
    let config = content::check_configuration(host, &mut report);
    let assumed = config.clone().unwrap_or_default();

    let uri = assumed.uri_of(driver);
    let survey = Survey::take(uri);
    let in_directory = |hook: &Installed| hook.path.parent() != Some(&host.hooks_dir());
    let only_in_directory = installed.iter().filter(|hook| hook.is_ours()).all(in_directory);
    survey::check(driver, uri, &survey, only_in_directory, daemon::unit(host, driver), &mut report);
    // Behind the survey, whose call may have started it.
    let daemons = Daemon::running(host, driver);
    daemon::check(host, driver, &daemons, &installed, &mut report);
    apparmor::check(host, &assumed, &daemons, &installed, &mut report);
    selinux::check(host, &assumed, &daemons, &installed, &mut report);

    machine::check_log(host, &mut report);
    machine::check_run_dir(host, &mut report);
    jobs::check(host, &mut report);
    if let Some(config) = &config {
        machine::check_images(host, config, &mut report);
        content::check_content(host, config, &mut report);
        if let Ok(survey) = &survey {
            vm::check_all(host, config, &survey.vms, &mut report);
        }
    }
    report
}
