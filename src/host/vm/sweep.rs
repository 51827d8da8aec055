//! What is left on a host of VMs that do not run here, and of writers that were killed.

use std::collections::HashSet;

use anyhow::Result;

use super::Vm;
use super::job::Job;
use super::results::Results;
use super::state::State;
use crate::context::domain::driver::Driver;
use crate::context::uuid::Uuid;
use crate::host::config::Config;
use crate::host::file;
use crate::host::paths::Host;

/// In seconds. What is left of a VM for so long is of no arrival that is still under way.
const LEFT_OVER: u64 = 60;

/// What is known of a VM that does not run here.
pub(crate) enum Absent {
    /// A snapshot or a saved state of it here may name its disc.
    Wanted,
    /// Nothing here wants its disc.
    Gone,
}

/// Removes what is left of VMs of `driver` that ended: without our noticing, for example while the hook was not installed,
/// or with a disc that was left for a snapshot or a saved state and that none of these names any more. `running` are those
/// that run; `look` tells of another whether it is absent, and `gone` is told which are removed.
pub(crate) fn sweep(
    host: &Host,
    driver: Driver,
    mut running: HashSet<Uuid>,
    look: impl Fn(&State) -> Option<Absent>,
    mut gone: impl FnMut(&State),
) -> Result<()> {
    for state in State::all_known(host)? {
        // Of another driver's nothing is known here.
        if state.driver != driver {
            running.insert(state.uuid);
            continue;
        }
        if running.contains(&state.uuid) || state.age() <= LEFT_OVER {
            continue;
        }
        let Some(absent) = look(&state) else { continue };
        if Job::of(host, &state.uuid)?.is_some() {
            continue;
        }
        let vm = Vm::hold(host, &state.uuid)?;
        match absent {
            Absent::Wanted => vm.leave()?,
            Absent::Gone => {
                gone(&state);
                vm.forget()?;
            }
        }
    }
    Results::forget_old(host, &running)
}

/// Removes the half-written files that killed hooks and helpers have left in our directories.
pub(crate) fn tidy(host: &Host, config: &Config) -> Result<()> {
    let dirs = [host.under_root(&config.image_dir), host.jobs_dir(), host.state_dir(), host.facts_dir()];
    dirs.iter().try_for_each(|dir| file::tidy(dir))
}
