//! What is left on a host of VMs that have left it, and of writers that were killed.

use anyhow::Result;

use super::image;
use super::job::Job;
use super::lock::VmLock;
use super::state::State;
use crate::host::config::Config;
use crate::host::file;
use crate::host::paths::Host;

/// Removes everything of the VM from this host: job, image, state and lock.
///
/// # Errors
/// As [`clear`], and when the lock's file stays.
pub fn remove(host: &Host, lock: VmLock) -> Result<()> {
    clear(host, &lock)?;
    lock.retire()
}

/// Removes the VM's job, image and state from this host; what programs printed for it is kept for a while, in case it
/// comes back. An image that is not the one that was made here stays: on a directory that hosts share, it is another
/// host's.
///
/// # Errors
/// When something stays that should not.
pub fn clear(host: &Host, lock: &VmLock) -> Result<()> {
    Job::drop_of(host, lock)?;
    if let Some(State { image: Some(path), identity: Some(identity), .. }) = State::known(host, lock.uuid())? {
        image::remove(host, &path, identity)?;
    }
    State::forget(host, lock)
}

/// Removes the VM's job, and leaves its disc: a snapshot or a saved state may name it, and libvirt may look for the file
/// before it calls the hook again. The helper removes the disc when nothing on this host wants it any more.
///
/// # Errors
/// When the job stays, or the state cannot be read or written.
pub fn leave(host: &Host, lock: VmLock) -> Result<()> {
    Job::drop_of(host, &lock)?;
    let state = State::known(host, lock.uuid())?;
    match state.filter(|state| state.image.as_deref().is_some_and(|image| image::exists(host, image))) {
        Some(state) if state.left => Ok(()),
        Some(mut state) => state.leave(host, &lock),
        None => remove(host, lock),
    }
}

/// Gives the lock back, and removes its file if `release` has removed all else of the VM meanwhile.
///
/// # Errors
/// When the spool or a state cannot be read, or the file stays.
pub fn give_back(host: &Host, lock: VmLock) -> Result<()> {
    let nothing_is_left = Job::of(host, lock.uuid())?.is_none() && State::known(host, lock.uuid())?.is_none();
    if nothing_is_left { lock.retire() } else { Ok(()) }
}

/// Removes the half-written files that killed hooks and helpers have left in our directories.
///
/// # Errors
/// When one stays.
pub fn tidy(host: &Host, config: &Config) -> Result<()> {
    let dirs = [host.under_root(&config.image_dir), host.jobs_dir(), host.state_dir(), host.facts_dir()];
    dirs.iter().try_for_each(|dir| file::tidy(dir))
}
