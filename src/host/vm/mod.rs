//! A VM on this host: its job, its state, its image and what programs printed for it. Whoever writes one of these holds the
//! VM, and holding it is the only way to write; to look needs no more than the files, which are replaced whole.

mod held;
pub mod image;
pub mod job;
pub(crate) mod lock;
pub(in crate::host) mod record;
pub mod results;
pub mod state;
mod steps;
pub(crate) mod sweep;

pub use self::held::Vm;
pub use self::image::Disc;

use anyhow::Result;

use self::image::Kept;
use self::job::Job;
use self::state::State;
use crate::context::disc::marker::{Edition, Reason};
use crate::host::file;

impl Vm<'_> {
    /// Puts the VM's job into the spool, in the place of an older one.
    pub fn note(&self, job: &Job) -> Result<()> {
        record::write(&self.host.job_file(self.uuid()), job)
    }

    /// Takes whatever job the VM has out of the spool.
    pub fn drop_job(&self) -> Result<()> {
        file::remove(&self.host.job_file(self.uuid()))
    }

    /// The edition of a disc that is made now for `reason`.
    pub fn next_edition(&self, reason: Reason) -> Result<Edition> {
        Ok(state::next_edition(State::known(self.host, self.uuid())?.as_ref(), reason))
    }

    /// Keeps the newest disc, with what is known of it, while a new one takes its place; `None` when it is not there. Where
    /// the file system has no second names for files there is none either: no reason to leave a guest with an old disc.
    pub(crate) fn keep(&self) -> Result<Option<(Kept, State)>> {
        let Some(state) = State::of(self.host, self.uuid())? else { return Ok(None) };
        let kept = state.image.as_deref().and_then(|path| image::keep(self.host, path));
        Ok(kept.map(|kept| (kept, state)))
    }

    /// Removes the VM's job, image and state from this host; what programs printed for it is kept for a while, in case it
    /// comes back. An image that is not the one that was made here stays: on a directory that hosts share, it is another
    /// host's.
    pub fn forget(self) -> Result<()> {
        self.drop_job()?;
        if let Some((path, identity)) =
            State::known(self.host, self.uuid())?.and_then(|state| state.image.zip(state.identity))
        {
            image::remove(self.host, &path, identity)?;
        }
        file::remove(&self.host.state_file(self.uuid()))?;
        self.retire()
    }

    /// Removes the VM's job, and leaves its disc: a snapshot or a saved state may name it, and libvirt may look for the file
    /// before it calls the hook again. The sweep removes the disc when nothing on this host wants it any more.
    pub(crate) fn leave(self) -> Result<()> {
        self.drop_job()?;
        let state = State::known(self.host, self.uuid())?;
        match state.filter(|state| state.image.as_deref().is_some_and(|image| image::exists(self.host, image))) {
            Some(state) => self.is_left(state),
            None => self.forget(),
        }
    }

    /// Gives the VM back, and removes its lock's file if all else of it has been removed meanwhile.
    pub(crate) fn give_back(self) -> Result<()> {
        let nothing_is_left = !Job::is_noted(self.host, self.uuid()) && State::known(self.host, self.uuid())?.is_none();
        if nothing_is_left { self.retire() } else { Ok(()) }
    }
}
