//! The edit itself: the bytes of the spots that are changed, and nothing else. What comes of it is read again by itself before
//! anyone sees it.

use std::collections::BTreeSet;
use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use quick_xml::escape::escape;

use super::apart::check_images_apart;
use super::place::Place;
use super::spots::{Changed, Form, Spot, Spots};
use crate::context::domain::rewrite::apply;
use crate::context::domain::{Domain, WithoutXml};

/// One place of the XML and what comes there.
pub(crate) type Edit = (Range<usize>, String);

/// What changes a spot to `new`; a port of Open vSwitch that this makes is called `port`, if that is said.
///
/// # Errors
/// When it cannot be that.
pub(super) fn edits(spot: &Spot, new: Option<&str>, port: Option<&str>) -> Result<Vec<Edit>> {
    let cannot_go = || format!("{} cannot be taken out", spot.place.row().name);
    match (&spot.form, new) {
        (Form::Plain { at, .. }, Some(new)) => Ok(at.iter().map(|at| (at.clone(), escape(new).into_owned())).collect()),
        (Form::Plain { removal, .. }, None) => {
            ensure!(!removal.is_empty(), cannot_go());
            Ok(removal.iter().map(|at| (at.clone(), String::new())).collect())
        }
        (Form::Attachment(attachment), Some(new)) => attachment.edits(new, port),
        (Form::Hosts(hosts), Some(new)) => hosts.edits(new),
        (Form::Attachment(_) | Form::Hosts(_), None) => bail!(cannot_go()),
    }
}

/// `xml`, whose spots these are, with the `edits` that make the `changes`; and what is read of that.
///
/// # Errors
/// When the result would not read as meant, or differ elsewhere too.
pub(super) fn edited(
    xml: &str,
    spots: &Spots,
    (changes, edits): (&[Changed], Vec<Edit>),
    context_drives: &[String],
) -> Result<(String, WithoutXml)> {
    let edited = apply(xml, edits)?;
    let domain = Domain::read_for_rules(&edited).context("reading our own edit again")?;
    let after = Spots::of(&domain, context_drives)?;
    check(xml, spots, changes, &edited, &after)?;
    check_images_apart(spots, &after)?;
    let domain = domain.without_xml();
    Ok((edited, domain))
}

/// Compares what there was with what is read of the edit.
fn check(xml: &str, spots: &Spots, changes: &[Changed], edited: &str, after: &Spots) -> Result<()> {
    let change = |spot: &Spot| changes.iter().find(|(changed, _)| std::ptr::eq(*changed, spot)).map(|(_, new)| new);
    // Of what is made of several places either the whole is compared, where it is changed, or its parts are.
    let wholes: BTreeSet<(&str, &str)> = changes
        .iter()
        .filter(|(spot, _)| spot.place.is_composite())
        .map(|(spot, _)| (spots.label(spot), spot.place.row().name))
        .collect();
    let counts = |label: &str, place: Place| match place.is_composite() {
        true => wholes.contains(&(label, place.row().name)),
        false => !wholes.iter().any(|(of, whole)| *of == label && place.is_part_of_named(whole)),
    };
    let read: Vec<&Spot> = after.spots.iter().filter(|spot| counts(after.label(spot), spot.place)).collect();
    let mut found = read.iter();
    let (mut cut, mut cut_after) = (Vec::new(), Vec::new());
    for spot in spots.spots.iter().filter(|spot| counts(spots.label(spot), spot.place)) {
        let change = change(spot);
        if let (Some(None), Form::Plain { removal, .. }) = (change, &spot.form) {
            cut.extend(removal.iter().cloned());
            continue;
        }
        let value = change.and_then(Option::as_deref).unwrap_or(&spot.value);
        let now = found.next().context("our own edit takes out more than the rules mean")?;
        let same = (now.place, after.label(now), now.value.as_str()) == (spot.place, spots.label(spot), value);
        ensure!(same, "our own edit of {} does not read as the rules mean it", spot.place.row().name);
        if change.is_some() {
            cut.extend(spot.form.ranges());
            cut_after.extend(now.form.ranges());
        }
    }
    ensure!(found.next().is_none(), "our own edit puts in more than the rules mean");
    ensure!(without(xml, cut)? == without(edited, cut_after)?, "our own edit changes more than the rules mean");
    Ok(())
}

/// What libvirt leaves away when there is nothing in it any more.
#[cfg(feature = "libvirt")]
const EMPTY: [&str; 4] = ["<cputune></cputune>", "<cputune/>", "<numatune></numatune>", "<numatune/>"];

/// Whether `after` is what libvirt makes of `meant` when it writes it: the same spots, and what lies between them is the same but for
/// white space. It may write a value in another way: `0,1` as `0-1`.
///
/// # Errors
/// When one of them is no whole document.
#[cfg(feature = "libvirt")]
pub(crate) fn is_same(meant: &str, after: &str, context_drives: &[String]) -> Result<bool> {
    let read = |xml: &str| {
        let spots = Spots::read(xml, context_drives)?;
        // What is a part of another counts with that: of a port without a name libvirt makes up one.
        let is_part = |spot: &Spot| {
            let whole = |other: &&Spot| other.device == spot.device && spot.place.is_part_of(other.place);
            spots.spots.iter().any(|other| whole(&other))
        };
        let wholes: Vec<&Spot> = spots.spots.iter().filter(|spot| !is_part(spot)).collect();
        let place = |spot: &&Spot| (spot.place, spots.label(spot).to_owned());
        let places: Vec<_> = wholes.iter().map(place).collect();
        let between = without(xml, wholes.iter().flat_map(|spot| spot.form.ranges()).collect())?;
        let between: String = between.split_whitespace().collect();
        anyhow::Ok((places, EMPTY.iter().fold(between, |text, empty| text.replace(empty, ""))))
    };
    Ok(read(meant)? == read(after)?)
}

/// The text without these ranges.
fn without(text: &str, ranges: Vec<Range<usize>>) -> Result<String> {
    apply(text, ranges.into_iter().map(|range| (range, String::new())).collect())
}
