//! What became of a VM's disc on this host: written by the hook and the helper, shown by `status`.

use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::image::Identity;
use super::lock::VmLock;
use super::record;
use crate::context::disc::marker::{Edition, Reason};
use crate::context::domain::driver::Driver;
use crate::context::uuid::Uuid;
use crate::host::clock;
use crate::host::file;
use crate::host::paths::Host;

/// Longest message, in characters: some quote what is faulty, and that may be as large as a VM's XML.
const MAX_MESSAGE: usize = 2_000;

/// How far a disc has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// The newest disc is in the drive and the guest was told, or found it there at its start.
    Delivered,
    /// The newest disc waits: for the VM to arrive, or for the guest to let go of the old one.
    Waiting,
    /// There is no new disc, or it cannot be put in; the message says why.
    Failed,
}

/// The state of one VM's disc on this host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// Whose.
    pub uuid: Uuid,
    /// The VM's name at that time.
    pub name: String,
    /// The driver that runs the VM; not written for QEMU's.
    #[serde(default, skip_serializing_if = "Driver::is_qemu")]
    pub driver: Driver,
    /// How far it has come.
    pub progress: Progress,
    /// Whether it waits for the VM's next start, restore or arrival, so that nothing can be done before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub until_next_start: bool,
    /// Whether the VM has ended here and its disc is left, for a snapshot or a saved state that may name it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left: bool,
    /// The disk that was taken from the running VM and is to be given back, if one is away just now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detached: Option<String>,
    /// Since when, in hundredths of a second since 1970.
    pub since: u64,
    /// What the last attempt was for.
    pub reason: Reason,
    /// What there is to say, above all why it waits or failed.
    pub message: String,
    /// The newest disc that was made, if any.
    pub edition: Option<Edition>,
    /// Its image, as the VM's XML names it.
    pub image: Option<PathBuf>,
    /// The very file that was made, so that nobody else's is removed.
    pub identity: Option<Identity>,
}

impl State {
    /// The state of a VM of which nothing is known yet.
    pub fn new(uuid: Uuid, name: &str, reason: Reason) -> State {
        State {
            uuid,
            name: name.to_owned(),
            driver: Driver::Qemu,
            progress: Progress::Waiting,
            until_next_start: false,
            left: false,
            detached: None,
            since: 0,
            reason,
            message: String::new(),
            edition: None,
            image: None,
            identity: None,
        }
    }

    /// The VM's state; `None` when it has ended here, there is none, or its file is damaged (the next disc writes it anew).
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn of(host: &Host, uuid: &Uuid) -> Result<Option<State>> {
        Ok(State::known(host, uuid)?.filter(|state| !state.left))
    }

    /// The same, also of a VM that has ended here.
    ///
    /// # Errors
    /// As [`State::of`].
    pub fn known(host: &Host, uuid: &Uuid) -> Result<Option<State>> {
        Ok(record::read(&host.state_file(uuid))?.whole().filter(|state: &State| state.uuid == *uuid))
    }

    /// The states of all VMs that have not ended here, by name.
    ///
    /// # Errors
    /// When the directory or a file is there and cannot be read.
    pub fn all(host: &Host) -> Result<Vec<State>> {
        Ok(State::all_known(host)?.into_iter().filter(|state| !state.left).collect())
    }

    /// The same, also of VMs that have ended here.
    ///
    /// # Errors
    /// As [`State::all`].
    pub fn all_known(host: &Host) -> Result<Vec<State>> {
        let mut states = Vec::new();
        for uuid in record::listed(&host.state_dir())? {
            states.extend(State::known(host, &uuid)?);
        }
        states.sort_by(|a, b| (&a.name, &a.uuid).cmp(&(&b.name, &b.uuid)));
        Ok(states)
    }

    /// How long ago it was written, in seconds; 0 when the clock was set back.
    pub fn age(&self) -> u64 {
        clock::seconds_since(self.since)
    }

    /// Writes the state down, as of now.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn write(&mut self, host: &Host, _lock: &VmLock, progress: Progress, message: impl Into<String>) -> Result<()> {
        self.until_next_start = false;
        self.write_as_it_is(host, progress, message)
    }

    /// Writes down, as of now, that newer content waits for the VM's next start, restore or arrival.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn write_until_next_start(&mut self, host: &Host, _lock: &VmLock, message: &str) -> Result<()> {
        self.until_next_start = true;
        self.write_as_it_is(host, Progress::Waiting, message)
    }

    /// Writes down, as of now, that the VM has ended here and its disc is left.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn leave(&mut self, host: &Host, _lock: &VmLock) -> Result<()> {
        self.left = true;
        self.put(host)
    }

    fn write_as_it_is(&mut self, host: &Host, progress: Progress, message: impl Into<String>) -> Result<()> {
        self.left = false;
        self.progress = progress;
        self.message = message.into().chars().take(MAX_MESSAGE).collect();
        self.put(host)
    }

    fn put(&mut self, host: &Host) -> Result<()> {
        self.since = clock::now().0;
        record::write(&host.state_file(&self.uuid), self)
    }

    /// Forgets the VM's state.
    ///
    /// # Errors
    /// When its file stays.
    pub fn forget(host: &Host, lock: &VmLock) -> Result<()> {
        file::remove(&host.state_file(lock.uuid()))
    }
}
