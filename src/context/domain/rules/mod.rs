//! Rules by which a host adapts a VM that comes to itself: which bridge its interfaces are on, where its disks lie.
//!
//! All or nothing: every rule that fits is applied, and the result reads as meant with every other byte as it was, or the VM
//! stays as it came. Only the values that it came with are looked at, and each is changed once: there are no chains.

mod apart;
mod attachment;
mod decide;
mod edit;
mod file;
mod hosts;
#[cfg(feature = "libvirt")]
mod lint;
mod pattern;
mod place;
mod spots;
#[cfg(test)]
mod tests;
mod value;

pub(crate) use self::file::{RuleFile, Whom};
#[cfg(feature = "libvirt")]
pub(crate) use self::lint::{Again, Of, Then, changed_again, hides, of, own_names};
pub(crate) use self::place::Needs;
pub(super) use self::spots::wanted;

use std::fmt;
use std::path::PathBuf;

use anyhow::{Error, Result};

use self::decide::Deciding;
pub(crate) use self::edit::Edit;
#[cfg(feature = "libvirt")]
pub(crate) use self::edit::is_same;
use self::place::Place;
use self::spots::Spots;
use super::{Domain, WithoutXml};
use crate::context::disc::budget::Limits;
use crate::context::disc::facts::Facts;
use crate::context::disc::marker::Reason;

/// What the rules are applied for, and with.
pub(crate) struct Occasion<'a> {
    pub reason: Reason,
    pub to: To<'a>,
    /// This host's name.
    pub host: &'a str,
    /// The targets of drives that hold a context disc, which are nobody's but ours.
    pub context_drives: &'a [String],
    pub limits: Limits,
}

/// What they are applied to, which decides what stays as it is whatever a rule says.
pub(crate) enum To<'a> {
    /// A VM that comes with the names of another host.
    Arriving,
    /// A VM that is restored and may have been saved here: what rules give stays, but for a rule that names this occasion.
    Restored,
    /// The definition of a VM that is here, and that VM's XML if it runs.
    #[cfg_attr(not(feature = "libvirt"), expect(dead_code, reason = "the hook is not shown it"))]
    Definition { live: Option<&'a str>, cause: Cause },
}

/// Why a definition is changed.
#[cfg_attr(not(feature = "libvirt"), expect(dead_code, reason = "the hook is not shown it"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It has come with its VM: what the running VM has at the same spot stays.
    Arrived,
    /// Its VM was restored, and may have been defined here: what rules give stays as well.
    Restored,
    /// A person wants it: what rules give stays, unless the running VM has what the rule makes of it.
    ByHand,
}

impl To<'_> {
    /// A VM that comes for `reason`.
    pub(crate) fn coming(reason: Reason) -> To<'static> {
        if reason == Reason::Restore { To::Restored } else { To::Arriving }
    }
}

/// What rules ask of this host.
pub(crate) trait Site {
    /// The facts of this host's own layers, never of the VM's.
    fn facts(&mut self) -> Result<Facts>;

    /// # Errors
    /// When one of these is not on this host: with the first.
    fn check(&mut self, looks: &[Look]) -> Result<()>;

    /// Said before the first rule is applied, if one that has to be fits.
    fn is_required(&mut self);
}

/// What has to be on this host for a new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look {
    pub needs: Needs,
    /// A path, or the name of a network interface.
    pub what: PathBuf,
    /// Which rule wants it, and for what.
    pub who: String,
}

/// What was changed: from what, and to what if it was not taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub place: &'static str,
    pub device: String,
    pub old: String,
    pub new: Option<String>,
    /// The file and line of the rule.
    pub rule: String,
    pub edits: Vec<Edit>,
    /// Whether the persistent definition is to be changed in the same way.
    pub persist: bool,
}

/// A domain's XML as the rules make it.
#[derive(Debug)]
pub(crate) struct Rewritten {
    /// As it came, if there are no changes.
    pub xml: String,
    /// What is read of the XML that was changed.
    pub domain: Option<WithoutXml>,
    pub changes: Vec<Change>,
    /// The interfaces that are on another network now, of which the guest is to be told.
    pub moved: Vec<Moved>,
}

/// An interface on a new network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    pub mac: String,
    /// Whether its link goes down and up.
    pub by_link: bool,
}

impl fmt::Display for Change {
    /// For one line, without the rule.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Change { place, device, old, new, .. } = self;
        write!(f, "{device}: {place} {old:?} ")?;
        match new {
            Some(new) => write!(f, "-> {new:?}"),
            None => f.write_str("taken out"),
        }
    }
}

/// The changes with their rules on one line.
pub(crate) fn told(changes: &[Change]) -> String {
    changes.iter().map(|change| format!("{change} ({})", change.rule)).collect::<Vec<_>>().join("; ")
}

/// Why no rule was applied.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The VM goes on as it came.
    Dropped(Error),
    /// The administrator wants it refused.
    Refused(Error),
}

/// The domain's XML with the rules of `files`, which come in their order, applied; `None` where that comes to nothing.
///
/// # Errors
/// When one that fits cannot be applied: then none is.
pub(crate) fn rewrite(
    domain: &Domain,
    files: &[&RuleFile],
    occasion: &Occasion,
    site: &mut dyn Site,
) -> Result<Option<Rewritten>, Fault> {
    let of_any =
        |error| if files.iter().any(|file| file.required) { Fault::Refused(error) } else { Fault::Dropped(error) };
    let spots = Spots::of(domain, occasion.context_drives).map_err(of_any)?;
    let mut deciding = Deciding::begin(domain, files, occasion, site).map_err(of_any)?;
    let fitting = deciding.fitting(&spots);
    if fitting.is_empty() {
        return Ok(None);
    }
    let required = fitting.iter().any(|fit| fit.file.required);
    if required {
        deciding.is_required();
    }
    let fault = |error| if required { Fault::Refused(error) } else { Fault::Dropped(error) };
    if let Some(why) = deciding.refusal(&spots, &fitting).map_err(fault)? {
        return Err(Fault::Refused(why));
    }
    deciding.apply(&spots, &fitting).map_err(fault)
}

/// Whether a value is one for a place.
fn check(place: Place, value: &str) -> Result<()> {
    match place {
        Place::InterfaceAttachment => attachment::normal(value).map(drop),
        Place::DiskHosts => hosts::normal(value).map(drop),
        _ => place.row().kind.check(value),
    }
}

/// What has to be there for a new value.
fn look_for(place: Place, new: &str) -> Option<Look> {
    let look = |needs, what: &str| Look { needs, what: PathBuf::from(what), who: String::new() };
    match place.row().needs {
        Needs::Nothing if place == Place::InterfaceAttachment => {
            attachment::device(new).map(|device| look(Needs::Device, &device))
        }
        Needs::Nothing => None,
        needs => Some(look(needs, new)),
    }
}
