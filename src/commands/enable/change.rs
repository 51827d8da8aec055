//! What `enable` changes in a VM's XML: planned whole, before the first change, and then written.

use anyhow::{Context, Result, bail, ensure};

use super::Enable;
use crate::context::domain::Domain;
use crate::context::domain::drive::{Drive, Medium};
use crate::context::domain::driver::Device;
use crate::context::domain::new_drive::{self, Plan, Wanted};
use crate::context::domain::plug;
use crate::context::domain::request::Request;
use crate::libvirt::domain::{Handle, Scope};

/// The VM as libvirt tells of it.
pub(super) struct Found<'x> {
    /// Its definition; of one that has none, the same as `live`.
    pub defined: Domain<'x>,
    pub live: Option<Domain<'x>>,
    pub persistent: bool,
    /// Whether libvirt can plug a drive into it.
    pub can_plug: bool,
}

pub(super) struct Change<'f, 'x> {
    found: &'f Found<'x>,
    plan: Plan,
    pub request: Request,
    /// The drives of the definition that have the disc and are to have it no more.
    pub left: Vec<&'f Drive>,
}

impl<'f, 'x> Change<'f, 'x> {
    /// Plans the drive and the element for the disc at `path`.
    ///
    /// # Errors
    /// When the VM cannot have them, or something would be lost.
    pub(super) fn plan(found: &'f Found<'x>, options: &Enable, path: &str) -> Result<Change<'f, 'x>> {
        let Found { defined, live, persistent, can_plug } = found;
        let request = match defined.request()? {
            Some(request) => Some(request),
            // A host's rule may have written it there alone.
            None => live.as_ref().map(Domain::request).transpose()?.flatten(),
        };
        let request = request.cloned().unwrap_or_default();
        if let Some(unknown) = request.unknown.told() {
            bail!(
                "{unknown}; enable would lose it. Use the version of virt-recontext that wrote it, or begin with disable, \
                 which removes the whole element, its facts and files too"
            );
        }
        let device = if options.disk { Device::Disk } else { Device::Cdrom };
        let wanted = Wanted {
            target: options.target.as_deref(),
            // Whoever wants a disk from now on does not want the drive from before.
            before: request.target.as_deref().filter(|_| !options.disk),
            device,
            path,
            replace: options.replace,
            plug: *can_plug,
        };
        let plan = new_drive::plan(defined, live.as_ref(), &wanted)?;
        if let (Plan::Add(target, _), false, Some(live)) = (&plan, *persistent, live) {
            found.check_can_be_plugged(live, target, path)?;
        }
        let target = plan.target();
        let replaced = match defined.somebodys_medium(target, path) {
            Some(Medium::File(theirs)) if *persistent => Some(theirs.to_owned()),
            _ => kept_for(defined, &request, target)?,
        };
        let request = Request {
            target: Some(target.to_owned()),
            replaced,
            format: options.format.or(request.format),
            label: options.label.clone().or(request.label),
            ..request
        };
        let has_disc = |drive: &&Drive| *persistent && drive.device == Device::Cdrom && drive.target != target;
        let left = defined.drives_with_disc().filter(has_disc).collect();
        Ok(Change { found, plan, request, left })
    }

    pub(super) fn target(&self) -> &str {
        self.plan.target()
    }

    /// Writes all of it, the element last: with that the VM takes part.
    pub(super) fn write(&self, handle: &Handle) -> Result<()> {
        let Found { defined, live, persistent, .. } = self.found;
        let (name, target) = (&defined.name, self.target());
        if *persistent {
            let doing = || format!("giving the definition of {name} the drive {target} with the disc");
            match &self.plan {
                Plan::Ready(_) => {}
                Plan::Change(_, disk) => handle.update_device(disk, Scope::Config, false).with_context(doing)?,
                Plan::Add(_, devices) => devices
                    .iter()
                    .try_for_each(|device| handle.add_device(device, Scope::Config))
                    .with_context(doing)?,
            }
        }
        for drive in &self.left {
            let doing = || format!("emptying the drive {} in the definition of {name}", drive.target);
            let disk = new_drive::given_back(defined, drive, None)?;
            handle.update_device(&disk, Scope::Config, false).with_context(doing)?;
        }
        let doing = || match self.was() {
            Some(was) => format!("writing the VM's metadata; before that, the drive {target} had {was}"),
            None => "writing the VM's metadata".to_owned(),
        };
        let scopes = [persistent.then_some(Scope::Config), live.as_ref().map(|_| Scope::Live)];
        let scopes: Vec<Scope> = scopes.into_iter().flatten().collect();
        handle.set_request(Some(&self.request.to_xml()), &scopes).with_context(doing)
    }

    /// What is done.
    pub(super) fn outcome(&self) -> String {
        let Found { live, persistent, .. } = self.found;
        let target = self.target();
        let how = match (&self.plan, *persistent) {
            (_, false) => format!(" with the drive {target} until it stops; it is not persistent"),
            // What becomes of it in the running VM is told next.
            (Plan::Add(..), true) if live.is_some() => format!("; its definition has the new drive {target}"),
            (Plan::Ready(_), true) => format!(", with the drive {target}"),
            (Plan::Change(..), true) => format!("; the drive {target} holds the disc from its next start on"),
            (Plan::Add(..), true) => format!("; it has the new drive {target} with the disc from its next start on"),
        };
        let back = self.was().map(|was| format!(", in place of {was}, which disable puts back"));
        format!("takes part{how}{}", back.unwrap_or_default())
    }

    /// What would be done.
    pub(super) fn would_be_done(&self, path: &str) -> String {
        let Found { defined, live, persistent, .. } = self.found;
        let (Plan::Add(target, _), Some(live)) = (&self.plan, live) else { return self.outcome() };
        match self.found.can_be_plugged(live, persistent.then_some(defined), target, path) {
            Ok(()) => format!("takes part; the new drive {target} would be plugged in now"),
            Err(why) => format!("takes part; it would have the new drive {target} from its next start on: {why:#}"),
        }
    }

    /// What was in the drive, and goes back there one day.
    fn was(&self) -> Option<Medium<'_>> {
        self.request.replaced.as_deref().map(Medium::File)
    }
}

impl Found<'_> {
    /// Of a VM that has no definition, which could have the drive instead.
    fn check_can_be_plugged(&self, live: &Domain, target: &str, path: &str) -> Result<()> {
        let name = &live.name;
        let no_drive = || format!("the VM {name} has no drive {target}, is not persistent, and none can be plugged in");
        self.can_be_plugged(live, None, target, path).with_context(no_drive)
    }

    /// Whether the drive can be plugged in.
    ///
    /// # Errors
    /// Why it cannot.
    fn can_be_plugged(&self, live: &Domain, defined: Option<&Domain>, target: &str, path: &str) -> Result<()> {
        ensure!(self.can_plug, "this libvirt is too old");
        plug::plan(live, defined, Some(target), path)?.check_room(live)
    }
}

/// What `disable` is to put back into the drive `target`, from when the VM was enabled before.
///
/// # Errors
/// When that is to go back into another drive, in which the disc is still: there would be two to remember.
fn kept_for(defined: &Domain, request: &Request, target: &str) -> Result<Option<String>> {
    let Some((path, before)) = request.replaced.as_ref().zip(request.target.as_deref()) else { return Ok(None) };
    if before == target {
        return Ok(Some(path.clone()));
    }
    let (name, was) = (&defined.name, Medium::File(path));
    let is_there = defined.drives_with_disc().any(|drive| drive.target == before);
    ensure!(
        !is_there,
        "the drive {before} has the disc in place of {was}; put that back first, with: virt-recontext disable {name}"
    );
    Ok(None)
}
