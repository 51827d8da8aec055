//! Which VMs this host's administrator has selected: by the rules of config.toml, but for those that he has taken out again.

#[cfg(feature = "libvirt")]
use std::fs;

use anyhow::Result;

use super::config::Config;
#[cfg(feature = "libvirt")]
use super::file;
use super::paths::Host;
use crate::context::domain::Domain;
use crate::context::domain::driver::Machine;
#[cfg(feature = "libvirt")]
use crate::context::domain::request::Request;
use crate::context::domain::select::{Choice, Number, Rule};
use crate::context::uuid::Uuid;

/// A rule that selects a VM.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selected<'c> {
    pub number: Number,
    pub rule: &'c Rule,
}

/// The rule by which the VM takes part though it has no element of ours, if one does. Not of Xen's, whose running VMs take no
/// new drive.
///
/// # Errors
/// When the VM's XML cannot be read.
pub(crate) fn selected<'c>(host: &Host, config: &'c Config, domain: &Domain) -> Result<Option<Selected<'c>>> {
    Ok(fitting(config, domain)?.filter(|_| !domain.takes_part() && !is_taken_out(host, &domain.uuid)))
}

/// The rule that fits the VM, whether or not it has an element of ours, or was taken out.
///
/// # Errors
/// When the VM's XML cannot be read.
pub(crate) fn fitting<'c>(config: &'c Config, domain: &Domain) -> Result<Option<Selected<'c>>> {
    if config.select.is_empty() || domain.machine != Machine::Qemu {
        return Ok(None);
    }
    let fits = config.select.first_that_fits(domain)?.filter(|(_, rule)| rule.drive != Choice::None);
    Ok(fits.map(|(number, rule)| Selected { number, rule }))
}

/// The rule by which a VM takes part of which libvirt tells this: how it runs, or else how it is defined. Of one whose XML cannot
/// be read that is told elsewhere.
#[cfg(feature = "libvirt")]
pub(crate) fn rule_of<'c>(
    host: &Host,
    config: &'c Config,
    live: Option<&str>,
    definition: Option<&str>,
) -> Option<Selected<'c>> {
    let domain = Domain::read(live.or(definition).filter(|_| !config.select.is_empty())?).ok()?;
    selected(host, config, &domain).ok()?
}

/// What the VM asks for: in its own element, or by the rule that selects it.
///
/// # Errors
/// When its element is faulty.
#[cfg(feature = "libvirt")]
pub(crate) fn request(host: &Host, config: &Config, domain: &Domain) -> Result<Request> {
    if let Some(request) = domain.request()? {
        return Ok(request.clone());
    }
    Ok(selected(host, config, domain)?.map(|selected| selected.rule.request(None)).unwrap_or_default())
}

/// Whether the administrator has taken this VM out, whatever rule fits it.
pub(crate) fn is_taken_out(host: &Host, uuid: &Uuid) -> bool {
    host.unselected_file(uuid).symlink_metadata().is_ok()
}

/// Whether this host's configuration has a fault, and may have rules that do not count for that.
#[cfg(feature = "libvirt")]
pub(crate) fn is_unknown(host: &Host) -> bool {
    let mentions_rules = || file::read_trusted_text(&host.config_file()).is_ok_and(|text| text.contains("select"));
    Config::load_exactly(host).is_err() && mentions_rules()
}

/// Takes the VM out, until [`put_back`].
#[cfg(feature = "libvirt")]
pub(crate) fn take_out(host: &Host, uuid: &Uuid) -> Result<()> {
    let path = host.unselected_file(uuid);
    file::make_dir(path.parent().unwrap_or(&host.config_dir()), 0o755)?;
    let why = "# No rule of config.toml selects this VM while this file is here. See virt-recontext(8).\n";
    file::replace_text(&path, why)
}

/// Undoes [`take_out`].
#[cfg(feature = "libvirt")]
pub(crate) fn put_back(host: &Host, uuid: &Uuid) -> Result<()> {
    let path = host.unselected_file(uuid);
    if !is_taken_out(host, uuid) {
        return Ok(());
    }
    file::remove(&path)?;
    // If nothing else is in it: content for this VM.
    let _stays = path.parent().map(fs::remove_dir);
    Ok(())
}
