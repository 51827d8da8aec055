//! `migrate` and `restore`: a VM comes with its guest running. It finds this host's disc in its drive; the helper tells it
//! later.

use super::decision::{Decision, DiscStep, HelperStep, JobStep};
use crate::context::disc::marker::Reason;
use crate::context::domain::Domain;
use crate::host::config::Config;
use crate::host::vm::image;

pub(super) fn decide<'d>(config: &Config, domain: &'d Domain, reason: Reason) -> Decision<'d> {
    match domain.request_and_drive() {
        Err(error) => Decision {
            disc: DiscStep::Fail { reason, because: format!("{error:#}") },
            helper: HelperStep::Afterwards,
            ..Decision::default()
        },
        Ok((request, drive)) => Decision {
            job: JobStep::Note(reason),
            disc: DiscStep::Make { request, place: image::path(config, &domain.uuid), reason },
            answer: Some(drive),
            helper: HelperStep::Afterwards,
        },
    }
}

/// What is to be done under a configuration that is broken: a job is noted all the same, for when that is fixed.
pub(super) fn without_configuration<'d>(error: &anyhow::Error, reason: Reason) -> Decision<'d> {
    let because = format!("{error:#}");
    Decision { job: JobStep::Note(reason), disc: DiscStep::Fail { reason, because }, ..Decision::default() }
}
