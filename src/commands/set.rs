//! `set` and `unset`: the facts and small files that a VM carries in its own XML, and that travel with it.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use super::exit::DONE;
use super::{refresh, vm};
use crate::context::disc::marker::Reason;
use crate::context::domain::Domain;
use crate::context::domain::request::Request;
use crate::host::config::Config;
use crate::host::file;
use crate::host::log::{Log, Subject};
use crate::host::paths::Host;
use crate::host::select::{self, Selected};
use crate::host::vm::job::Job;
use crate::libvirt::domain::{Handle, Scope};

/// Most bytes of what a VM carries, with the names: it is in every message about the VM, and libvirt takes no XML of any
/// length.
const MOST: usize = 256 << 10;

/// Give a VM facts and small files of its own, which travel with it.
#[derive(Debug, Args)]
pub(super) struct Set {
    /// The VM's name or UUID.
    pub vm: String,
    /// Facts; dots in a name lead into tables.
    #[arg(value_name = "NAME=VALUE", value_parser = pair, required_unless_present = "files")]
    pub facts: Vec<(String, String)>,
    /// The file PATH of the disc, with the text of LOCAL.
    #[arg(long = "file", value_name = "PATH=LOCAL", value_parser = pair)]
    pub files: Vec<(String, String)>,
}

/// Take facts and files away that a VM carries.
#[derive(Debug, Args)]
pub(super) struct Unset {
    /// The VM's name or UUID.
    pub vm: String,
    /// Facts; the name of a table means all in it.
    #[arg(value_name = "NAME", required_unless_present = "files")]
    pub facts: Vec<String>,
    /// A file.
    #[arg(long = "file", value_name = "PATH")]
    pub files: Vec<String>,
}

fn pair(text: &str) -> Result<(String, String)> {
    let (name, value) = text.split_once('=').context("it has no =")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) fn set(host: &Host, options: &Set, out: &mut impl Write) -> Result<u8> {
    let read = |(path, local): &(String, String)| -> Result<(String, String)> {
        let local = PathBuf::from(local);
        let bytes = file::read(&local, MOST as u64)?;
        let text = String::from_utf8(bytes).with_context(|| format!("reading {}: it is not UTF-8", local.display()))?;
        Ok((path.clone(), text))
    };
    let files = options.files.iter().map(read).collect::<Result<Vec<_>>>()?;
    for (name, text) in options.facts.iter().chain(&files) {
        let unfit = [name, text].into_iter().flat_map(|text| text.chars()).find(|c| !may_be_in_xml(*c));
        if let Some(unfit) = unfit {
            bail!("{name:?} holds the character {unfit:?}, which no domain's XML can hold");
        }
    }
    change(host, &options.vm, out, |request, _| {
        put(&mut request.facts, &options.facts);
        put(&mut request.files, &files);
        Ok(())
    })
}

pub(super) fn unset(host: &Host, options: &Unset, out: &mut impl Write) -> Result<u8> {
    change(host, &options.vm, out, |request, name| {
        for fact in &options.facts {
            let table = format!("{fact}.");
            let carried = |(name, _): &(String, String)| name == fact || name.starts_with(&table);
            take(&mut request.facts, carried).with_context(|| format!("the VM {name} carries no fact {fact:?}"))?;
        }
        for file in &options.files {
            take(&mut request.files, |(path, _)| path == file)
                .with_context(|| format!("the VM {name} carries no file {file:?}"))?;
        }
        Ok(())
    })
}

/// Puts each of `new` in the place of what has its name, or behind all.
fn put(carried: &mut Vec<(String, String)>, new: &[(String, String)]) {
    for (name, value) in new {
        carried.retain(|(other, _)| other != name);
        carried.push((name.clone(), value.clone()));
    }
}

/// Takes those away for which `which` says so; `None` if there are none.
fn take(carried: &mut Vec<(String, String)>, which: impl Fn(&(String, String)) -> bool) -> Option<()> {
    let all = carried.len();
    carried.retain(|one| !which(one));
    (carried.len() < all).then_some(())
}

/// Whether XML 1.0 (2.2) has the character.
fn may_be_in_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// Changes what the VM carries, now and from its next start on, and has it delivered at once.
fn change(host: &Host, vm: &str, out: &mut impl Write, edit: impl Fn(&mut Request, &str) -> Result<()>) -> Result<u8> {
    let config = Config::load_exactly(host)?;
    let libvirt = vm::connect(host, &config)?;
    let handle = libvirt.find(vm)?;
    let name = handle.name()?;
    let live = vm::runs(&handle)?.then(|| vm::current_xml(&handle)).transpose()?;
    let definition = handle.is_persistent()?.then(|| handle.xml(Scope::Config)).transpose()?;
    // All is checked before the first change.
    let mut elements = Vec::new();
    for (scope, xml) in [(Scope::Config, &definition), (Scope::Live, &live)] {
        let domain = xml.as_deref().map(Domain::read).transpose()?;
        let Some(request) = domain.as_ref().map(Domain::request).transpose()?.flatten() else { continue };
        elements.push((scope, edited(request, &name, &edit)?));
    }
    let rule = select::rule_of(host, &config, live.as_deref(), definition.as_deref());
    if let Some(Selected { number, .. }) = rule {
        let own = host.domain_dir(&handle.uuid()?);
        let place = own.display();
        ensure!(
            !elements.is_empty(),
            "{number} selects {name}, which carries nothing of its own; its data belong into {place}"
        );
    }
    ensure!(!elements.is_empty(), "the VM {name} does not take part yet; run: virt-recontext enable {name}");
    for (scope, element) in &elements {
        handle.set_request(Some(element), &[*scope]).context("writing the VM's metadata")?;
    }
    let is_live = elements.iter().any(|(scope, _)| *scope == Scope::Live);
    let when = if is_live { "" } else { " from its next start on" };
    let line = format!("{name}: carries its new content{when}");
    Log::of(host, Subject::called(&name)).info(&line);
    if definition.is_some() && !elements.iter().any(|(scope, _)| *scope == Scope::Config) {
        let line = format!(
            "{name}: carries it until it stops, since its definition does not take part; what is to last belongs into {}",
            host.domain_dir(&handle.uuid()?).display()
        );
        writeln!(out, "{}", vm::on_one_line(&line))?;
    }
    if let Some(live) = live.as_deref().filter(|_| is_live) {
        let job = job(live)?;
        drop::<Handle>(handle);
        drop(libvirt);
        return refresh::deliver_and_watch(host, &config, vec![job], refresh::Told { out, code: DONE });
    }
    writeln!(out, "{}", vm::on_one_line(&line))?;
    Ok(DONE)
}

/// The element with the change, if a disc can be made of it.
fn edited(request: &Request, name: &str, edit: impl Fn(&mut Request, &str) -> Result<()>) -> Result<String> {
    if let Some(unknown) = request.unknown.told() {
        bail!("{unknown}; it would be lost. Use the version of virt-recontext that wrote it");
    }
    let mut request = request.clone();
    edit(&mut request, name)?;
    request.check()?;
    let size: usize = request.facts.iter().chain(&request.files).map(|(name, text)| name.len() + text.len()).sum();
    ensure!(size <= MOST, "a VM may carry {MOST} bytes, and {name} would carry {size}");
    Ok(request.to_xml())
}

fn job(live: &str) -> Result<Job> {
    let domain = Domain::read(live)?;
    Ok(Job::new(domain.uuid.clone(), &domain.name, domain.machine.driver(), Reason::Refresh, false))
}
