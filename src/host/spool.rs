//! The spool: a job file for each VM that waits for its medium to be changed. The hook leaves them, the helper does
//! them; one that dies leaves them to the next. The newest job of a VM takes the place of an older one.

use std::fs;
use std::process;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::clock;
use super::file;
use super::lock::VmLock;
use super::paths::Host;
use super::state::State;
use crate::context::driver::Driver;
use crate::context::marker::Reason;
use crate::context::uuid::Uuid;

/// Change one VM's medium.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Job {
    /// Whose medium.
    pub uuid: Uuid,
    /// The VM's name when the job was noted, for messages.
    pub name: String,
    /// Why.
    pub reason: Reason,
    /// Whether a guest that does not let go is made to at once.
    #[serde(default)]
    pub force: bool,
    /// The driver that runs the VM; not written for QEMU's, as it was before there was another.
    #[serde(default, skip_serializing_if = "Driver::is_qemu")]
    pub driver: Driver,
    /// When it was noted, in hundredths of a second since 1970.
    pub noted: u64,
    /// Tells it from an older or newer job of the same VM.
    id: String,
}

impl Job {
    /// A new job, noted now, for a VM of QEMU's driver.
    pub fn new(uuid: Uuid, name: &str, reason: Reason, force: bool) -> Job {
        let (noted, driver) = (clock::now().0, Driver::Qemu);
        Job { uuid, name: name.to_owned(), reason, force, driver, noted, id: format!("{noted}-{}", process::id()) }
    }

    /// The same job for a VM of `driver`.
    pub fn with(self, driver: Driver) -> Job {
        Job { driver, ..self }
    }

    /// How long ago it was noted, in seconds; 0 when the clock was set back.
    pub fn age(&self) -> u64 {
        clock::seconds_since(self.noted)
    }

    /// Puts the job into the spool, in the place of an older one.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn note(&self, host: &Host, _lock: &VmLock) -> Result<()> {
        file::make_dir(&host.jobs_dir(), 0o700)?;
        let text = serde_json::to_string(self).context("writing a job")?;
        file::replace_text(&host.job_file(&self.uuid), &text)
    }

    /// The VM's job. One whose file is damaged is a refresh, so that nothing is lost.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn of(host: &Host, uuid: &Uuid) -> Result<Option<Job>> {
        match file::read_text(&host.job_file(uuid)) {
            Ok(text) => {
                Ok(Some(serde_json::from_str(&text).ok().filter(|job: &Job| job.uuid == *uuid).unwrap_or_else(|| {
                    // Its state may still tell who runs the VM.
                    let driver = State::of(host, uuid).ok().flatten().map(|state| state.driver);
                    let refresh = Job::new(uuid.clone(), &uuid.to_string(), Reason::Refresh, false);
                    Job { id: String::new(), noted: 0, ..refresh }.with(driver.unwrap_or_default())
                })))
            }
            Err(error) if file::is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All jobs, oldest first; files with other names are not ours to judge.
    ///
    /// # Errors
    /// When the spool is there and cannot be read.
    pub fn all(host: &Host) -> Result<Vec<Job>> {
        let mut jobs = Vec::new();
        for uuid in listed(&host.jobs_dir())? {
            jobs.extend(Job::of(host, &uuid)?);
        }
        jobs.sort_by(|a, b| (a.noted, &a.uuid).cmp(&(b.noted, &b.uuid)));
        Ok(jobs)
    }

    /// Whether this is still the VM's newest job.
    ///
    /// # Errors
    /// As [`Job::of`].
    pub fn is_newest(&self, host: &Host) -> Result<bool> {
        Ok(Job::of(host, &self.uuid)?.is_some_and(|newest| newest.id == self.id))
    }

    /// Takes the job out of the spool, unless a newer one has taken its place.
    ///
    /// # Errors
    /// When its file stays.
    pub fn done(&self, host: &Host, lock: &VmLock) -> Result<()> {
        if self.is_newest(host)? { Job::drop_of(host, lock) } else { Ok(()) }
    }

    /// Takes whatever job the VM has out of the spool.
    ///
    /// # Errors
    /// When its file stays.
    pub fn drop_of(host: &Host, lock: &VmLock) -> Result<()> {
        file::remove(&host.job_file(lock.uuid()))
    }
}

/// The VMs that have a `<uuid>.json` in `dir`.
///
/// # Errors
/// When the directory is there and cannot be read.
pub(super) fn listed(dir: &std::path::Path) -> Result<Vec<Uuid>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("reading the directory {}", dir.display()))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.with_context(|| format!("reading the directory {}", dir.display()))?.file_name();
        found.extend(name.to_str().and_then(|name| name.strip_suffix(".json")?.parse().ok()));
    }
    Ok(found)
}
