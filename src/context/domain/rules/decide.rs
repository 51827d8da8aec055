//! What becomes of each spot: which rule fits it first, whether that counts for it, and what it gives.

use anyhow::{Context, Error, Result};
use minijinja::value::Serde;
use minijinja::{Value, context};

use super::apart::check_apart;
use super::edit;
use super::file::{Action, NewNetwork, Rule};
use super::pattern::Pattern;
use super::place::Place;
use super::spots::{Changed, Device, Spot, Spots};
use super::{Cause, Change, Look, Moved, Occasion, Rewritten, RuleFile, Site, To, attachment, check, hosts, look_for};
use crate::context::disc::budget::Budget;
use crate::context::disc::marker::Reason;
use crate::context::disc::template::Templates;
use crate::context::domain::Domain;

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
pub(super) struct Fit<'a> {
    spot: &'a Spot,
    pub(super) file: &'a RuleFile,
    rule: &'a Rule,
    action: &'a Action,
    stars: Vec<&'a str>,
}

/// What is decided of one domain.
pub(super) struct Deciding<'a, 's> {
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

impl<'a, 's> Deciding<'a, 's> {
    /// # Errors
    /// When the XML of the VM that runs cannot be read.
    pub(super) fn begin(
        domain: &'a Domain<'a>,
        files: &'a [&'a RuleFile],
        occasion: &'a Occasion<'a>,
        site: &'s mut dyn Site,
    ) -> Result<Deciding<'a, 's>> {
        let live = live_spots(occasion)?;
        Ok(Deciding { domain, files, occasion, live, site, facts: None, budget: Budget::new(occasion.limits) })
    }

    pub(super) fn is_required(&mut self) {
        self.site.is_required();
    }

    /// For each spot the first rule that fits it. What is a part of a spot that a rule fits is not looked at.
    pub(super) fn fitting(&self, spots: &'a Spots) -> Vec<Fit<'a>> {
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
    pub(super) fn refusal(&mut self, spots: &Spots, fitting: &[Fit<'a>]) -> Result<Option<Error>> {
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
            let why = self.render(spots, fit, why).with_context(|| rule_name(fit))?;
            return Ok(Some(Error::msg(why).context(rule_name(fit))));
        }
        Ok(None)
    }

    pub(super) fn apply(&mut self, spots: &'a Spots, fitting: &[Fit<'a>]) -> Result<Option<Rewritten>> {
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
            return Ok((!moved.is_empty()).then_some(Rewritten { xml, domain: None, changes: told, moved }));
        }
        check_apart(spots, &changes)?;
        self.site.check(&looks)?;
        let edits = told.iter().flat_map(|change: &Change| change.edits.iter().cloned()).collect();
        let (xml, domain) = edit::edited(self.domain.xml, spots, (&changes, edits), self.occasion.context_drives)?;
        Ok(Some(Rewritten { xml, domain: Some(domain), changes: told, moved }))
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
            // Of what the running VM has not it cannot be known whether it has been changed already.
            To::Definition { cause, .. } => match self.live_value(spots, fit.spot) {
                Some(live) if live == fit.spot.value => Ok(true),
                Some(_) if cause == Cause::Arrived => Ok(false),
                _ => self.is_result(spots, fit),
            },
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
                    Action::Template(source) if mentions(source, "old") || mentions(source, "star") => {
                        may_give(source, &spot.value)
                    }
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

/// Whether a template may give this value: what stands around its expressions is in it.
fn may_give(template: &str, value: &str) -> bool {
    if template.contains("{%") || template.contains("{#") {
        return true;
    }
    let (mut pattern, mut rest) = (String::new(), template);
    while let Some((before, (_, behind))) =
        rest.split_once("{{").and_then(|(before, inside)| Some((before, inside.split_once("}}")?)))
    {
        pattern.extend([before, "*"]);
        rest = behind;
    }
    pattern.push_str(rest);
    Pattern::new(&pattern).fit(value).is_some()
}

/// Whether a template has this word in it, and not just its letters in a longer one.
fn mentions(template: &str, word: &str) -> bool {
    template.split(|c: char| !c.is_alphanumeric() && c != '_').any(|there| there == word)
}

/// What has to be there for a new value.
fn look(fit: &Fit, new: &str) -> Option<Look> {
    let who = || format!("{}: {} {:?} -> {new:?}", rule_name(fit), fit.rule.place.row().name, fit.spot.value);
    look_for(fit.rule.place, new).map(|look| Look { who: who(), ..look })
}

fn rule_name(fit: &Fit) -> String {
    format!("{}, line {}", fit.file.name, fit.rule.line)
}
