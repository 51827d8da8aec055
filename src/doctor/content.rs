//! The configuration and this host's data: do they load? Read by the same code that makes the discs, so that an error
//! reads the same.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::mount::Mount;
use super::report::Report;
use crate::context::disc::facts::Facts;
use crate::context::disc::layer::Layer;
use crate::context::uuid::Uuid;
use crate::host::config::Config;
use crate::host::layers;
use crate::host::paths::Host;
use crate::host::programs::{ProgramFacts, Whose};
use crate::libvirt::survey::Vm;

/// The UUID of no VM.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

const WHERE_DATA_GO: &str = "put this host's data there; see virt-recontext(8), CONTENT";

fn no_data(host: &Host) -> String {
    format!("{} holds no files and no facts: guests get nothing of this host", host.config_dir().display())
}

/// What there is to say of a host that has no data for any VM. What cannot be read is told elsewhere.
pub(super) fn lack(host: &Host, config: &Config) -> Option<String> {
    let mut programs = NotRun::default();
    let nobody = NOBODY.parse().ok()?;
    let layers = layers::read(host, &config.limits, "", &nobody, &mut programs).ok()?;
    let is_empty = layers.iter().all(|layer| layer.files.is_empty() && layer.facts.is_empty());
    let has_none = is_empty && programs.seen.is_empty() && directories(&host.config_dir().join("domains")).is_empty();
    has_none.then(|| format!("{}; {WHERE_DATA_GO}", no_data(host)))
}

pub(super) fn check_configuration(host: &Host, report: &mut Report) -> Option<Config> {
    let path = host.config_file();
    let check = &mut report.check("configuration");
    match Config::load(host) {
        Ok(config) if !config.unknown.is_empty() => {
            for key in &config.unknown {
                check.bad(key, "correct or remove it; see virt-recontext.toml(5)");
            }
            Some(config)
        }
        Ok(config) => {
            let there = if path.exists() { "is read" } else { "does not exist: every key has its default" };
            check.good(format_args!("{} {there}", path.display()));
            Some(config)
        }
        Err(error) => {
            check.bad(
                format_args!("{error:#}; no disc is made, and images, content and VMs are not checked"),
                "fix it; see virt-recontext.toml(5)",
            );
            None
        }
    }
}

/// Checks the data for every VM, and for each VM that has data of its own here. `vms` are those that libvirt knows, if it
/// tells. Gives what is wrong, so that no other check tells it again.
pub(super) fn check_content(host: &Host, config: &Config, vms: Option<&[Vm]>, report: &mut Report) -> Vec<String> {
    let check = &mut report.check("content");
    let mut programs = NotRun::default();
    let mut told = Vec::new();
    let Ok(nobody) = NOBODY.parse() else { return told };
    let dir = host.config_dir();
    let mut read = |name: &str, uuid: &Uuid| layers::read(host, &config.limits, name, uuid, &mut programs);
    let for_every_vm = match read("", &nobody) {
        Ok(layers) => {
            check.good(format_args!("{}, for every VM: {}", dir.display(), summary(layers.first())));
            layers.first().is_some_and(|layer| !layer.files.is_empty() || !layer.facts.is_empty())
        }
        Err(error) => {
            check.bad(format_args!("{error:#}; no disc is made"), "fix it");
            return vec![format!("{error:#}")];
        }
    };
    let of_vms = directories(&dir.join("domains"));
    let gives_nothing = !for_every_vm && of_vms.is_empty();
    for name in of_vms {
        let read = match name.parse::<Uuid>() {
            Ok(uuid) if uuid.to_string() != name => {
                let (shown, place) = (dir.join("domains").join(&name), dir.join("domains").join(uuid.to_string()));
                let rename = format!("mv {} {}", shown.display(), place.display());
                check.warning(format_args!("{} is no VM's: a UUID is written {uuid}", shown.display()), rename);
                continue;
            }
            Ok(uuid) => read("", &uuid).map(|layers| summary(layers.last())),
            Err(_) => read(&name, &nobody).map(|layers| summary(layers.get(1))),
        };
        match read {
            Ok(summary) => {
                // It may be meant for one that is to come.
                let fits = |vm: &Vm| vm.name == name || vm.uuid.to_string() == name;
                let unknown = match vms {
                    Some(vms) if !vms.iter().any(fits) => "; no VM that this host knows now is called so",
                    _ => "",
                };
                check.good(format_args!("{}: {summary}{unknown}", dir.join("domains").join(name).display()));
            }
            Err(error) => {
                check.bad(format_args!("{error:#}; that VM gets no new disc here"), "fix it");
                told.push(format!("{error:#}"));
            }
        }
    }
    // As where a file system is not mounted.
    if gives_nothing && programs.seen.is_empty() {
        check.warning(no_data(host), WHERE_DATA_GO);
    }
    for program in &programs.seen {
        if let Some(mount) = Mount::noexec(program) {
            check.bad(
                format_args!("{} is on {}, which is mounted noexec", program.display(), mount.at.display()),
                "remove that mount option, or replace the program by a link to one on another file system",
            );
        }
    }
    told
}

/// The directories in `dir`, by name. A plain file there belongs to no VM, and is nobody's fault.
fn directories(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn summary(layer: Option<&Layer>) -> String {
    let (files, facts) = layer.map_or((0, 0), |layer| (layer.files.len(), layer.facts.len()));
    let left_over = layer.map(|layer| layer.left_over.as_slice()).unwrap_or_default();
    let left_over = if left_over.is_empty() {
        String::new()
    } else {
        format!("; by their names these do not count: {}", left_over.join(", "))
    };
    let (files, facts) = (counted(files, "file", "files"), counted(facts, "top-level fact", "top-level facts"));
    format!("it gives {files} and {facts}{left_over}")
}

fn counted(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

/// Programs are only looked at here; those of a VM are run for that VM.
#[derive(Default)]
struct NotRun {
    seen: Vec<PathBuf>,
}

impl ProgramFacts for NotRun {
    fn facts_of(&mut self, program: &Path, _: Whose) -> Result<Facts> {
        if !self.seen.iter().any(|seen| seen == program) {
            self.seen.push(program.to_owned());
        }
        Ok(Facts::default())
    }
}
