//! `prepare`: a VM is about to start, and its files are not yet looked at. A first boot finds its disc in the drive.

use std::path::Path;

use anyhow::{Result, ensure};

use super::decision::{Decision, DiscStep, JobStep, Look};
use crate::context::disc::marker::Reason;
use crate::context::domain::Domain;
use crate::context::domain::drive::Drive;
use crate::host::config::Config;
use crate::host::vm::image;
use crate::host::vm::job::ARRIVAL;

pub(super) fn decide<'d>(domain: &'d Domain, config: &Config, look: &impl Look) -> Result<Decision<'d>> {
    let arriving = look.job()?.filter(|job| job.is_arrival() && job.age() < ARRIVAL).map(|job| job.reason);
    // Its disc is made, or cannot be, as its state tells: of a revert there is only the job yet.
    if arriving.is_some() && look.state()?.is_some() && can_open_its_drive(domain, look) {
        return Ok(Decision::default());
    }
    let job = if arriving.is_some() { JobStep::Keep } else { JobStep::Drop };
    let reason = arriving.unwrap_or(Reason::Start);
    let disc = disc(domain, config, look, reason)
        .unwrap_or_else(|error| DiscStep::Fail { reason, because: format!("{error:#}") });
    Ok(Decision { job, disc, ..Decision::default() })
}

/// The disc at the path that the XML names, if it is for us to make one there.
fn disc<'d>(domain: &'d Domain, config: &Config, look: &impl Look, reason: Reason) -> Result<DiscStep<'d>> {
    let (request, drive) = domain.request_and_drive()?;
    let place = drive.image().map(Path::new).filter(|path| image::may_be_made_at(config, path, &domain.uuid));
    let Some(place) = place else { return Ok(DiscStep::Keep) };
    // A path that another VM's XML names as well would have them overwrite each other's discs.
    let other = if place == image::path(config, &domain.uuid) { None } else { look.other_at(place)? };
    let other = other.unwrap_or_default();
    ensure!(
        other.is_empty(),
        "{} is the disc of the VM {other}; \"virt-recontext enable {}\" gives this VM its own",
        place.display(),
        domain.name
    );
    Ok(DiscStep::Make { request, place: place.to_owned(), reason })
}

/// Whether the domain can come with its drive as it is: its file is there, or may be missing.
fn can_open_its_drive(domain: &Domain, look: &impl Look) -> bool {
    let is_there = |drive: &Drive| drive.path().is_none_or(|path| look.is_there(Path::new(path)));
    domain.machine.driver().may_start_without_disc()
        || domain.request_and_drive().is_ok_and(|(_, drive)| is_there(drive))
}
