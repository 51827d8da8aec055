//! What a VM needs to go on when its disc could not be made, whatever the reason: the file that its XML names may be
//! missing, and libvirt would then refuse to start it or let it in.

use std::path::Path;

use anyhow::{Context, Result};

use super::operation::{Fallback, Operation};
use super::reply::Reply;
use crate::context::disc::marker::Reason;
use crate::context::domain::Domain;
use crate::context::domain::drive::Drive;
use crate::context::domain::driver::Driver;
use crate::context::domain::request::Request;
use crate::context::domain::rewrite;
use crate::host::config::Config;
use crate::host::disc::Layers;
use crate::host::paths::Host;
use crate::host::vm::state::About;
use crate::host::vm::{Vm, image};

/// Lets the VM go on without its disc: one that arrives or is restored with an empty drive, one that starts with an empty
/// disc (there, nothing but a file helps). Drives whose file is there, or may be missing, are left alone. Xen insists on
/// the file: a VM that arrives there is given this host's path, and at the `prepare` that follows an empty disc lies there.
pub(super) fn fall_back(host: &Host, config: &Config, operation: Operation, domain: &Domain) -> Result<Reply> {
    let fallback = operation.row().fallback;
    if fallback == Fallback::Nothing {
        return Ok(Reply::Nothing);
    }
    let is_ours = |path: &str| {
        image::is_called_ours(path, &domain.uuid) || image::may_be_made_at(config, Path::new(path), &domain.uuid)
    };
    let is_missing = |path: &str| is_ours(path) && !image::exists(host, Path::new(path));
    let is_in_need = |drive: &&Drive| !drive.may_be_missing() && drive.image().is_some_and(is_missing);
    let Some(drive) = domain.drives.iter().find(is_in_need) else { return Ok(Reply::Nothing) };
    if fallback == Fallback::EmptyDisc {
        return empty_disc(host, config, domain, drive).map(|()| Reply::Nothing);
    }
    let answer = match domain.machine.driver() {
        Driver::Qemu => rewrite::may_be_missing(domain, drive)?,
        Driver::Xen => {
            let path = image::path(config, &domain.uuid);
            rewrite::with_disc(domain, drive, path.to_str().context("image_dir is not UTF-8")?)?
        }
    };
    Ok(answer.map_or(Reply::Nothing, Reply::Answer))
}

/// Puts a disc with nothing but its marker where the drive looks for it. Whatever the VM asks for, it is neither a seed
/// of cloud-init nor called like one: an empty one would make a guest at its first boot believe that it has no settings.
fn empty_disc(host: &Host, config: &Config, domain: &Domain, drive: &Drive) -> Result<()> {
    let path = drive.image().map(Path::new).filter(|path| image::may_be_made_at(config, path, &domain.uuid));
    let path = path.context("the file in the drive is missing, and its path is not one where discs are made")?;
    let vm = Vm::hold(host, &domain.uuid)?;
    let request = Request::default();
    let disc = Layers::none(host, config, domain, &request).unsigned().make(&vm, path, Reason::Start)?;
    let about = About::coming(&domain.name, domain.machine.driver(), Reason::Start);
    vm.has_empty_disc(about, &disc, "its disc could not be made, so it was given an empty one; the log says why")
}
