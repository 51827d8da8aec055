//! A VM that this host's configuration selects: it takes part in its live XML alone, which travels with it. Its definition is the
//! manager's, who writes it anew.

use super::change::plug::{self, NoRoom};
use super::outcome::{ASKS_FOR_NONE, Outcome};
use crate::context::domain::Domain;
use crate::context::domain::plug::plugged;
use crate::context::domain::select::{Choice, Number};
use crate::host::config::Config;
use crate::host::paths::Host;
use crate::host::select::{Selected, is_taken_out, selected};
use crate::libvirt::domain::{Handle, Scope};

/// Gives the VM that runs, as `live` tells, without an element of ours the one that the rule says which selects it. Its disc comes
/// to it as to any other VM then. Gives the rule.
///
/// # Errors
/// What there is to say of the VM if it takes no part.
pub(super) fn let_take_part(
    host: &Host,
    config: &Config,
    (handle, live, path): (&Handle, &Domain, &str),
) -> Result<Number, Outcome> {
    let Some(Selected { number, rule }) = selected(host, config, live).map_err(Outcome::hopeless)? else {
        return Err(Outcome::Done(ASKS_FOR_NONE.to_owned().into()));
    };
    let never = |why: String| Outcome::AtNextStart(format!("{number} selects it, but {why}"));
    let there = match &rule.drive {
        Choice::Named(target) => live.drive_called(target),
        _ => plugged(live).next().map(|(drive, _)| drive),
    };
    let target = match (there, &rule.drive) {
        (Some(drive), _) => {
            drive.check().map_err(|error| never(format!("{error:#}")))?;
            if let Some(theirs) = live.somebodys_medium(&drive.target, path) {
                return Err(never(format!("the drive {} holds {theirs}", drive.target)));
            }
            drive.target.clone()
        }
        (None, choice) => {
            if let Choice::Named(target) = choice
                && live.targets.contains(target)
            {
                return Err(never(format!("{target} is a disk of another kind, not a CD-ROM drive")));
            }
            let named = if let Choice::Named(target) = choice { Some(target.as_str()) } else { None };
            let plan = plug::plan(handle, live, None, named, path)?;
            plan.map_err(|NoRoom(why)| never(why))?.drive.target
        }
    };
    handle.set_request(Some(&rule.request(Some(&target)).to_xml()), &[Scope::Live])?;
    // A `disable` that came meanwhile has seen nothing to take away.
    if is_taken_out(host, &live.uuid) {
        handle.set_request(None, &[Scope::Live])?;
        return Err(Outcome::Done(ASKS_FOR_NONE.to_owned().into()));
    }
    Ok(number)
}

/// Takes that element away again from a VM that has got no drive, for whatever reason: the rule counts at the next attempt, which
/// may be another one by then.
pub(super) fn take_back(handle: &Handle) {
    let lacks_drive = |xml: String| Domain::read(&xml).is_ok_and(|domain| domain.missing_target().is_some());
    if handle.xml(Scope::Live).is_ok_and(lacks_drive) {
        // Why there is no drive says more.
        let _stays = handle.set_request(None, &[Scope::Live]);
    }
}
