//! What libvirt tells: its version and its VMs. Asked in a thread of its own, so that a daemon that takes calls and does
//! not answer holds up no report.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};

use super::connection::Libvirt;
use super::domain::{Handle, Scope, Situation};
use super::trouble::Trouble;
use crate::context::uuid::Uuid;

/// Longest wait for all answers.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Survey {
    /// Of libvirt: major, minor, release.
    pub version: (u32, u32, u32),
    pub vms: Vec<Vm>,
}

pub(crate) struct Vm {
    pub name: String,
    pub uuid: Uuid,
    pub situation: Situation,
    /// The number of the run in which its guest goes on from a snapshot, if it does.
    pub run_from_snapshot: Option<u32>,
    /// Why the rest is not known, if it is not.
    pub error: Option<String>,
    /// The XML of the running VM; none while it arrives.
    pub live: Option<String>,
    /// The XML of its persistent definition.
    pub definition: Option<String>,
}

impl Vm {
    /// The VM as a shell's word: its name, or its UUID where the name is no plain word. Whoever made the VM chose that, and
    /// commands that are told are copied into shells.
    pub(crate) fn word(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let is_word = self.name.chars().all(plain) && !self.name.starts_with('-');
        if is_word { self.name.clone() } else { self.uuid.to_string() }
    }
}

impl Survey {
    /// Asks the daemon at `uri`.
    ///
    /// # Errors
    /// When there is no daemon, or it does not answer within 30 seconds.
    pub(crate) fn take(uri: &str) -> Result<Survey> {
        Survey::take_within(uri, PATIENCE)
    }

    /// The same with another patience, of 30 seconds at most.
    pub(crate) fn take_within(uri: &str, patience: Duration) -> Result<Survey> {
        let patience = patience.min(PATIENCE);
        let (answer, answers) = channel();
        let asked = uri.to_owned();
        thread::spawn(move || {
            // Whoever waits for us gives up by himself.
            let wait = || thread::sleep(Duration::MAX);
            let survey = Libvirt::connect(&asked, wait).and_then(|libvirt| ask(&libvirt));
            let _given_up = answer.send(survey);
        });
        match answers.recv_timeout(patience) {
            Ok(survey) => survey,
            Err(RecvTimeoutError::Timeout) => {
                bail!("libvirt at {uri} did not answer all questions within {} s", patience.as_secs())
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
    let (situation, run_from_snapshot) = (Situation::Gone, None);
    let vm = Vm { name, uuid, situation, run_from_snapshot, error: None, live: None, definition: None };
    let situation = match handle.situation() {
        Err(trouble @ (Trouble::Gone | Trouble::Lost)) => return Err(trouble),
        Err(trouble) => return Ok(Vm { error: Some(trouble.to_string()), ..vm }),
        Ok(situation) => situation,
    };
    let run_from_snapshot = handle.run_from_snapshot().ok().flatten();
    let vm = Vm { situation, run_from_snapshot, ..vm };
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
