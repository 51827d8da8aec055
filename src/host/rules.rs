//! This host's rules for VMs that come: read from `rewrite.d`, and what they ask of the host.

use std::fs;
use std::path::Path;
#[cfg(feature = "libvirt")]
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::config::Config;
use super::file;
use super::judge::{Judge, Strict};
use super::layers;
use super::left_over;
use super::paths::Host;
use super::programs::{Printed, ProgramFacts, Whose, printed_for_all};
use crate::context::disc::facts::Facts;
use crate::context::disc::marker::Reason;
use crate::context::domain::Domain;
use crate::context::domain::drive::Drive;
use crate::context::domain::rules::{self, Fault, Look, Needs, Occasion, Rewritten, RuleFile, Site, To, Whom};

const DIRECTORY: &str = "rewrite.d";

/// Whether there may be rules for a VM: asked of every VM that comes, ours or not, so it looks at no more than three names.
pub(crate) fn may_be(host: &Host, name: &str, xml: &str) -> bool {
    // A link that leads nowhere is told by whoever reads it.
    let is_there = |dir: &Path| dir.join(DIRECTORY).symlink_metadata().is_ok();
    let domains = host.config_dir().join("domains");
    let of_uuid = || {
        let (_, behind) = xml.split_once("<uuid>")?;
        Some(is_there(&domains.join(behind.get(..36)?)))
    };
    is_there(&host.config_dir()) || (domains.exists() && (is_there(&domains.join(name)) || of_uuid() == Some(true)))
}

/// The rules for a VM in their order: those for its UUID, for its name, for all; each by the name of the file. A file that
/// does not concern the VM is left out.
///
/// # Errors
/// When any cannot be read, trusted or understood: with it and the line. No rule of any file counts then.
pub(crate) fn read(host: &Host, domain: &Domain) -> Result<Vec<RuleFile>> {
    read_for(host, domain, domain.takes_part())
}

/// The same, for a VM that takes part or not, whatever its XML says.
///
/// # Errors
/// As of [`read`].
pub(crate) fn read_for(host: &Host, domain: &Domain, takes_part: bool) -> Result<Vec<RuleFile>> {
    let mut dirs = layers::dirs(host, &domain.name, &domain.uuid, &mut Strict)?;
    dirs.reverse();
    let mut files = Vec::new();
    for dir in dirs {
        files.extend(read_in(host, &dir, &mut Strict).context("nothing in rewrite.d counts until this is mended")?);
    }
    let concerns = |whom: Whom| whom == Whom::All || takes_part;
    files.retain(|file| concerns(file.vms));
    Ok(files)
}

/// The rules in `rewrite.d` of a directory.
///
/// # Errors
/// As of [`read`].
pub(crate) fn read_in(host: &Host, dir: &Path, judge: &mut dyn Judge) -> Result<Vec<RuleFile>> {
    let dir = &dir.join(DIRECTORY);
    let is_no_directory = dir.symlink_metadata().is_ok() && !dir.is_dir();
    let entries = match is_no_directory {
        true => Err(anyhow!("{} is no directory, nor a link to one", dir.display())),
        false => layers::entries(dir, left_over::in_list, &mut Vec::new(), judge),
    };
    let mut files = Vec::new();
    for entry in entries.or_else(|fault| judge.fault(fault).map(|()| Vec::new()))? {
        match read_file(host, &entry.path(), judge) {
            Ok(file) => files.push(file),
            Err(fault) => judge.fault(fault)?,
        }
    }
    Ok(files)
}

/// Applies `files` to a VM for `reason`.
///
/// # Errors
/// When a rule that fits cannot be applied: then none is.
pub(crate) fn apply(
    host: &Host,
    config: &Config,
    (domain, reason, to): (&Domain, Reason, To),
    files: &[RuleFile],
    site: &mut dyn Site,
) -> Result<Option<Rewritten>, Fault> {
    if files.is_empty() {
        return Ok(None);
    }
    let context_drives = context_drives(domain);
    let limits = config.limits.into();
    let occasion = Occasion { reason, to, host: &host.name, context_drives: &context_drives, limits };
    rules::rewrite(domain, &files.iter().collect::<Vec<_>>(), &occasion, site)
}

fn read_file(host: &Host, path: &Path, judge: &mut dyn Judge) -> Result<RuleFile> {
    let shown = path.display();
    ensure!(path.extension().is_some_and(|end| end == "toml"), "{shown}: rules are in *.toml");
    let text = file::read_checked_text(path, |metadata| judge.check(path, metadata))?;
    let name = path.strip_prefix(host.config_dir()).unwrap_or(path).display().to_string();
    RuleFile::parse(&name, &text).with_context(|| format!("reading {shown}"))
}

/// The targets of the drives that hold the VM's context disc, or are to.
pub(crate) fn context_drives(domain: &Domain) -> Vec<String> {
    let requested = domain.request().ok().flatten().and_then(|request| domain.drive(request).ok());
    let drives = requested.into_iter().chain(domain.drives_with_disc());
    drives.map(|Drive { target, .. }| target.clone()).collect()
}

/// The facts of this host's layers for the VM: of files and of host-wide programs. Those of programs that are run for each VM
/// are none: of a VM that comes for the first time they are not known.
///
/// # Errors
/// When they cannot be read, or a host-wide program has given none yet.
pub(crate) fn facts(host: &Host, config: &Config, domain: &Domain) -> Result<Facts> {
    let mut programs = HostWide(Printed { host: printed_for_all(host)?, ..Printed::default() });
    layers::facts(host, &config.limits, &domain.name, &domain.uuid, &mut programs)
}

struct HostWide(Printed);

impl ProgramFacts for HostWide {
    fn facts_of(&mut self, program: &Path, whose: Whose) -> Result<Facts> {
        match whose {
            Whose::Host => self.0.facts_of(program, whose),
            Whose::Vm => Ok(Facts::new()),
        }
    }
}

/// The first of what is looked for that is not on this host.
pub(crate) fn first_missing(host: &Host, looks: &[Look]) -> Option<usize> {
    looks.iter().position(|look| !is_there(host, look))
}

fn is_there(host: &Host, look: &Look) -> bool {
    match look.needs {
        Needs::Nothing => true,
        Needs::Device => host.network_device(&look.what).exists(),
        Needs::Itself => host.under_root(&look.what).exists(),
        Needs::Directory => {
            look.what.parent().is_some_and(|dir| fs::metadata(host.under_root(dir)).is_ok_and(|dir| dir.is_dir()))
        }
    }
}

/// # Errors
/// With what is `missing` of it.
pub(crate) fn check_there(looks: &[Look], missing: Option<usize>) -> Result<()> {
    match missing.and_then(|missing| looks.get(missing)) {
        None => Ok(()),
        Some(look) => {
            bail!(
                "{}: this host has {}; if it is right all the same: must_exist = false",
                look.who,
                self::missing(look)
            )
        }
    }
}

/// What this host has not got.
pub(crate) fn missing(look: &Look) -> String {
    let shown = look.what.display();
    match look.needs {
        Needs::Device => format!("no network interface {shown}"),
        Needs::Directory => format!("no directory {}", look.what.parent().unwrap_or(&look.what).display()),
        Needs::Itself | Needs::Nothing => format!("no {shown}"),
    }
}

/// The directories of this host in which there is a `rewrite.d`.
///
/// # Errors
/// When one cannot be looked into.
#[cfg(feature = "libvirt")]
pub(crate) fn dirs(host: &Host) -> Result<Vec<PathBuf>> {
    let domains = host.config_dir().join("domains");
    let of_vms = layers::entries(&domains, |_| false, &mut Vec::new(), &mut Strict)?;
    let dirs = of_vms.iter().map(fs::DirEntry::path).chain([host.config_dir()]);
    Ok(dirs.filter(|dir| dir.join(DIRECTORY).symlink_metadata().is_ok()).collect())
}

/// A person who looks: nobody waits, and nothing is told before it is known.
pub(crate) struct Looking<'a> {
    pub host: &'a Host,
    pub config: &'a Config,
    pub domain: &'a Domain<'a>,
}

impl Site for Looking<'_> {
    fn facts(&mut self) -> Result<Facts> {
        facts(self.host, self.config, self.domain)
    }

    fn check(&mut self, looks: &[Look]) -> Result<()> {
        check_there(looks, first_missing(self.host, looks))
    }

    fn is_required(&mut self) {}
}
