//! `started` and `reconnect`: the VM is here. The helper takes over where a medium has to be changed.

use std::path::Path;

use anyhow::Result;

use super::decision::{Decision, DiscStep, HelperStep, JobStep};
use crate::context::disc::marker::Reason;
use crate::context::domain::Domain;
use crate::context::domain::drive::Drive;
use crate::host::paths::Host;
use crate::host::vm::image;
use crate::host::vm::job::Job;
use crate::host::vm::state::{Progress, State};

/// What is to be done when it has started, or its memory is there.
pub(super) fn started<'d>(host: &Host, domain: &'d Domain) -> Result<Decision<'d>> {
    if Job::of(host, &domain.uuid)?.is_some() {
        return Ok(Decision { helper: HelperStep::Now, ..Decision::default() });
    }
    // A faulty request or an unfit drive was told at `prepare`.
    let Ok((_, drive)) = domain.request_and_drive() else { return Ok(Decision::default()) };
    let state = State::of(host, &domain.uuid)?;
    if state.as_ref().is_some_and(|state| is_delivered(host, state, drive)) {
        return Ok(Decision::default());
    }
    // Why there is no disc says more than that there is none.
    let failed = state.is_some_and(|state| state.progress == Progress::Failed);
    Ok(Decision {
        job: JobStep::Note(Reason::Start),
        disc: if failed { DiscStep::Keep } else { DiscStep::Await("the drive holds no context disc yet") },
        helper: HelperStep::Now,
        ..Decision::default()
    })
}

/// What is to be done when a VM has started that has no element of ours, and that a rule selects: the helper does the rest.
pub(super) fn selected<'d>() -> Decision<'d> {
    Decision {
        job: JobStep::Note(Reason::Start),
        disc: DiscStep::Await("this host's configuration selects it, and it has no drive for its disc yet"),
        helper: HelperStep::Now,
        ..Decision::default()
    }
}

/// What is to be done when libvirt's daemon was restarted.
pub(super) fn reconnect<'d>(host: &Host, domain: &Domain) -> Result<Decision<'d>> {
    let helper = if Job::of(host, &domain.uuid)?.is_some() { HelperStep::Now } else { HelperStep::No };
    Ok(Decision { helper, ..Decision::default() })
}

/// Whether the drive holds the disc that was made for this start.
fn is_delivered(host: &Host, state: &State, drive: &Drive) -> bool {
    let image = state.image.as_deref().filter(|image| image::exists(host, image));
    state.progress == Progress::Delivered && image.is_some() && drive.path().map(Path::new) == image
}
