//! An attempt at a job: the newest disc into the drive of a running VM, and its guest told by an ordinary media change.

use anyhow::Context;

use super::arrived::Here;
use super::change;
use super::change::replug;
use super::change::{none, plug};
use super::last_good::put_back;
use super::maker::{Maker, UpToDate};
use super::outcome::{ASKS_FOR_NONE, Done, Outcome};
use super::phases::Phases;
use super::schedule::Due;
use super::selected;
use crate::context::disc::marker::Reason;
use crate::context::domain::Domain;
use crate::context::domain::drive::Drive;
use crate::context::domain::driver::{Device, MediaChange};
use crate::host::config::Config;
use crate::host::paths::Host;
use crate::host::vm::Vm;
use crate::host::vm::image::{self, Kept};
use crate::host::vm::job::Job;
use crate::host::vm::state::{Progress, State};
use crate::libvirt::connection::Libvirt;
use crate::libvirt::domain::{Handle, Scope, Situation};

/// What there is to say of a disc whose content is the same.
pub(crate) const SAME: &str = "the content is the same; the disc stays";

/// In seconds.
const BOOT: u64 = 3;

#[derive(Clone, Copy)]
pub(crate) struct Attempts<'a> {
    pub host: &'a Host,
    pub libvirt: &'a Libvirt,
    pub maker: Maker<'a>,
}

impl Attempts<'_> {
    /// One attempt. Takes 5 seconds at most when the guest does not answer, and some ten milliseconds when it does.
    pub(super) fn attempt(&self, due: &Due<Job>) -> Result<Outcome, Outcome> {
        let job = &due.job;
        let phases = Phases::begin();
        let handle = self.libvirt.domain(&job.uuid)?;
        let situation = match handle.situation()? {
            Situation::Arriving => return Ok(Outcome::NotYet),
            Situation::Gone => return Ok(Outcome::Gone),
            here @ (Situation::Running | Situation::Paused) => here,
        };
        // Not of a VM that has just arrived: libvirt would log our question as an error.
        if !job.is_arrival() && handle.is_worked_on() {
            return Ok(Outcome::Busy("libvirt has a job on it, such as a migration or a save".to_owned()));
        }
        let mut here = Here::find(self.host, &handle, job).map_err(Outcome::hosts_fault)?;
        let up = here.as_mut().map_or(Ok(()), Here::put_up);
        let outcome = if job.rules_alone { Ok(Outcome::Unchanged) } else { self.bring_disc(due, &handle, phases) };
        match up.and_then(|()| here.as_mut().map_or(Ok(()), |here| here.settle(situation))) {
            Err(failed @ (Outcome::Gone | Outcome::Lost | Outcome::NotYet)) => Err(failed),
            Err(failed) if job.rules_alone => Err(failed),
            // The disc is none the wiser; the rules get a job of their own.
            _ => outcome,
        }
    }

    /// The newest disc for a VM that is here, if it takes part.
    fn bring_disc(&self, due: &Due<Job>, handle: &Handle, phases: Phases) -> Result<Outcome, Outcome> {
        let hopeless = Outcome::hopeless;
        let config = Config::load(self.host).map_err(Outcome::hosts_fault)?;
        let xml = handle.xml(Scope::Live)?;
        let domain = Domain::read(&xml).map_err(hopeless)?;
        let path = image::path(&config, &domain.uuid);
        let path = path.to_str().context("image_dir is not UTF-8").map_err(Outcome::hosts_fault)?;
        if domain.takes_part() {
            return self.deliver(due, &config, (handle, &domain, path), phases);
        }
        let rule = selected::let_take_part(self.host, &config, (handle, &domain, path))?;
        let xml = handle.xml(Scope::Live)?;
        let domain = Domain::read(&xml).map_err(hopeless)?;
        match self.deliver(due, &config, (handle, &domain, path), phases) {
            Ok(Outcome::Done(done)) => {
                Ok(Outcome::Done(Done { line: format!("{rule} selects it; {}", done.line), ..done }))
            }
            other => {
                selected::take_back(handle);
                other
            }
        }
    }

    /// The newest disc for a VM that runs and takes part, to lie at `path`.
    fn deliver(
        &self,
        due: &Due<Job>,
        config: &Config,
        (handle, domain, path): (&Handle, &Domain, &str),
        mut phases: Phases,
    ) -> Result<Outcome, Outcome> {
        let (job, hopeless) = (&due.job, Outcome::hopeless);
        let Some(request) = domain.request().map_err(hopeless)? else {
            return Ok(Outcome::Done(ASKS_FOR_NONE.to_owned().into()));
        };
        let away = replug::left_away(self.host, domain, request).map_err(Outcome::hosts_fault)?;
        if let Some(target) = domain.missing_target().filter(|_| away.is_none()) {
            return plug::attempt(self.maker, config, job, (handle, domain, target), path, &mut phases);
        }
        let drive = match &away {
            Some(away) => away,
            None => domain.drive(request).and_then(|drive| drive.check().map(|()| drive)).map_err(hopeless)?,
        };
        if drive.media_change() == MediaChange::Never {
            return none::attempt(self.maker, config, job, domain, drive);
        }
        // libvirt opens the tray, and does not see that the firmware, which resets the drive, closes it: from then on they
        // disagree, and no medium goes in. Nobody reads the drive yet.
        let is_booting = due.first && job.reason == Reason::Start && drive.is_empty();
        let is_young = is_booting || self.has_just_started(job, domain);
        if is_young && drive.media_change() == MediaChange::EjectAndInsert {
            return Ok(Outcome::TooEarly);
        }
        phases.end("look");
        let disc = self.maker.bring_up_to_date(config, job, domain, (drive, path), &mut phases)?;
        let UpToDate { rebuilt, last, warnings } = disc;
        let told = warnings.iter().cloned().chain(request.unknown.told());
        let with_told = |line: String| [vec![line], told.collect()].concat().join("; ");
        let untold = self.is_untold_since_snapshot(handle, domain)?;
        if job.reason == Reason::Refresh && !rebuilt && !job.force && !untold && self.has_it(domain, drive, path) {
            return Ok(if warnings.is_empty() {
                Outcome::Unchanged
            } else {
                Outcome::Done(with_told(SAME.to_owned()).into())
            });
        }
        // A disc that somebody else put in is only taken out of a guest's hands when a person asks for it.
        let ours = drive.image().is_some_and(|path| image::is_called_ours(path, &domain.uuid));
        match change::change(self.host, handle, drive, path, due.force && (ours || job.force)) {
            Err(Outcome::Failed(message)) => Err(Outcome::Failed(self.after_failure(message, last, handle, drive))),
            changed => {
                let (done, counted) = changed?;
                // Where this cannot be written, the step that follows cannot either, and tells why.
                let _told_later = Vm::hold(self.host, &domain.uuid).and_then(|vm| vm.is_told_in(handle.id(), counted));
                let took = format!("{}; before that {phases}", done.took);
                Ok(Outcome::Done(Done { line: with_told(done.line), took, ..done }))
            }
        }
    }

    /// Whether it has started a moment ago with its disc in its drive, so that its firmware, or its kernel, may just be resetting
    /// that: between an ejection and an insertion this does the same harm as to an empty drive.
    fn has_just_started(&self, job: &Job, domain: &Domain) -> bool {
        // Of a state that is older than a clock that was set back, the job, which is not, tells the age.
        let young = |state: State| {
            state.reason == Reason::Start && state.progress == Progress::Delivered && state.age().max(job.age()) < BOOT
        };
        State::of(self.host, &domain.uuid).ok().flatten().is_some_and(young)
    }

    /// Whether the guest goes on from a snapshot and has not been told of its disc since.
    fn is_untold_since_snapshot(&self, handle: &Handle, domain: &Domain) -> Result<bool, Outcome> {
        let Some(run) = handle.run_from_snapshot()? else { return Ok(false) };
        let state = State::of(self.host, &domain.uuid).map_err(Outcome::hopeless)?;
        Ok(state.is_some_and(|state| state.is_untold_since_snapshot(run)))
    }

    /// Puts the last disc back, where there is one; gives what there is to say.
    fn after_failure(&self, message: String, last: Option<(Kept, State)>, handle: &Handle, drive: &Drive) -> String {
        // A disk, unlike a drive, that is there has kept what was in it.
        let kept_it = || replug::is_there(handle, drive);
        let last = last.filter(|_| drive.device == Device::Cdrom || !kept_it());
        match last.map(|last| put_back(self.host, handle, drive, last)) {
            None => message,
            Some(Ok(())) => format!("{message}; the last disc is back in the drive {}", drive.target),
            Some(Err(error)) => {
                format!("{message}; the drive {} may be empty now: putting the last disc back: {error:#}", drive.target)
            }
        }
    }

    /// Whether the drive holds the newest disc already, as far as we know.
    fn has_it(&self, domain: &Domain, drive: &Drive, path: &str) -> bool {
        let delivered = |state: State| state.progress == Progress::Delivered;
        drive.path() == Some(path) && State::of(self.host, &domain.uuid).ok().flatten().is_some_and(delivered)
    }
}
