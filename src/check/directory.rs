//! What lies in the directory beside the data, and for which VMs there are data.

use std::path::Path;

use super::candidate::Candidate;
use super::findings::Findings;
use super::owners::Owners;
use super::sample::Sample;
use crate::context::uuid::Uuid;
use crate::host::file;
use crate::host::left_over;
use crate::host::rules;

/// What is read in the directory, and in that of one VM.
const READ: [&str; 6] = ["config.toml", "context", "facts.d", "rewrite.d", "domains", "disabled"];
const READ_OF_SIGNING: [&str; 3] = ["signing_key", "signing_key-cert.pub", "signing_key.pub"];
const READ_OF_VM: [&str; 4] = ["context", "facts.d", "rewrite.d", "unselected"];

/// A VM for each directory below `domains`.
pub(super) fn judge(candidate: &Candidate, sample: &Sample, findings: &mut Findings) -> Vec<Sample> {
    let dir = candidate.host.config_dir();
    tell_unread(&dir, &[&READ[..], &READ_OF_SIGNING].concat(), findings);
    let there = names(&dir, findings);
    if !there.is_empty() && !there.iter().any(|name| READ.contains(&name.as_str())) {
        findings.error(format_args!(
            "{} holds nothing that is read: name the directory in which config.toml, facts.d or context lies",
            dir.display()
        ));
    }
    judge_rules(candidate, &dir, findings);
    if candidate.host.off_switch().symlink_metadata().is_ok() {
        let switch = candidate.host.off_switch();
        findings.note(format_args!("{}: while it is there, all is switched off", switch.display()));
    }
    let domains = dir.join("domains");
    let mut samples = Vec::new();
    for name in names(&domains, findings) {
        let path = domains.join(&name);
        if !path.is_dir() {
            if !left_over::in_list(&name) {
                findings.note(format_args!("{} is no directory, and belongs to no VM", path.display()));
            }
            continue;
        }
        let place = Some(format!("domains/{name}"));
        match name.parse::<Uuid>() {
            Ok(uuid) if uuid.to_string() != name => {
                findings.error(format_args!("{} is no VM's: a UUID is written {uuid}", path.display()));
                continue;
            }
            Ok(uuid) => samples.push(Sample { name: sample.name.clone(), uuid, place }),
            Err(_) => samples.push(Sample { name, uuid: sample.uuid.clone(), place }),
        }
        tell_unread(&path, &READ_OF_VM, findings);
        judge_rules(candidate, &path, findings);
    }
    samples
}

/// Whether the rules of a directory are understood. What they name may be on the hosts and not here.
fn judge_rules(candidate: &Candidate, dir: &Path, findings: &mut Findings) {
    let mut owners = Owners::of(candidate);
    if let Err(error) = rules::read_in(&candidate.host, dir, &mut owners) {
        findings.error(format_args!("{error:#}"));
    }
    owners.faults.found.into_iter().for_each(|finding| findings.push(finding));
}

/// Tells what nobody reads, perhaps for a slip in its name.
fn tell_unread(dir: &Path, read: &[&str], findings: &mut Findings) {
    for name in names(dir, findings) {
        if !read.contains(&name.as_str()) && !left_over::in_list(&name) && !is_of_a_program(dir, &name) {
            let path = dir.join(name);
            findings.note(format_args!("{} is not read; what is read there: {}", path.display(), read.join(", ")));
        }
    }
}

/// Whether these are the settings of a program for facts, as the shipped ones have them.
fn is_of_a_program(dir: &Path, name: &str) -> bool {
    let places = ["facts.d", "facts.d/host"].map(|place| dir.join(place));
    // A checkout may have links to what is on hosts alone.
    name.strip_suffix(".conf")
        .is_some_and(|program| places.iter().any(|place| place.join(program).symlink_metadata().is_ok()))
}

/// The names of what is in a directory, in their order; none if it is missing.
fn names(dir: &Path, findings: &mut Findings) -> Vec<String> {
    let entries = file::entries(dir).unwrap_or_else(|error| {
        findings.error(format_args!("{error:#}"));
        Vec::new()
    });
    let mut names = Vec::new();
    for entry in entries {
        match entry.file_name().into_string() {
            Ok(name) => names.push(name),
            Err(_) => findings.error(format_args!("{}: its name is not UTF-8", entry.path().display())),
        }
    }
    names.sort();
    names
}
