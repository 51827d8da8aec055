//! What a shell completes that only this host knows: its VMs, and what they carry. All else is in packaging/completions,
//! whose scripts ask here.
//!
//! Whoever presses TAB may be any user, also before a command with sudo: libvirt is asked as by somebody who only looks.
//! Where it does not let him, or does not answer soon, no words are known, and nothing is said about that.

use std::ffi::OsString;
use std::io::{Write, stdout};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Arg, ArgAction, CommandFactory};

use super::cli::Cli;
use super::exit::{DONE, FAILED};
use super::vm;
use crate::context::domain::Domain;
use crate::host::config::Config;
use crate::host::paths::Host;
use crate::libvirt::connection::Libvirt;
use crate::libvirt::domain::Handle;

/// The word by which a shell asks; it is nothing for people.
pub const VERB: &str = "complete";

/// Longest wait for libvirt's answers: somebody has pressed TAB.
const PATIENCE: Duration = Duration::from_secs(1);

/// The words that an argument may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    Vms,
    /// Those that `refresh` does something for.
    RunningVmsWithContext,
    /// The names of the facts that the VM carries.
    Facts,
    /// The same, each with what begins its new value.
    FactsToSet,
    /// The paths of the files that the VM carries.
    Files,
}

impl Words {
    /// Those for an argument of a verb, by its id; `None` if they are not known here.
    pub fn of(verb: &str, argument: &str) -> Option<Words> {
        match (verb, argument) {
            ("refresh", "vms") => Some(Words::RunningVmsWithContext),
            (_, "vm" | "vms") => Some(Words::Vms),
            ("set", "facts") => Some(Words::FactsToSet),
            ("unset", "facts") => Some(Words::Facts),
            ("unset", "files") => Some(Words::Files),
            _ => None,
        }
    }
}

/// Prints the words that the last one of `line` may become, one a line, whatever of it is there already; the first word of
/// `line` is the verb. The exit code is `FAILED`, and nothing is printed, if that is not for us to tell.
///
/// # Errors
/// When nobody reads.
pub fn complete(host: &Host, line: &[OsString]) -> Result<u8> {
    let line: Vec<String> = line.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let Some((words, given)) = asked(&line) else { return Ok(FAILED) };
    let mut known = ask(host, words, given.first().cloned());
    // A word is a line; one with a hyphen is an option wherever it stands.
    let is_fit = |word: &str| !word.chars().any(char::is_control) && !word.starts_with('-');
    known.retain(|word| is_fit(word) && !given.contains(word));
    known.sort();
    let mut out = stdout().lock();
    known.iter().try_for_each(|word| writeln!(out, "{word}"))?;
    Ok(DONE)
}

/// The words that the last one of `line` may be, and what is given before it beside options and their values.
fn asked(line: &[String]) -> Option<(Words, Vec<String>)> {
    let (last, before) = line.split_last()?;
    let (verb, before) = before.split_first()?;
    let cli = Cli::command();
    let command = cli.find_subcommand(verb)?;
    let option = |word: &str| {
        let name = word.strip_prefix("--")?;
        let mut all = command.get_arguments().filter(|argument| argument.get_action().takes_values());
        all.find(|option| option.get_long() == Some(name))
    };
    let mut given = Vec::new();
    let mut awaits_value = None;
    for word in before {
        if awaits_value.take().is_none() {
            awaits_value = option(word);
            given.extend((!word.starts_with('-')).then(|| word.clone()));
        }
    }
    let argument = match last.split_once('=') {
        _ if awaits_value.is_some() => awaits_value,
        Some((name, _)) if name.starts_with('-') => option(name),
        None if last.starts_with('-') => None,
        _ => {
            let takes_more = |argument: &&Arg| matches!(argument.get_action(), ArgAction::Append);
            let last = || command.get_positionals().last().filter(takes_more);
            command.get_positionals().nth(given.len()).or_else(last)
        }
    };
    Some((Words::of(verb, argument?.get_id().as_str())?, given))
}

/// The words that libvirt knows, of those about a VM as it is called.
fn ask(host: &Host, words: Words, vm: Option<String>) -> Vec<String> {
    let config = Config::assumed(host);
    let uri = config.uri_of(config.driver(host)).to_owned();
    let (answer, answers) = channel();
    // A thread that waits for libvirt ends with the process.
    thread::spawn(move || {
        let known = Libvirt::look(&uri).and_then(|libvirt| find(&libvirt, words, vm.as_deref()));
        let _too_late = answer.send(known.unwrap_or_default());
    });
    answers.recv_timeout(PATIENCE).unwrap_or_default()
}

fn find(libvirt: &Libvirt, words: Words, vm: Option<&str>) -> Result<Vec<String>> {
    let takes_part = |vm: &Handle| {
        let xml = vm::current_xml(vm);
        xml.is_ok_and(|xml| Domain::read(&xml).is_ok_and(|domain| domain.takes_part()))
    };
    let carried = || {
        let handle = libvirt.find(vm.context("no VM is given")?)?;
        let xml = vm::current_xml(&handle)?;
        Ok::<_, anyhow::Error>(Domain::read(&xml)?.request()?.cloned().unwrap_or_default())
    };
    let names = |vms: Vec<Handle>| vms.iter().filter_map(|vm| vm.name().ok()).collect();
    let firsts = |pairs: Vec<(String, String)>| pairs.into_iter().map(|(name, _)| name);
    Ok(match words {
        Words::Vms => names(libvirt.all()?),
        Words::RunningVmsWithContext => names(libvirt.running()?.into_iter().filter(takes_part).collect()),
        Words::Facts => firsts(carried()?.facts).collect(),
        Words::FactsToSet => firsts(carried()?.facts).map(|name| name + "=").collect(),
        Words::Files => firsts(carried()?.files).collect(),
    })
}
