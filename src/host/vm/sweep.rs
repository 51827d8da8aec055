//! What is left on a host of VMs that do not run here, and of writers that were killed.

use std::collections::HashSet;
use std::fs::DirEntry;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::held::Vm;
use super::job::Job;
use super::results;
use super::state::State;
use crate::context::domain::driver::Driver;
use crate::context::domain::image_name;
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
/// that run; `look` tells of another whether it is absent, and `tell` is told which are removed, or why one cannot be.
pub(crate) fn sweep(
    host: &Host,
    driver: Driver,
    mut running: HashSet<Uuid>,
    look: impl Fn(&State) -> Option<Absent>,
    mut tell: impl FnMut(&State, Result<()>),
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
        match sweep_one(host, &state, &absent) {
            Ok(Swept::Nothing) => {}
            Ok(Swept::All) => tell(&state, Ok(())),
            Err(error) => tell(&state, Err(error)),
        }
    }
    results::forget_old(host, &running)
}

enum Swept {
    Nothing,
    All,
}

fn sweep_one(host: &Host, state: &State, absent: &Absent) -> Result<Swept> {
    let vm = Vm::hold(host, &state.uuid)?;
    // Whoever starts the VM while we look at it has made it a disc.
    match absent {
        _ if !is_still(host, state)? => vm.give_back().map(|()| Swept::Nothing),
        Absent::Wanted => vm.leave().map(|()| Swept::Nothing),
        Absent::Gone => vm.forget().map(|()| Swept::All),
    }
}

/// Whether nothing has happened to the VM since `state` was read, and nothing is to.
fn is_still(host: &Host, state: &State) -> Result<bool> {
    let now = State::known(host, &state.uuid)?;
    Ok(now.is_some_and(|now| now.since == state.since) && !Job::is_noted(host, &state.uuid))
}

/// Whether there may be something to sweep, though there is no job.
pub(crate) fn is_due(host: &Host, config: &Config) -> Result<bool> {
    // The hook is not told of the end of a VM that takes part in rules alone.
    let may_be = |state: &State| state.left || (state.is_of_rules_alone() && state.age() > LEFT_OVER);
    Ok(State::all_known(host)?.iter().any(may_be) || !unknown_images(host, config)?.is_empty())
}

/// Removes the images of VMs of which nothing is known here: their states go with the machine when it crashes, and the images do
/// not. `is_known` tells whether libvirt knows a VM, running or not; `tell` is told which are removed, or why one cannot be.
pub(crate) fn sweep_images(
    host: &Host,
    config: &Config,
    is_known: impl Fn(&Uuid) -> bool,
    mut tell: impl FnMut(&Path, Result<()>),
) -> Result<()> {
    for (uuid, image) in unknown_images(host, config)? {
        if is_known(&uuid) {
            continue;
        }
        match remove_unknown(host, &uuid, &image) {
            Ok(false) => {}
            removed => tell(&image, removed.map(drop)),
        }
    }
    Ok(())
}

/// The images of VMs that have no state here. Only from a directory that is surely this host's alone: on others they may be
/// another host's.
fn unknown_images(host: &Host, config: &Config) -> Result<Vec<(Uuid, PathBuf)>> {
    let dir = host.under_root(&config.image_dir);
    if !file::is_on_this_host(&dir) {
        return Ok(Vec::new());
    }
    let image = |entry: DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let uuid: Uuid = name.strip_suffix(".iso")?.parse().ok()?;
        let age = entry.metadata().ok()?.modified().ok()?.elapsed().ok()?.as_secs();
        let unknown = || State::known(host, &uuid).is_ok_and(|state| state.is_none());
        (age > LEFT_OVER && name == image_name(&uuid) && unknown()).then(|| (uuid, entry.path()))
    };
    Ok(file::entries(&dir)?.into_iter().filter_map(image).collect())
}

/// Whether the image was removed: not while there is a job or a state of its VM.
fn remove_unknown(host: &Host, uuid: &Uuid, image: &Path) -> Result<bool> {
    let vm = Vm::hold(host, uuid)?;
    let unknown = !Job::is_noted(host, uuid) && State::known(host, uuid)?.is_none();
    if unknown {
        file::remove(image)?;
    }
    vm.give_back().map(|()| unknown)
}

/// Removes the half-written files that killed hooks and helpers have left in our directories.
pub(crate) fn tidy(host: &Host, config: &Config) -> Result<()> {
    let dirs =
        [host.under_root(&config.image_dir), host.jobs_dir(), host.state_dir(), host.facts_dir(), host.metrics_dir()];
    dirs.iter().try_for_each(|dir| file::tidy(dir))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::context::disc::marker::{Edition, Generation, Reason};
    use crate::host::vm::image::Disc;
    use crate::host::vm::record;
    use crate::host::vm::state::About;

    #[test]
    fn a_vm_that_is_started_while_it_is_looked_at_keeps_its_disc() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::new(root.path().to_owned(), "host".to_owned());
        let uuid: Uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f".parse().unwrap();
        let path = Path::new("/vm.iso");
        let about = About::coming("vm", Driver::Qemu, Reason::Start);
        let start = || {
            let real = host.under_root(path);
            file::replace_text(&real, "disc").unwrap();
            let identity = (&real.metadata().unwrap()).into();
            let edition = Edition { generation: Generation(1), reason: Reason::Start };
            let disc = Disc { edition, path, signature: None, identity };
            Vm::hold(&host, &uuid).unwrap().delivered(about, Some(&disc), "").unwrap();
        };
        for starts in [true, false] {
            start();
            let mut state = State::known(&host, &uuid).unwrap().unwrap();
            state.since -= (LEFT_OVER + 1) * 100;
            record::write(&host.state_file(&uuid), &state).unwrap();
            let told = Cell::new(false);
            let look = |_: &State| {
                if starts {
                    start();
                }
                Some(Absent::Gone)
            };
            sweep(&host, Driver::Qemu, HashSet::new(), look, |_, _| told.set(true)).unwrap();
            let kept = host.under_root(path).exists();
            assert_eq!((kept, told.get(), State::known(&host, &uuid).unwrap().is_some()), (starts, !starts, starts));
        }
    }
}
