//! The disc of a VM that runs without a drive for it: the drive is plugged in with the disc in it, and with its controller before
//! that where the VM has none. What was plugged in is taken back when the rest cannot be.

use crate::context::domain::Domain;
use crate::context::domain::plug::{Plug, free_slots, plan};
use crate::delivery::maker::{Maker, UpToDate};
use crate::delivery::outcome::Outcome;
use crate::delivery::phases::Phases;
use crate::host::config::Config;
use crate::host::vm::Vm;
use crate::host::vm::job::Job;
use crate::host::vm::state::State;
use crate::libvirt::domain::{Handle, Scope};
use crate::libvirt::trouble::Trouble;

/// Before this version libvirt does not know the tray of a drive that was plugged in.
pub(crate) const LEAST: (u32, u32, u32) = (9, 3, 0);

/// One attempt at the VM that runs, as `live` tells, without the drive `target` that it asks for.
pub(in crate::delivery) fn attempt(
    maker: Maker,
    config: &Config,
    job: &Job,
    (handle, live, target): (&Handle, &Domain, &str),
    path: &str,
    phases: &mut Phases,
) -> Result<Outcome, Outcome> {
    let defined = if handle.is_persistent()? { Some(handle.xml(Scope::Config)?) } else { None };
    let defined = defined.as_deref().map(Domain::read).transpose().map_err(Outcome::hopeless)?;
    let is_defined = defined.as_ref().is_some_and(|defined| defined.drive_called(target).is_some());
    let not_now = |why: String| match is_defined {
        true => Outcome::AtNextStart(format!(
            "it runs without the drive {target}, which its definition has: it gets its disc when it has been shut down and \
             started again; {why}"
        )),
        false => Outcome::Hopeless(format!("it runs without the drive {target}; {why}")),
    };
    let known = State::of(maker.host, &live.uuid).map_err(Outcome::hosts_fault)?;
    if let Some(state) = known.filter(|state| state.until_next_start && !job.force) {
        return Ok(Outcome::AtNextStart(state.message));
    }
    let version = handle.daemon_version()?;
    if version < LEAST {
        let (major, minor, release) = version;
        return Ok(not_now(format!("libvirt {major}.{minor}.{release} is too old for one that is plugged in")));
    }
    let plan = plan(live, defined.as_ref(), Some(target), path);
    let plug = match plan.and_then(|plug| plug.check_room(live).map(|()| plug)) {
        Ok(plug) => plug,
        Err(error) => return Ok(not_now(format!("{error:#}"))),
    };
    phases.end("look");
    let UpToDate { warnings, .. } = maker.bring_up_to_date(config, job, live, (&plug.drive, path), phases)?;
    if let Err(trouble) = plug_in(handle, &plug) {
        return match trouble {
            Trouble::Refused(why) | Trouble::Other(why) => Ok(not_now(format!("it cannot be plugged in: {why}"))),
            trouble => Err(trouble.into()),
        };
    }
    phases.end("plug");
    let vm = Vm::hold(maker.host, &live.uuid).map_err(Outcome::hopeless)?;
    vm.is_told_in(handle.id()).map_err(Outcome::hopeless)?;
    drop(vm);
    let slots = match plug.controller.as_ref().and_then(|_| free_slots(&handle.xml(Scope::Live).ok()?)) {
        Some(slots) => format!("; {slots} more devices can be plugged in"),
        None => String::new(),
    };
    let line = format!("in the new drive {target}, plugged in; {phases}{slots}");
    let unknown = live.request().ok().flatten().and_then(|request| request.unknown.told());
    let told: Vec<String> = [line].into_iter().chain(warnings).chain(unknown).collect();
    Ok(Outcome::Done(told.join("; ")))
}

fn plug_in(handle: &Handle, plug: &Plug) -> Result<(), Trouble> {
    if let Some(controller) = &plug.controller {
        handle.add_device(controller, Scope::Live)?;
    }
    handle.add_device(&plug.disk, Scope::Live).inspect_err(|_| {
        if let Some(controller) = &plug.controller {
            // Why the drive does not go in says more.
            let _stays = handle.remove_device(controller, Scope::Live);
        }
    })
}
