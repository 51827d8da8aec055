//! Does libvirt answer, and has its version known bugs?

use anyhow::Result;

use super::report::Report;
use crate::context::domain::driver::Driver;
use crate::host::paths::Host;
use crate::host::vm::state::State;
use crate::libvirt::survey::Survey;

pub(super) fn check(
    host: &Host,
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
    } else if version == (9, 0, 0) && driver == Driver::Qemu && !has_changed_media(host) {
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

/// Whether a medium was changed for one of QEMU's VMs here, so that this libvirt surely can.
fn has_changed_media(host: &Host) -> bool {
    let is_proof = |state: &State| state.driver == Driver::Qemu && state.tells_of_a_media_change();
    State::all(host).is_ok_and(|states| states.iter().any(is_proof))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::disc::marker::Reason;
    use crate::doctor::Rest;
    use crate::host::vm::Vm;
    use crate::host::vm::state::About;

    #[test]
    fn a_fault_of_a_version_is_told_until_a_media_change_proves_that_it_is_mended() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::new(root.path().to_owned(), "host".to_owned());
        let uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f".parse().unwrap();
        let is_good = || {
            let mut report = Report::default();
            let survey = Ok(Survey { version: (9, 0, 0), vms: Vec::new() });
            check(&host, Driver::Qemu, "qemu:///system", &survey, false, "libvirtd", &mut report);
            let mut text = Vec::new();
            report.write_text(Rest::All, &mut text).unwrap();
            text.starts_with(b"good: ")
        };
        let vm = Vm::hold(&host, &uuid).unwrap();
        vm.delivered(About::coming("vm", Driver::Qemu, Reason::Start), None, "").unwrap();
        assert!(!is_good());
        vm.is_told_in(Some(1), None).unwrap();
        assert!(is_good());
    }
}
