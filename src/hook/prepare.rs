//! `prepare`: a VM is about to start, and its files are not yet looked at. A first boot finds its disc in the drive.

use std::path::Path;

use anyhow::{Result, bail};

use super::decision::{Decision, DiscStep, JobStep};
use crate::context::disc::marker::Reason;
use crate::context::domain::Domain;
use crate::context::domain::drive::Drive;
use crate::host::config::Config;
use crate::host::paths::Host;
use crate::host::vm::image;
use crate::host::vm::job::{ARRIVAL, Job};
use crate::host::vm::state::State;

pub(super) fn decide<'d>(host: &Host, config: &Config, domain: &'d Domain) -> Result<Decision<'d>> {
    let job = Job::of(host, &domain.uuid)?;
    let arriving = job.filter(|job| job.is_arrival() && job.age() < ARRIVAL).map(|job| job.reason);
    // Its disc is made, or cannot be, as its state tells: of a revert there is only the job yet.
    if arriving.is_some() && State::of(host, &domain.uuid)?.is_some() && can_open_its_drive(host, domain) {
        return Ok(Decision::default());
    }
    let job = if arriving.is_some() { JobStep::Keep } else { JobStep::Drop };
    let reason = arriving.unwrap_or(Reason::Start);
    let disc = disc(host, config, domain, reason)
        .unwrap_or_else(|error| DiscStep::Fail { reason, because: format!("{error:#}") });
    Ok(Decision { job, disc, ..Decision::default() })
}

/// The disc at the path that the XML names, if it is for us to make one there.
fn disc<'d>(host: &Host, config: &Config, domain: &'d Domain, reason: Reason) -> Result<DiscStep<'d>> {
    let (request, drive) = domain.request_and_drive()?;
    let place = drive.image().map(Path::new).filter(|path| image::may_be_made_at(config, path, &domain.uuid));
    let Some(place) = place else { return Ok(DiscStep::Keep) };
    // A path that another VM's XML names as well would have them overwrite each other's discs.
    if place != image::path(config, &domain.uuid) {
        let is_there = |other: &State| other.uuid != domain.uuid && other.image.as_deref() == Some(place);
        if let Some(State { name: other, .. }) = State::all(host)?.into_iter().find(is_there) {
            let (shown, name) = (place.display(), &domain.name);
            bail!("{shown} is the disc of the VM {other}; \"virt-recontext enable {name}\" gives this VM its own");
        }
    }
    Ok(DiscStep::Make { request, place: place.to_owned(), reason })
}

/// Whether the domain can come with its drive as it is: its file is there, or may be missing.
fn can_open_its_drive(host: &Host, domain: &Domain) -> bool {
    let is_there = |drive: &Drive| drive.path().is_none_or(|path| image::exists(host, Path::new(path)));
    domain.machine.driver().may_start_without_disc()
        || domain.request_and_drive().is_ok_and(|(_, drive)| is_there(drive))
}
