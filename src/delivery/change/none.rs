//! The disc of a paravirtual guest of Xen, which does not change while the guest runs: its drive holds what was made when it
//! came. All there is to do is to say whether there is something newer, and to remember for the hook what programs print.

use std::path::Path;

use crate::context::disc::marker::Reason;
use crate::context::domain::Domain;
use crate::context::domain::drive::Drive;
use crate::delivery::maker::Maker;
use crate::delivery::outcome::{Done, Outcome};
use crate::host::config::Config;
use crate::host::metrics::counters::Way;
use crate::host::vm::image;
use crate::host::vm::job::Job;
use crate::host::vm::state::{Progress, State};

pub(in crate::delivery) fn attempt(
    maker: Maker,
    config: &Config,
    job: &Job,
    domain: &Domain,
    drive: &Drive,
) -> Result<Outcome, Outcome> {
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
    let known = State::of(maker.host, &domain.uuid).map_err(Outcome::hosts_fault)?;
    let (is_newest, warnings) = maker.is_newest(config, job, domain, (known.as_ref(), place))?;
    let with_warnings = |line: String| [vec![line], warnings.clone()].concat().join("; ");
    if !is_newest {
        let line = format!("{fixed}: the drive {target} gets the newer content at the next start, restore or arrival");
        return Ok(Outcome::AtNextStart(with_warnings(line)));
    }
    let delivered = known.is_some_and(|state| state.progress == Progress::Delivered);
    if job.reason == Reason::Refresh && delivered && warnings.is_empty() {
        return Ok(Outcome::Unchanged);
    }
    let line = with_warnings(format!("in the drive {target} since the guest started or arrived"));
    // The guest finds a newer one there once; what else there is to say may be said at each refresh.
    Ok(Outcome::Done(Done { way: (!delivered).then_some(Way::Asked), ..line.into() }))
}
