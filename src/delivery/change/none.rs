//! The disc of a paravirtual guest of Xen, which does not change while the guest runs: its drive holds what was made when it
//! came. All there is to do is to say whether there is something newer, and to remember for the hook what programs print.

use std::path::Path;

use anyhow::Result;

use crate::context::disc::marker::Reason;
use crate::context::domain::Domain;
use crate::context::domain::drive::Drive;
use crate::context::domain::request::Request;
use crate::delivery::outcome::Outcome;
use crate::host::config::Config;
use crate::host::disc::Layers;
use crate::host::paths::Host;
use crate::host::programs::run::Runner;
use crate::host::vm::Vm;
use crate::host::vm::image;
use crate::host::vm::job::Job;
use crate::host::vm::state::{Progress, State};

pub(crate) fn attempt(
    host: &Host,
    config: &Config,
    job: &Job,
    (domain, request, drive): (&Domain, &Request, &Drive),
) -> Result<Outcome> {
    let target = &drive.target;
    let fixed = "a paravirtual guest's disc cannot be changed while the guest runs";
    let place = drive.path().map(Path::new).filter(|path| image::may_be_made_at(config, path, &domain.uuid));
    let Some(place) = place else {
        let name = &domain.name;
        return Ok(Outcome::AtNextStart(format!(
            "the drive {target} does not hold its context, and {fixed}; \"virt-recontext enable {name}\" puts it into \
             the definition, for the next start"
        )));
    };
    let mut programs = Runner::new(host, &domain.name, &domain.uuid, &config.limits)?;
    let layers = Layers::none(host, config, domain, request).read(&mut programs);
    let vm = Vm::hold(host, &domain.uuid)?;
    let warnings = programs.remember(&vm)?;
    let is_newest = layers?.are_on(&vm, place)?;
    let with_warnings = |line: String| [vec![line], warnings.clone()].concat().join("; ");
    if !is_newest {
        let line = format!("{fixed}: the drive {target} gets the newer content at the next start, restore or arrival");
        return Ok(Outcome::AtNextStart(with_warnings(line)));
    }
    let delivered = State::of(host, &domain.uuid)?.is_some_and(|state| state.progress == Progress::Delivered);
    if job.reason == Reason::Refresh && delivered && warnings.is_empty() {
        return Ok(Outcome::Unchanged);
    }
    Ok(Outcome::Done(with_warnings(format!("in the drive {target} since the guest started or arrived"))))
}
