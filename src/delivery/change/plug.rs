//! The disc of a VM that runs without a drive for it: the drive is plugged in with the disc in it, and with its controller before
//! that where the VM has none. What was plugged in is taken back when the rest cannot be.

use crate::context::domain::Domain;
use crate::context::domain::plug::{self, Plug, free_slots};
use crate::delivery::maker::{Maker, UpToDate};
use crate::delivery::outcome::{Done, Outcome};
use crate::delivery::phases::Phases;
use crate::host::config::Config;
use crate::host::metrics::counters::Way;
use crate::host::receipt::Count;
use crate::host::vm::Vm;
use crate::host::vm::job::Job;
use crate::host::vm::state::State;
use crate::libvirt::domain::{Handle, Scope, Situation};
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
    if let Some(state) = known.filter(|state| is_defined && state.until_next_start && !job.force) {
        return Ok(Outcome::AtNextStart(state.message));
    }
    let plug = match plan(handle, live, defined.as_ref(), Some(target), path)? {
        Ok(plug) => plug,
        Err(NoRoom(why)) => return Ok(not_now(why)),
    };
    phases.end("look");
    let UpToDate { warnings, .. } = maker.bring_up_to_date(config, job, live, (&plug.drive, path), phases)?;
    if let Err(trouble) = plug_in(handle, &plug) {
        return match trouble {
            Trouble::Refused(why) | Trouble::Other(why) => match handle.situation()? {
                Situation::Running | Situation::Paused => Ok(not_now(format!("it cannot be plugged in: {why}"))),
                // It has ended in the middle.
                Situation::Arriving | Situation::Gone => Err(Outcome::Failed(why)),
            },
            trouble => Err(trouble.into()),
        };
    }
    phases.end("plug");
    let counted = Some(Count::default());
    // Where this cannot be written, the step that follows cannot either, and tells why.
    let _told_later = Vm::hold(maker.host, &live.uuid).and_then(|vm| vm.is_told_in(handle.id(), counted));
    let slots = handle.xml(Scope::Live).ok().and_then(|xml| free_slots(&xml));
    let slots = slots.map(|slots| format!("; {slots} more devices can be plugged in")).unwrap_or_default();
    let line = format!("in the new drive {target}, plugged in{slots}");
    let unknown = live.request().ok().flatten().and_then(|request| request.unknown.told());
    let told: Vec<String> = [line].into_iter().chain(warnings).chain(unknown).collect();
    Ok(Outcome::Done(Done { line: told.join("; "), took: phases.to_string(), way: Some(Way::Asked) }))
}

/// Why a running VM can be given no drive.
pub(in crate::delivery) struct NoRoom(pub String);

/// Plans a drive for the running VM, called `target` if that is said, which this libvirt can plug in and which the VM has room for.
pub(in crate::delivery) fn plan(
    handle: &Handle,
    live: &Domain,
    defined: Option<&Domain>,
    target: Option<&str>,
    path: &str,
) -> Result<Result<Plug, NoRoom>, Trouble> {
    let version = handle.daemon_version()?;
    if version < LEAST {
        let (major, minor, release) = version;
        return Ok(Err(NoRoom(format!("libvirt {major}.{minor}.{release} is too old for a drive that is plugged in"))));
    }
    let plan = plug::plan(live, defined, target, path).and_then(|plug| plug.check_room(live).map(|()| plug));
    Ok(plan.map_err(|error| NoRoom(format!("{error:#}"))))
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
