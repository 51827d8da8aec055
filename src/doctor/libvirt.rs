//! Does libvirt answer, and has its version known bugs?

use anyhow::Result;

use super::report::Report;
use crate::context::domain::driver::Driver;
use crate::libvirt::survey::Survey;

pub(super) fn check(
    driver: Driver,
    uri: &str,
    survey: &Result<Survey>,
    only_in_directory: bool,
    unit: &str,
    report: &mut Report,
) {
    let hook = driver.hook();
    let check = &mut report.check("libvirt");
    let version = match survey {
        Ok(survey) => survey.version,
        Err(error) => {
            let remedy = format!("systemctl start {unit}, or fix uri in config.toml");
            return check.bad(format_args!("{error:#}"), remedy);
        }
    };
    let (major, minor, release) = version;
    let answers = format!("{uri} answers, with version {major}.{minor}.{release}");
    if version < (6, 5, 0) && only_in_directory {
        check.bad(
            format_args!("{answers}, which does not know {hook}.d: it does not call our hook"),
            format_args!("make /etc/libvirt/hooks/{hook} our hook, or a script that calls it"),
        );
    } else if version == (9, 0, 0) && driver == Driver::Qemu {
        check.warning(
            format_args!("{answers}, which as released cannot change a CD-ROM's medium (\"tray isn't open\")"),
            "use Debian's 9.0.0-2 or later, which has the fix, or 9.1.0 or later",
        );
    } else if version < (9, 0, 0) {
        check.warning(format_args!("{answers}; no version before 9.0 has been tested"), "use libvirt 9.1 or later");
    } else {
        check.good(answers);
    }
}
