//! The spool: a job file for each VM that waits for its medium to be changed. The hook leaves them, the helper does
//! them; one that dies leaves them to the next. The newest job of a VM takes the place of an older one.

use std::process;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::record;
use super::state::{About, State};
use crate::context::disc::marker::Reason;
use crate::context::domain::driver::Driver;
use crate::context::uuid::Uuid;
use crate::host::clock;
use crate::host::log::Subject;
use crate::host::paths::Host;

/// For so long, in seconds, a job from `migrate` or `restore` explains the `prepare` that follows it in the same
/// arrival. One that is older is left over from an arrival that never came.
pub(crate) const ARRIVAL: u64 = 25;

/// An arrival that has not even begun after so many seconds never will.
pub(crate) const NEVER_CAME: u64 = 30;

// The helper gives an arrival up by removing its job and its disc, unless the job is gone. So a `prepare` that comes so late
// has to drop the job, and not to leave job and disc as they are: the VM would lose the disc that it is about to open.
const _: () = assert!(ARRIVAL < NEVER_CAME);

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Job {
    pub uuid: Uuid,
    /// The VM's name when the job was noted, for messages.
    pub name: String,
    pub(crate) reason: Reason,
    /// Whether a guest that does not let go is made to at once.
    #[serde(default)]
    pub force: bool,
    /// Whether what programs do not print any more is let go at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) accept_loss: bool,
    /// Whether it is an older one's that waits, and that somebody has asked for again: the guest is no newer for that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    again: bool,
    /// Whether nothing is to be done about a disc, but only what rules have left to do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) rules_alone: bool,
    /// The driver that runs the VM; not written for QEMU's, as it was before there was another.
    #[serde(default, skip_serializing_if = "Driver::is_qemu")]
    pub(crate) driver: Driver,
    /// When it was noted, in hundredths of a second since 1970.
    pub(crate) noted: u64,
    /// The same of the one for which it has waited first, if it is in the place of another one that waited; else 0.
    #[cfg(feature = "libvirt")]
    #[serde(default, skip_serializing_if = "is_zero")]
    first_noted: u64,
    /// Tells it from an older or newer job of the same VM.
    id: String,
}

#[cfg(feature = "libvirt")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Job {
    /// A new job, noted now.
    pub fn new(uuid: Uuid, name: &str, driver: Driver, reason: Reason, force: bool) -> Job {
        let noted = clock::now().0;
        Job {
            uuid,
            name: name.to_owned(),
            reason,
            force,
            accept_loss: false,
            again: false,
            rules_alone: false,
            driver,
            noted,
            #[cfg(feature = "libvirt")]
            first_noted: 0,
            id: format!("{noted}-{}", process::id()),
        }
    }

    /// The same, if nothing is to be done about a disc.
    pub(crate) fn for_rules_alone(self) -> Job {
        Job { rules_alone: true, ..self }
    }

    /// This one in the place of `waiting`: for what that was noted, and as urgent.
    pub(crate) fn instead_of(self, waiting: &Job) -> Job {
        let (force, accept_loss) = (self.force || waiting.force, self.accept_loss || waiting.accept_loss);
        Job {
            reason: waiting.reason,
            force,
            accept_loss,
            again: true,
            #[cfg(feature = "libvirt")]
            first_noted: waiting.waits_since(),
            ..self
        }
    }

    /// Since when its VM waits, in hundredths of a second since 1970.
    #[cfg(feature = "libvirt")]
    pub(crate) fn waits_since(&self) -> u64 {
        if self.first_noted == 0 { self.noted } else { self.first_noted }
    }

    /// When it was noted, if it is not a damaged one, of which that is not known.
    #[cfg(feature = "libvirt")]
    pub(crate) fn noted_at(&self) -> Option<u64> {
        (self.noted != 0).then(|| self.waits_since())
    }

    /// Whether the VM may have waited for its disc already, and its guest may have been asked, before this was noted.
    pub(crate) fn goes_on(&self) -> bool {
        self.again || self.reason == Reason::Refresh
    }

    /// Of whom and for what its steps are told.
    pub(crate) fn about(&self) -> About<'_> {
        About::unseen(&self.name, self.driver, self.reason)
    }

    /// What lines about it are found by.
    pub(crate) fn subject(&self) -> Subject {
        Subject { reason: Some(self.reason), ..Subject::vm(&self.name, &self.uuid) }
    }

    /// Whether it is of a VM that comes with its guest running.
    pub(crate) fn is_arrival(&self) -> bool {
        matches!(self.reason, Reason::Migrate | Reason::Restore)
    }

    /// How long ago it was noted, in seconds; 0 when the clock was set back.
    pub fn age(&self) -> u64 {
        clock::seconds_since(self.noted)
    }

    /// The VM's job. One whose file is damaged is a refresh, so that nothing is lost; one of a newer version is left for that.
    pub fn of(host: &Host, uuid: &Uuid) -> Result<Option<Job>> {
        Ok(match record::read::<Job>(&host.job_file(uuid))? {
            Some(_) if record::is_newer(&host.job_file(uuid)) => None,
            None => None,
            Some(Ok(job)) if job.uuid == *uuid => Some(job),
            Some(_) => {
                // Its state may still tell who runs the VM.
                let driver = State::of(host, uuid).ok().flatten().map(|state| state.driver);
                let name = uuid.to_string();
                let refresh = Job::new(uuid.clone(), &name, driver.unwrap_or_default(), Reason::Refresh, false);
                Some(Job { id: String::new(), noted: 0, ..refresh })
            }
        })
    }

    /// All jobs, oldest first; files with other names are not ours to judge.
    pub fn all(host: &Host) -> Result<Vec<Job>> {
        let found = record::listed(&host.jobs_dir())?.into_iter().map(|uuid| Job::of(host, &uuid));
        let mut jobs: Vec<Job> = found.filter_map(Result::transpose).collect::<Result<_>>()?;
        jobs.sort_by(|a, b| (a.noted, &a.uuid).cmp(&(b.noted, &b.uuid)));
        Ok(jobs)
    }

    /// Whether there is a job of the VM, of whatever version.
    pub(super) fn is_noted(host: &Host, uuid: &Uuid) -> bool {
        host.job_file(uuid).exists()
    }

    /// The files of jobs that a newer version has left.
    #[cfg(feature = "libvirt")]
    pub(crate) fn of_newer_version(host: &Host) -> Vec<std::path::PathBuf> {
        let jobs = record::listed(&host.jobs_dir()).unwrap_or_default();
        jobs.iter().map(|uuid| host.job_file(uuid)).filter(|file| record::is_newer(file)).collect()
    }

    /// Whether this is still the VM's newest job.
    pub fn is_newest(&self, host: &Host) -> Result<bool> {
        Ok(Job::of(host, &self.uuid)?.is_some_and(|newest| newest.id == self.id))
    }
}
