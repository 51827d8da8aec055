//! What libvirt tells: its version and its VMs. Asked in a thread of its own, so that a daemon that takes calls and does
//! not answer holds up no report.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};

use super::report::Report;
use crate::context::domain::driver::Driver;
use crate::context::uuid::Uuid;
use crate::libvirt::connection::Libvirt;
use crate::libvirt::domain::{Handle, Scope, Situation};
use crate::libvirt::trouble::Trouble;

/// Longest wait for all answers.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Survey {
    /// Of libvirt: major, minor, release.
    pub version: (u32, u32, u32),
    pub vms: Vec<Vm>,
}

pub(super) struct Vm {
    pub name: String,
    pub uuid: Uuid,
    pub situation: Situation,
    /// Why the rest is not known, if it is not.
    pub error: Option<String>,
    /// The XML of the running VM; none while it arrives.
    pub live: Option<String>,
    /// The XML of its persistent definition.
    pub definition: Option<String>,
}

impl Survey {
    /// Asks the daemon at `uri`.
    ///
    /// # Errors
    /// When there is no daemon, or it does not answer within 30 seconds.
    pub(super) fn take(uri: &str) -> Result<Survey> {
        let (answer, answers) = channel();
        let asked = uri.to_owned();
        thread::spawn(move || {
            // Whoever waits for us gives up by himself.
            let wait = || thread::sleep(Duration::MAX);
            let survey = Libvirt::connect(&asked, wait).and_then(|libvirt| ask(&libvirt));
            let _given_up = answer.send(survey);
        });
        match answers.recv_timeout(PATIENCE) {
            Ok(survey) => survey,
            Err(RecvTimeoutError::Timeout) => {
                bail!("libvirt at {uri} did not answer all questions within {} s", PATIENCE.as_secs())
            }
            Err(RecvTimeoutError::Disconnected) => {
                bail!("asking libvirt at {uri}: it broke off without an answer")
            }
        }
    }
}

fn ask(libvirt: &Libvirt) -> Result<Survey> {
    let version = libvirt.version()?;
    let mut vms = Vec::new();
    for handle in libvirt.all()? {
        match vm(&handle) {
            // It ended meanwhile.
            Err(Trouble::Gone) => {}
            vm => vms.push(vm?),
        }
    }
    vms.sort_by(|a, b| (&a.name, &a.uuid).cmp(&(&b.name, &b.uuid)));
    Ok(Survey { version, vms })
}

fn vm(handle: &Handle) -> Result<Vm, Trouble> {
    let (name, uuid) = (handle.name()?, handle.uuid()?);
    let vm = Vm { name, uuid, situation: Situation::Gone, error: None, live: None, definition: None };
    let situation = match handle.situation() {
        Err(trouble @ (Trouble::Gone | Trouble::Lost)) => return Err(trouble),
        Err(trouble) => return Ok(Vm { error: Some(trouble.to_string()), ..vm }),
        Ok(situation) => situation,
    };
    let vm = Vm { situation, ..vm };
    // The XML of one that arrives comes only when it has arrived.
    if situation == Situation::Arriving {
        return Ok(vm);
    }
    let xml = || {
        let live = (situation != Situation::Gone).then(|| handle.xml(Scope::Live)).transpose()?;
        Ok((live, handle.is_persistent()?.then(|| handle.xml(Scope::Config)).transpose()?))
    };
    match xml() {
        Ok((live, definition)) => Ok(Vm { live, definition, ..vm }),
        Err(trouble @ (Trouble::Gone | Trouble::Lost)) => Err(trouble),
        Err(trouble) => Ok(Vm { error: Some(trouble.to_string()), ..vm }),
    }
}

/// Checks that libvirt answers, and its version for known bugs.
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
