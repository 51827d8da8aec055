//! `stopped` and `release`: the VM has ended here, and nothing can be held up any more.

use super::decision::{Decision, DiscStep, HelperStep, JobStep};
use crate::context::disc::marker::Reason;
use crate::context::domain::Domain;
use crate::host::paths::Host;

/// What is to be done when its guest has ended.
pub(super) fn stopped<'d>() -> Decision<'d> {
    Decision { job: JobStep::Drop, ..Decision::default() }
}

/// What is to be done when it is gone from here for good. A revert to a snapshot looks for the disc before it calls us, so
/// that stays while there is one.
pub(super) fn release<'d>(host: &Host, domain: &Domain) -> Decision<'d> {
    if host.has_snapshots(&domain.name) { leave() } else { Decision { disc: DiscStep::Forget, ..Decision::default() } }
}

/// What is to be done when nothing says that it will not come back.
pub(super) fn leave<'d>() -> Decision<'d> {
    Decision { disc: DiscStep::Leave, ..Decision::default() }
}

/// What is to be done on the way back to a snapshot. The guest of a running VM's goes on from where it was, as a restored one
/// does: `prepare` makes its disc, and the helper tells it. If the snapshot is of a VM that did not run, the helper finds
/// that none comes.
pub(super) fn revert<'d>() -> Decision<'d> {
    Decision { job: JobStep::Note(Reason::Restore), helper: HelperStep::Now, ..leave() }
}
