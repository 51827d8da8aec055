//! Waiting until no disc is on its way any more. It looks at the files of the VMs that are waited for, and asks libvirt only once
//! these tell that something has come of it, and every few seconds in case that they do not.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::standing::{Standing, Word, is_pending};
use crate::host::paths::Host;
use crate::host::vm::job::Job;
use crate::host::vm::state::State;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_millis(100);

/// Between two questions to libvirt, while the files do not change.
const ASK: Duration = Duration::from_secs(5);

/// The same where libvirt tells that there is something to wait for, of which the files tell nothing.
const ASK_SOON: Duration = Duration::from_secs(1);

/// How those stand that are `first` found, and then by `look`, when none is waited for any more or the time is over. While libvirt
/// does not tell of them, they are waited for.
///
/// # Errors
/// When `look` tells that one that was here is here no more.
pub(super) fn until_settled(
    host: &Host,
    patience: Duration,
    first: Option<Vec<Standing>>,
    mut look: impl FnMut() -> Result<Option<Vec<Standing>>>,
) -> Result<Option<Vec<Standing>>> {
    let end = Instant::now() + patience;
    let mut standings = first;
    let mut soonest = Instant::now();
    while standings.as_ref().is_none_or(|all| all.iter().any(is_awaited)) && Instant::now() < end {
        let ask = end.min(Instant::now() + ASK);
        let is_due = || soonest <= Instant::now() && !standings.iter().flatten().any(|one| is_on_its_way(host, one));
        while Instant::now() < ask && !is_due() {
            sleep(LOOK.min(ask.saturating_duration_since(Instant::now())));
        }
        soonest = Instant::now() + ASK_SOON;
        standings = look()?;
    }
    Ok(standings)
}

/// Whether something will still happen to its disc, before its next start, restore or arrival. Not of one that does not run here.
pub(super) fn is_awaited(standing: &Standing) -> bool {
    let Standing { pending, running, may_come, takes_part, job_waiting, .. } = standing;
    *pending && (*running != Some(false) || *may_come) && (*takes_part != Some(false) || *job_waiting)
}

/// Whether the files tell the same as before of one that is awaited.
fn is_on_its_way(host: &Host, standing: &Standing) -> bool {
    let Standing { uuid, state, job_waiting, .. } = standing;
    // The job first, which is taken away last.
    let is_as_before = match (Job::of(host, uuid), State::of(host, uuid)) {
        (Ok(job), Ok(Some(state))) => is_pending(&state, job.as_ref()),
        (Ok(job), Ok(None)) => job.is_some() || (*state == Word::None && !job_waiting),
        (Err(_), _) | (_, Err(_)) => true,
    };
    is_awaited(standing) && is_as_before
}
