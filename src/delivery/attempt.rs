//! An attempt at a job: the newest disc into the drive of a running VM, and its guest told by an ordinary media change.

use std::path::Path;

use anyhow::{Context, Result};

use super::change;
use super::change::none;
use super::change::replug;
use super::last_good::LastGood;
use super::outcome::Outcome;
use super::phases::Phases;
use crate::context::disc::marker::Reason;
use crate::context::domain::Domain;
use crate::context::domain::drive::Drive;
use crate::context::domain::driver::{Device, MediaChange};
use crate::context::domain::request::Request;
use crate::host::config::Config;
use crate::host::disc::Layers;
use crate::host::paths::Host;
use crate::host::programs::run::Runner;
use crate::host::vm::Vm;
use crate::host::vm::image;
use crate::host::vm::job::Job;
use crate::host::vm::state::{About, Progress, State};
use crate::libvirt::connection::Libvirt;
use crate::libvirt::domain::{Handle, Scope, Situation};

/// What there is to say of a disc whose content is the same.
pub(crate) const SAME: &str = "the content is the same; the disc stays";

/// What bringing a disc up to date came to.
struct UpToDate {
    rebuilt: bool,
    /// The disc before, where it may be needed.
    last: Option<LastGood>,
    /// What went wrong with programs, and what is used instead.
    warnings: Vec<String>,
    phases: Phases,
}

#[derive(Clone, Copy)]
pub(crate) struct Attempts<'a> {
    pub host: &'a Host,
    pub libvirt: &'a Libvirt,
}

impl Attempts<'_> {
    /// One attempt at `job`; with `force`, a guest that holds our old disc is made to let go. Takes 5 seconds at most when
    /// the guest does not answer, and some ten milliseconds when it does.
    pub(crate) fn attempt(&self, job: &Job, force: bool) -> Outcome {
        self.try_attempt(job, force).unwrap_or_else(|attempt| attempt)
    }

    fn try_attempt(&self, job: &Job, force: bool) -> Result<Outcome, Outcome> {
        let hopeless = |error: anyhow::Error| Outcome::Hopeless(format!("{error:#}"));
        let mut phases = Phases::begin();
        let handle = self.libvirt.domain(&job.uuid)?;
        match handle.situation()? {
            Situation::Arriving => return Ok(Outcome::NotYet),
            Situation::Gone => return Ok(Outcome::Gone),
            Situation::Running | Situation::Paused => {}
        }
        // Not of a VM that has just arrived: libvirt would log our question as an error.
        let arrived = matches!(job.reason, Reason::Migrate | Reason::Restore);
        if !arrived && handle.is_worked_on() {
            return Ok(Outcome::Busy("libvirt has a job on it, such as a migration or a save".to_owned()));
        }
        let config = Config::load(self.host).map_err(hopeless)?;
        let xml = handle.xml(Scope::Live)?;
        let domain = Domain::read(&xml).map_err(hopeless)?;
        let Some(request) = domain.request().map_err(hopeless)? else {
            return Ok(Outcome::Done("the VM no longer asks for context".to_owned()));
        };
        let away = replug::left_away(self.host, &domain, request).map_err(hopeless)?;
        let drive = match &away {
            Some(away) => away,
            None => domain.drive(request).and_then(|drive| drive.check().map(|()| drive)).map_err(hopeless)?,
        };
        if drive.media_change() == MediaChange::Never {
            return none::attempt(self.host, &config, job, (&domain, request, drive)).map_err(hopeless);
        }
        let path = image::path(&config, &domain.uuid);
        let path = path.to_str().context("image_dir is not UTF-8").map_err(hopeless)?;
        phases.end("look");
        let mut disc = self.bring_up_to_date(&config, job, &domain, request, (drive, path)).map_err(hopeless)?;
        let last = disc.last.take();
        let done = |line: String| Outcome::Done([vec![line], disc.warnings.clone()].concat().join("; "));
        if job.reason == Reason::Refresh && !disc.rebuilt && !job.force && self.has_it(&domain, drive, path) {
            let nothing_to_say = disc.warnings.is_empty();
            return Ok(if nothing_to_say { Outcome::Unchanged } else { done(SAME.to_owned()) });
        }
        // A disc that somebody else put in is only taken out of a guest's hands when a person asks for it.
        let ours = drive.image().is_some_and(|path| image::is_called_ours(path, &domain.uuid));
        match change::change(self.host, &handle, drive, path, force && (ours || job.force)) {
            Err(Outcome::Failed(message)) => Err(Outcome::Failed(self.after_failure(message, last, &handle, drive))),
            changed => changed.map(|line| done(format!("{line}; before that {phases}, {}", disc.phases))),
        }
    }

    /// Puts the last disc back, where there is one; gives what there is to say.
    fn after_failure(&self, message: String, last: Option<LastGood>, handle: &Handle, drive: &Drive) -> String {
        // A disk, unlike a drive, that is there has kept what was in it.
        let kept_it = || replug::is_there(handle, drive);
        let last = last.filter(|_| drive.device == Device::Cdrom || !kept_it());
        match last.map(|last| last.put_back(self.host, handle, drive)) {
            None => message,
            Some(Ok(())) => format!("{message}; the last disc is back in the drive {}", drive.target),
            Some(Err(error)) => {
                format!("{message}; the drive {} may be empty now: putting the last disc back: {error:#}", drive.target)
            }
        }
    }

    /// Makes the disc anew if its content is not what it would be now.
    fn bring_up_to_date(
        &self,
        config: &Config,
        job: &Job,
        domain: &Domain,
        request: &Request,
        (drive, path): (&Drive, &str),
    ) -> Result<UpToDate> {
        let mut phases = Phases::begin();
        let mut programs = Runner::new(self.host, &domain.name, &domain.uuid, &config.limits)?;
        // Programs take their time, so the lock, for which the hook may wait, is not held yet.
        let layers = Layers::none(self.host, config, domain, request).read(&mut programs);
        phases.end("gather");
        let vm = Vm::hold(self.host, &domain.uuid)?;
        let warnings = programs.remember(&vm)?;
        let (layers, path) = (layers?, Path::new(path));
        if layers.are_on(&vm, path)? {
            phases.end("compare");
            return Ok(UpToDate { rebuilt: false, last: None, warnings, phases });
        }
        let last = match drive.media_change() {
            MediaChange::Update | MediaChange::DetachAndAttach => LastGood::keep(&vm)?,
            MediaChange::EjectAndInsert | MediaChange::Never => None,
        };
        let disc = layers.make(&vm, path, job.reason)?;
        let about = About::running(&domain.name, domain.machine.driver(), job.reason);
        vm.waits(about, Some(&disc), "the disc is made, and is not in its drive yet")?;
        phases.end("build");
        Ok(UpToDate { rebuilt: true, last, warnings, phases })
    }

    /// Whether the drive holds the newest disc already, as far as we know.
    fn has_it(&self, domain: &Domain, drive: &Drive, path: &str) -> bool {
        let delivered = |state: State| state.progress == Progress::Delivered;
        drive.path() == Some(path) && State::of(self.host, &domain.uuid).ok().flatten().is_some_and(delivered)
    }
}
