//! The swap: the newest disc into the drive of a running VM, and its guest told by an ordinary media change.
//!
//! Eject, then insert the same path: libvirt takes an insertion of the path that is already there for no change at all.
//! It does not matter in which state the drive is found: full, empty, with an open tray, or left by a helper that died.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use quick_xml::escape::escape;

use super::libvirt::{Handle, Libvirt, Scope, Situation, Trouble};
use super::phases::Phases;
use super::programs::Runner;
use crate::context::domain::Domain;
use crate::context::drive::Drive;
use crate::context::marker::Reason;
use crate::host::config::Config;
use crate::host::disc::{Sources, Subject};
use crate::host::image;
use crate::host::lock::VmLock;
use crate::host::paths::Host;
use crate::host::spool::Job;
use crate::host::state::{Progress, State};

/// What there is to say of a disc whose content is the same.
pub const SAME: &str = "the content is the same; the disc stays";

/// How a job came out of one attempt.
#[derive(Debug)]
pub enum Attempt {
    /// It is done; the line says what was done.
    Done(String),
    /// The drive holds a disc of the same content; nothing was done.
    Unchanged,
    /// The VM is still arriving: wait for the event.
    NotYet,
    /// The guest, which runs, holds the old disc.
    Held,
    /// The old disc is held, and the guest stands still: it cannot let go.
    HeldPaused,
    /// Something else works on the VM.
    Busy(String),
    /// The VM does not run here.
    Gone,
    /// The daemon is not there any more.
    Lost,
    /// It cannot work until somebody changes something.
    Hopeless(String),
    /// It did not work, and may work another time.
    Failed(String),
}

impl From<Trouble> for Attempt {
    fn from(trouble: Trouble) -> Attempt {
        match trouble {
            Trouble::Gone => Attempt::Gone,
            Trouble::Lost => Attempt::Lost,
            Trouble::Busy(message) => Attempt::Busy(message),
            Trouble::Refused(message) | Trouble::Other(message) => Attempt::Failed(message),
        }
    }
}

/// What bringing a disc up to date came to.
struct Update {
    rebuilt: bool,
    /// What went wrong with programs, and what is used instead.
    warnings: Vec<String>,
}

/// Where and for what a swap is done.
#[derive(Clone, Copy)]
pub struct Swap<'a> {
    /// This host.
    pub host: &'a Host,
    /// The daemon.
    pub libvirt: &'a Libvirt,
}

impl Swap<'_> {
    /// One attempt at `job`; with `force`, a guest that holds our old disc is made to let go. Takes 5 seconds at most when
    /// the guest does not answer, and some ten milliseconds when it does.
    pub fn attempt(&self, job: &Job, force: bool) -> Attempt {
        self.try_attempt(job, force).unwrap_or_else(|attempt| attempt)
    }

    fn try_attempt(&self, job: &Job, force: bool) -> Result<Attempt, Attempt> {
        let hopeless = |error: anyhow::Error| Attempt::Hopeless(format!("{error:#}"));
        let mut phases = Phases::begin();
        let handle = self.libvirt.domain(&job.uuid)?;
        match handle.situation()? {
            Situation::Arriving => return Ok(Attempt::NotYet),
            Situation::Gone => return Ok(Attempt::Gone),
            Situation::Running | Situation::Paused => {}
        }
        // Not of a VM that has just arrived: libvirt would log our question as an error.
        let arrived = matches!(job.reason, Reason::Migrate | Reason::Restore);
        if !arrived && handle.is_worked_on() {
            return Ok(Attempt::Busy("it migrates, or is saved".to_owned()));
        }
        let config = Config::load(self.host).map_err(hopeless)?;
        let xml = handle.xml(Scope::Live)?;
        let domain = Domain::read(&xml).map_err(hopeless)?;
        let Some(request) = domain.request().map_err(hopeless)? else {
            return Ok(Attempt::Done("the VM asks for no context any more".to_owned()));
        };
        let drive = domain.drive(request).and_then(|drive| drive.check().map(|()| drive)).map_err(hopeless)?;
        let path = image::path(&config, &domain.uuid);
        let path = path.to_str().context("image_dir is not UTF-8").map_err(hopeless)?;
        phases.end("look");
        let subject = Subject { name: &domain.name, uuid: &domain.uuid, request };
        let update = self.bring_up_to_date(&config, job, subject, path, &mut phases).map_err(hopeless)?;
        let done = |line: String| Attempt::Done([vec![line], update.warnings.clone()].concat().join("; "));
        if job.reason == Reason::Refresh && !update.rebuilt && !job.force && self.has_it(&domain, drive, path) {
            let nothing_to_say = update.warnings.is_empty();
            return Ok(if nothing_to_say { Attempt::Unchanged } else { done(SAME.to_owned()) });
        }
        // A disc that somebody else put in is only taken out of a guest's hands when a person asks for it.
        let ours = drive.path().is_some_and(|path| image::is_called_ours(path, &domain.uuid));
        self.change(&handle, drive, path, force && (ours || job.force), phases).map(done)
    }

    /// Makes the disc anew if its content is not what it would be now.
    fn bring_up_to_date(
        &self,
        config: &Config,
        job: &Job,
        subject: Subject,
        path: &str,
        phases: &mut Phases,
    ) -> Result<Update> {
        let Subject { name, uuid, .. } = subject;
        let mut programs = Runner::new(self.host, name, uuid, &config.limits)?;
        // Programs take their time, so the lock, for which the hook may wait, is not held yet.
        let gathered = Sources::gather(self.host, config, subject, &mut programs);
        phases.end("gather");
        let lock = VmLock::wait(self.host, uuid)?;
        let warnings = programs.remember()?;
        let (sources, path) = (gathered?, Path::new(path));
        if sources.are_on(&lock, path)? {
            phases.end("compare");
            return Ok(Update { rebuilt: false, warnings });
        }
        let made = sources.make(&lock, path, job.reason)?;
        let state = State::of(self.host, uuid)?;
        let mut state = State {
            name: name.to_owned(),
            reason: job.reason,
            edition: Some(made.edition),
            identity: Some(made.identity),
            image: Some(path.to_owned()),
            ..state.unwrap_or_else(|| State::new(uuid.clone(), name, job.reason))
        };
        state.write(self.host, &lock, Progress::Waiting, "the disc is made and waits for its drive")?;
        phases.end("build");
        Ok(Update { rebuilt: true, warnings })
    }

    /// Whether the drive holds the newest disc already, as far as we know.
    fn has_it(&self, domain: &Domain, drive: &Drive, path: &str) -> bool {
        let delivered = |state: State| state.progress == Progress::Delivered;
        drive.path() == Some(path) && State::of(self.host, &domain.uuid).ok().flatten().is_some_and(delivered)
    }

    /// Ejects and inserts.
    fn change(
        &self,
        handle: &Handle,
        drive: &Drive,
        path: &str,
        force: bool,
        mut phases: Phases,
    ) -> Result<String, Attempt> {
        if !drive.is_empty() {
            match handle.update_device(&device(drive, None), Scope::Live, force) {
                Err(Trouble::Refused(_)) if handle.situation()? == Situation::Paused => {
                    return Err(Attempt::HeldPaused);
                }
                Err(Trouble::Refused(_)) if !force => return Err(Attempt::Held),
                ejected => ejected?,
            }
            phases.end("eject");
        }
        handle.update_device(&device(drive, Some(path)), Scope::Live, false)?;
        phases.end("insert");
        self.check(handle, drive, path)?;
        let how = if force { " by force, since the guest did not let go" } else { "" };
        Ok(format!("in the drive {}{how}; {phases}", drive.target))
    }

    /// libvirt must say that the disc is in the drive.
    fn check(&self, handle: &Handle, drive: &Drive, path: &str) -> Result<(), Attempt> {
        let xml = handle.xml(Scope::Live)?;
        let domain = Domain::read(&xml).map_err(|error| Attempt::Failed(format!("{error:#}")))?;
        let now = domain.drives.iter().find(|now| now.target == drive.target).and_then(Drive::path);
        let wrong = || anyhow!("after the media change the drive {} holds {now:?}, not {path:?}", drive.target);
        if now == Some(path) { Ok(()) } else { Err(Attempt::Failed(wrong().to_string())) }
    }
}

/// The drive with the file `path`, or empty, as libvirt wants it described for a media change.
pub fn device(drive: &Drive, path: Option<&str>) -> String {
    // libvirt forgets the policy when it is not sent again.
    let source = path.map(|path| format!("<source file='{}' startupPolicy='optional'/>", escape(path)));
    format!(
        "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>{}<target dev='{}' bus='{}'/><readonly/></disk>",
        source.unwrap_or_default(),
        escape(drive.target.as_str()),
        escape(drive.bus.as_str())
    )
}
