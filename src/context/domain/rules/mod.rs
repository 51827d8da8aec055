//! Rules by which a host adapts a VM that comes to itself: which bridge its interfaces are on, where its disks lie.
//!
//! All or nothing: every rule that fits is applied, and the result reads as meant with every other byte as it was, or the VM
//! stays as it came. Only the values that it came with are looked at, and each is changed once: there are no chains.

mod attachment;
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

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, ensure};
use minijinja::value::Serde;
use minijinja::{Value, context};

use self::edit::Changed;
pub(crate) use self::edit::Edit;
#[cfg(feature = "libvirt")]
pub(crate) use self::edit::is_same;
use self::file::{Action, NewNetwork, Rule};
use self::pattern::Pattern;
use self::place::Place;
use self::spots::{Device, Spot, Spots};
use super::Domain;
use super::is_image_name;
use crate::context::disc::budget::{Budget, Limits};
use crate::context::disc::facts::Facts;
use crate::context::disc::marker::Reason;
use crate::context::disc::template::Templates;

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
    let live = live_spots(occasion).map_err(of_any)?;
    let budget = Budget::new(occasion.limits);
    let mut deciding = Deciding { domain, files, occasion, live, site, facts: None, budget };
    let fitting = deciding.fitting(&spots);
    if fitting.is_empty() {
        return Ok(None);
    }
    let required = fitting.iter().any(|fit| fit.file.required);
    if required {
        deciding.site.is_required();
    }
    let fault = |error| if required { Fault::Refused(error) } else { Fault::Dropped(error) };
    if let Some(why) = deciding.refusal(&spots, &fitting).map_err(fault)? {
        return Err(Fault::Refused(why));
    }
    deciding.apply(&spots, &fitting).map_err(fault)
}

/// The spots of the VM that runs, of whose definition it is.
fn live_spots(occasion: &Occasion) -> Result<Option<Spots>> {
    let To::Definition { live: Some(live), .. } = occasion.to else { return Ok(None) };
    Spots::read(live, occasion.context_drives).map(Some)
}

/// What becomes of a spot that a rule fits.
enum Fate {
    /// The rule does not count for it.
    Stays,
    /// It is right as it is.
    Fits,
    Becomes(String),
    Goes,
}

/// A rule that fits a spot, and what the stars stand for there.
struct Fit<'a> {
    spot: &'a Spot,
    file: &'a RuleFile,
    rule: &'a Rule,
    action: &'a Action,
    stars: Vec<&'a str>,
}

struct Deciding<'a, 's> {
    domain: &'a Domain<'a>,
    files: &'a [&'a RuleFile],
    occasion: &'a Occasion<'a>,
    /// The spots of the VM that runs, if it is its definition that is changed.
    live: Option<Spots>,
    site: &'s mut dyn Site,
    /// The facts, once a template has asked for them.
    facts: Option<Value>,
    budget: Budget,
}

impl<'a> Deciding<'a, '_> {
    /// For each spot the first rule that fits it. What is a part of a spot that a rule fits is not looked at.
    fn fitting(&self, spots: &'a Spots) -> Vec<Fit<'a>> {
        let mut found: Vec<Fit> = Vec::new();
        for spot in &spots.spots {
            let is_part = |fit: &Fit| fit.spot.device == spot.device && spot.place.is_part_of(fit.spot.place);
            if found.iter().rev().take_while(|fit| fit.spot.device == spot.device).any(is_part) {
                continue;
            }
            let device = spots.devices.get(spot.device);
            found.extend(device.and_then(|device| self.fit(spot, device)));
        }
        found
    }

    fn fit(&self, spot: &'a Spot, device: &Device) -> Option<Fit<'a>> {
        let (file, rule, number, stars) = self.first(spot.place, &spot.value, device, self.occasion.reason)?;
        let (_, action) = rule.cases.get(number)?;
        Some(Fit { spot, file, rule, action, stars })
    }

    /// The first rule that fits a value at a place, the number of its case, and what the stars stand for.
    fn first<'v>(
        &self,
        place: Place,
        value: &'v str,
        device: &Device,
        reason: Reason,
    ) -> Option<(&'a RuleFile, &'a Rule, usize, Vec<&'v str>)> {
        self.rules().filter(|(_, rule)| rule.place == place && self.is_when(rule, device, reason)).find_map(
            |(file, rule)| {
                let stars = |(number, (from, _)): (usize, &(Pattern, Action))| Some((number, from.fit(value)?));
                let (number, stars) = rule.cases.iter().enumerate().find_map(stars)?;
                Some((file, rule, number, stars))
            },
        )
    }

    fn rules(&self) -> impl Iterator<Item = (&'a RuleFile, &'a Rule)> + use<'a> {
        let files: &'a [&'a RuleFile] = self.files;
        files.iter().flat_map(|file| file.rules.iter().map(move |rule| (*file, rule)))
    }

    fn is_when(&self, rule: &Rule, device: &Device, reason: Reason) -> bool {
        let fits = |pattern: &Option<Pattern>, value: Option<&str>| {
            pattern.as_ref().is_none_or(|pattern| value.is_some_and(|value| pattern.fit(value).is_some()))
        };
        let when = &rule.when;
        let mac = device.mac.as_deref().map(str::to_ascii_lowercase);
        when.reason.is_none_or(|wanted| wanted == reason)
            && fits(&when.domain, Some(&self.domain.name))
            && fits(&when.uuid, Some(&self.domain.uuid.to_string()))
            && fits(&when.mac, mac.as_deref())
            && fits(&when.target, device.target.as_deref())
            && fits(&when.serial, device.serial.as_deref())
            && fits(&when.alias, device.alias.as_deref())
    }

    /// Why the VM is refused, if a rule says so.
    fn refusal(&mut self, spots: &Spots, fitting: &[Fit<'a>]) -> Result<Option<Error>> {
        let counts = |rule: &Rule| match self.occasion.to {
            To::Arriving => true,
            // A VM that was saved here must come back here, whatever it is on: one that a rule is to keep out then, it names.
            To::Restored => rule.when.reason.is_some(),
            To::Definition { .. } => false,
        };
        let refusing = fitting.iter().find_map(|fit| match fit.action {
            Action::Refuse(why) if counts(fit.rule) => Some((fit, why)),
            _ => None,
        });
        if let Some((fit, why)) = refusing {
            let why = self.render(spots, fit, why)?;
            return Ok(Some(Error::msg(why).context(rule_name(fit))));
        }
        Ok(None)
    }

    fn apply(&mut self, spots: &'a Spots, fitting: &[Fit<'a>]) -> Result<Option<Rewritten>> {
        let mut changes: Vec<Changed> = Vec::new();
        let (mut told, mut looks, mut moved) = (Vec::new(), Vec::new(), Vec::new());
        for fit in fitting {
            let name = || format!("{}: {} {:?}", rule_name(fit), fit.rule.place.row().name, fit.spot.value);
            let new = match self.fate(spots, fit).with_context(name)? {
                Fate::Stays => continue,
                Fate::Fits => {
                    self.moves(spots, fit, &mut moved);
                    continue;
                }
                Fate::Becomes(new) => Some(new),
                Fate::Goes => None,
            };
            self.moves(spots, fit, &mut moved);
            if let Some(new) = new.as_deref() {
                check(fit.rule.place, new).with_context(name)?;
                looks.extend(look(fit, new).filter(|_| fit.rule.must_exist));
            }
            let device = spots.label(fit.spot).to_owned();
            let (place, old, rule) = (fit.rule.place.row().name, fit.spot.value.clone(), rule_name(fit));
            let edits = edit::edits(fit.spot, new.as_deref(), self.live_port(spots, fit.spot)).with_context(name)?;
            told.push(Change { place, device, old, new: new.clone(), rule, edits, persist: fit.file.persist });
            changes.push((fit.spot, new));
        }
        if changes.is_empty() {
            let xml = self.domain.xml.to_owned();
            return Ok((!moved.is_empty()).then_some(Rewritten { xml, changes: told, moved }));
        }
        check_apart(spots, &changes)?;
        self.site.check(&looks)?;
        let edits = told.iter().flat_map(|change: &Change| change.edits.iter().cloned()).collect();
        let xml = edit::edited(self.domain.xml, spots, (&changes, edits), self.occasion.context_drives)?;
        Ok(Some(Rewritten { xml, changes: told, moved }))
    }

    fn fate(&mut self, spots: &'a Spots, fit: &Fit<'a>) -> Result<Fate> {
        if self.stays(spots, fit)? {
            return Ok(Fate::Stays);
        }
        let new = match fit.action {
            Action::Remove => return Ok(Fate::Goes),
            Action::Refuse(_) => return Ok(Fate::Stays),
            Action::Stars(new) => new.fill(&fit.stars),
            Action::Template(source) => self.render(spots, fit, source)?,
        };
        let new = match fit.rule.place {
            Place::InterfaceAttachment => attachment::normal(&new)?,
            Place::DiskHosts => hosts::normal(&new)?,
            _ => new,
        };
        let by_hand = matches!(self.occasion.to, To::Definition { cause: Cause::ByHand, .. });
        if by_hand && self.live_value(spots, fit.spot) != Some(&new) && self.is_result(spots, fit)? {
            return Ok(Fate::Stays);
        }
        Ok(if new == fit.spot.value { Fate::Fits } else { Fate::Becomes(new) })
    }

    /// Whether the spot is left as it is, whatever the rule says.
    fn stays(&mut self, spots: &'a Spots, fit: &Fit<'a>) -> Result<bool> {
        match self.occasion.to {
            To::Arriving => Ok(false),
            To::Restored => Ok(fit.rule.when.reason.is_none() && self.is_result(spots, fit)?),
            To::Definition { .. } if !fit.file.persist => Ok(true),
            To::Definition { cause: Cause::ByHand, .. } => Ok(false),
            To::Definition { cause, .. } => Ok(self.live_value(spots, fit.spot) == Some(&fit.spot.value)
                || (cause == Cause::Restored && self.is_result(spots, fit)?)),
        }
    }

    /// What the running VM has at a spot of its definition.
    fn live_value(&self, spots: &Spots, spot: &Spot) -> Option<&str> {
        self.live.as_ref()?.like(spots, spot).map(|live| live.value.as_str())
    }

    /// The name by which Open vSwitch knows the running VM's port: of one that has none libvirt makes up another each time that
    /// it reads a definition.
    fn live_port(&self, spots: &Spots, spot: &Spot) -> Option<&str> {
        let live = self.live.as_ref()?;
        let of_device = |port: &&Spot| port.place == Place::InterfacePortid && live.label(port) == spots.label(spot);
        live.spots.iter().find(of_device).map(|port| port.value.as_str())
    }

    /// Notes an interface of whose network the guest is to be told.
    fn moves(&self, spots: &Spots, fit: &Fit, moved: &mut Vec<Moved>) {
        let by_link = match fit.rule.new_network {
            _ if matches!(self.occasion.to, To::Definition { .. }) => return,
            NewNetwork::No => return,
            NewNetwork::Disc => false,
            NewNetwork::Link => true,
        };
        let Some(mac) = spots.devices.get(fit.spot.device).and_then(|device| device.mac.as_deref()) else { return };
        let mac = mac.to_ascii_lowercase();
        match moved.iter_mut().find(|moved| moved.mac == mac) {
            Some(moved) => moved.by_link |= by_link,
            None => moved.push(Moved { mac, by_link }),
        }
    }

    /// Whether the spot's value, or that of what it is a part of or made of, is what the rules of this host give when a VM arrives:
    /// of one that was saved here it must not be changed again, or back. Where that cannot be known it is taken for one.
    fn is_result(&mut self, spots: &'a Spots, fit: &Fit<'a>) -> Result<bool> {
        let spot = fit.spot;
        let with_it = |other: &&Spot| other.place.is_part_of(spot.place) || spot.place.is_part_of(other.place);
        let others = spots.spots.iter().filter(|other| other.device == spot.device).filter(with_it);
        for spot in [spot].into_iter().chain(others) {
            if self.is_given(spots, spot)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the rules of this host give this value at this very place.
    fn is_given(&mut self, spots: &'a Spots, spot: &'a Spot) -> Result<bool> {
        let Some(device) = spots.devices.get(spot.device) else { return Ok(true) };
        for (file, rule) in self.rules() {
            if rule.place != spot.place || !self.is_when(rule, device, Reason::Migrate) {
                continue;
            }
            for (number, (from, action)) in rule.cases.iter().enumerate() {
                let is_result = match action {
                    Action::Stars(new) => new.fit(&spot.value).is_some_and(|stars| {
                        // Some old value gives it, unless an earlier rule or case is the one for that.
                        let old = (stars.len() == from.stars()).then(|| from.fill(&stars));
                        old.is_none_or(|old| {
                            let first = self.first(rule.place, &old, device, Reason::Migrate);
                            first.is_some_and(|(_, first, case, _)| std::ptr::eq(first, rule) && case == number)
                        })
                    }),
                    // What it made of another value it would make of this one as well.
                    Action::Template(source) if mentions(source, "old") || mentions(source, "star") => true,
                    Action::Template(source) => {
                        let other = Fit { spot, file, rule, action, stars: Vec::new() };
                        self.render(spots, &other, source)? == spot.value
                    }
                    Action::Remove | Action::Refuse(_) => false,
                };
                if is_result {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn render(&mut self, spots: &Spots, fit: &Fit<'a>, source: &str) -> Result<String> {
        let facts = match &self.facts {
            Some(facts) => facts.clone(),
            None => self.facts.insert(Value::from(Serde(self.site.facts()?))).clone(),
        };
        let device = spots.devices.get(fit.spot.device);
        let of_device = |value: fn(&Device) -> Option<&String>| device.and_then(value).cloned();
        let values = context! {
            facts,
            old => fit.spot.value.clone(),
            star => fit.stars.iter().map(|star| (*star).to_owned()).collect::<Vec<_>>(),
            device => context! {
                mac => of_device(|device| device.mac.as_ref()),
                target => of_device(|device| device.target.as_ref()),
                serial => of_device(|device| device.serial.as_ref()),
                alias => of_device(|device| device.alias.as_ref()),
            },
            host => context! { name => self.occasion.host },
            domain => context! { name => self.domain.name.clone(), uuid => self.domain.uuid.to_string() },
            event => context! { reason => self.occasion.reason.to_string() },
        };
        let rendered = Templates::new(values)?.render("in it", source.as_bytes(), &mut self.budget)?;
        Ok(String::from_utf8(rendered)?)
    }
}

/// Whether a template has this word in it, and not just its letters in a longer one.
fn mentions(template: &str, word: &str) -> bool {
    template.split(|c: char| !c.is_alphanumeric() && c != '_').any(|there| there == word)
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
fn look(fit: &Fit, new: &str) -> Option<Look> {
    let who = || format!("{}: {} {:?} -> {new:?}", rule_name(fit), fit.rule.place.row().name, fit.spot.value);
    look_for(fit.rule.place, new).map(|look| Look { who: who(), ..look })
}

/// The same, for whomever it is.
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

/// Two disks, logs or sockets must not come to share a file, nor one of them a context disc's.
fn check_apart(spots: &Spots, changes: &[Changed]) -> Result<()> {
    // As the kernel takes them: `//` and `/./` are one `/`.
    let plain = |value: &str| Path::new(value).components().collect::<PathBuf>();
    let mut taken: BTreeMap<PathBuf, &str> = BTreeMap::new();
    for spot in spots.spots.iter().filter(|spot| spot.place.row().exclusive) {
        let change = changes.iter().find(|(changed, _)| std::ptr::eq(*changed, spot)).map(|(_, new)| new.as_deref());
        let Some(value) = change.unwrap_or(Some(&spot.value)) else { continue };
        let is_image = || plain(value).file_name().and_then(OsStr::to_str).is_some_and(is_image_name);
        ensure!(
            change.is_none() || !is_image(),
            "{value:?} is the place of a context disc, and nothing else may be there"
        );
        let before = taken.insert(plain(value), &spot.value);
        ensure!(
            before.is_none_or(|before| plain(before) == plain(&spot.value)),
            "{:?} and {:?} would both become {value:?}",
            before.unwrap_or_default(),
            spot.value
        );
    }
    Ok(())
}

fn rule_name(fit: &Fit) -> String {
    format!("{}, line {}", fit.file.name, fit.rule.line)
}
