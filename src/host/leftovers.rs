//! What a VM leaves on a host that it has left.

use anyhow::Result;

use super::image;
use super::lock::VmLock;
use super::paths::Host;
use super::spool::Job;
use super::state::State;

/// Removes everything of the VM from this host: job, image, state and lock; what programs printed for it is kept for a
/// while, in case it comes back. An image that is not the one that was made
/// here stays: on a directory that hosts share, it is another host's.
///
/// # Errors
/// When something stays that should not.
pub fn remove(host: &Host, lock: VmLock) -> Result<()> {
    Job::drop_of(host, &lock)?;
    if let Some(State { image: Some(path), identity: Some(identity), .. }) = State::of(host, lock.uuid())? {
        image::remove(host, &path, identity)?;
    }
    State::forget(host, &lock)?;
    lock.retire()
}
