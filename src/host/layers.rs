//! Reads the layers of content that lie on this host: for every VM, and for one VM by its name or UUID.
//!
//! Only what root alone can have written is read, and only regular files; symbolic links are followed, since whoever
//! could make one here is root.

use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, bail, ensure};

use super::config::Limits;
use super::file;
use super::judge::{Judge, Strict};
use super::left_over;
use super::paths::Host;
use super::programs::{ProgramFacts, Whose, beginning};
use crate::context::disc::facts::{self, Facts};
use crate::context::disc::files::File;
use crate::context::disc::layer::{Layer, Owner};
use crate::context::disc::path::MAX_LEVELS;
use crate::context::uuid::Uuid;

/// The directory in `facts.d` of programs that are run once for the host.
const HOST_WIDE: &str = "host";

/// The layers of this host for the VM: for every VM, for its name, for its UUID.
pub(crate) fn read(
    host: &Host,
    limits: &Limits,
    name: &str,
    uuid: &Uuid,
    programs: &mut dyn ProgramFacts,
) -> Result<Vec<Layer>> {
    read_judged(host, limits, name, uuid, programs, &mut Strict)
}

/// The same, as whoever looks at them judges them.
pub(crate) fn read_judged(
    host: &Host,
    limits: &Limits,
    name: &str,
    uuid: &Uuid,
    programs: &mut dyn ProgramFacts,
    judge: &mut dyn Judge,
) -> Result<Vec<Layer>> {
    let host_wide = host_wide(host, judge)?;
    let dirs = dirs(host, name, uuid, judge)?;
    let mut reading = Reading { bytes_left: limits.disc_size, files_left: limits.files, limits, programs, judge };
    dirs.iter().map(|dir| reading.layer(dir, if *dir == host.config_dir() { &host_wide } else { &[] })).collect()
}

/// The facts of these layers, without their files.
///
/// # Errors
/// As of [`read`].
pub(crate) fn facts(
    host: &Host,
    limits: &Limits,
    name: &str,
    uuid: &Uuid,
    programs: &mut dyn ProgramFacts,
) -> Result<Facts> {
    let host_wide = host_wide(host, &mut Strict)?;
    let dirs = dirs(host, name, uuid, &mut Strict)?;
    let (bytes_left, files_left) = (limits.disc_size, limits.files);
    let mut reading = Reading { bytes_left, files_left, limits, programs, judge: &mut Strict };
    let mut all = Facts::new();
    for dir in dirs {
        let programs: &[PathBuf] = if dir == host.config_dir() { &host_wide } else { &[] };
        facts::merge(&mut all, reading.facts_in(&dir, programs, &mut Vec::new())?);
    }
    Ok(all)
}

/// The executables in `facts.d/host`, which give the same facts to all VMs.
///
/// # Errors
/// When something else is there: it would give facts too, and would stand behind all that is in `facts.d`.
pub(crate) fn host_wide_programs(host: &Host) -> Result<Vec<PathBuf>> {
    host_wide(host, &mut Strict)
}

/// The same, as whoever looks at them judges them.
pub(crate) fn host_wide(host: &Host, judge: &mut dyn Judge) -> Result<Vec<PathBuf>> {
    let dir = host.config_dir().join("facts.d");
    let host_wide = dir.join(HOST_WIDE);
    if !check_dir(&dir, judge).or_else(|fault| judge.fault(fault).map(|()| false))? || !host_wide.is_dir() {
        return Ok(Vec::new());
    }
    let there = entries(&host_wide, left_over::in_list, &mut Vec::new(), judge);
    let mut programs = Vec::new();
    for entry in there.or_else(|fault| judge.fault(fault).map(|()| Vec::new()))? {
        match program(entry.path(), &dir, judge) {
            Ok(program) => programs.push(program),
            Err(fault) => judge.fault(fault)?,
        }
    }
    Ok(programs)
}

fn program(path: PathBuf, facts_dir: &Path, judge: &mut dyn Judge) -> Result<PathBuf> {
    let shown = path.display();
    if is_program(&path, judge)? {
        return Ok(path);
    }
    ensure!(!beginning::is_a_programs(&path), "{shown} is a program that may not be executed: chmod +x {shown}");
    bail!("{shown} is not a program, and only those may be there: facts in files are in {}", facts_dir.display())
}

/// The executables in `facts.d` that give facts for the VM alone.
#[cfg(feature = "libvirt")]
pub(crate) fn programs(host: &Host, name: &str, uuid: &Uuid) -> Result<Vec<PathBuf>> {
    let mut programs = Vec::new();
    for dir in dirs(host, name, uuid, &mut Strict)? {
        for entry in fact_entries(&dir, &mut Vec::new(), &mut Strict)? {
            if parser(&entry.path()).is_none() && is_program(&entry.path(), &mut Strict)? {
                programs.push(entry.path());
            }
        }
    }
    Ok(programs)
}

/// Where the layers of this host for the VM lie, as far as they are there.
pub(super) fn dirs(host: &Host, name: &str, uuid: &Uuid, judge: &mut dyn Judge) -> Result<Vec<PathBuf>> {
    let domains = host.config_dir().join("domains");
    // libvirt refuses such names; a path is made of it, so it is checked all the same. A UUID means the VM that has it, and
    // not one that is called so.
    let plain = !name.contains('/') && !matches!(name, "" | "." | "..") && name.parse::<Uuid>().is_err();
    let dirs = [Some(host.config_dir()), plain.then(|| domains.join(name)), Some(domains.join(uuid.to_string()))];
    let there = check_dir(&domains, judge).or_else(|fault| judge.fault(fault).map(|()| false))?;
    Ok(dirs.into_iter().flatten().take(if there { 3 } else { 1 }).collect())
}

/// What may still be read.
struct Reading<'l> {
    bytes_left: u64,
    files_left: usize,
    limits: &'l Limits,
    programs: &'l mut dyn ProgramFacts,
    judge: &'l mut dyn Judge,
}

impl Reading<'_> {
    /// The layer of `dir`, before whose facts come those of `programs`.
    fn layer(&mut self, dir: &Path, programs: &[PathBuf]) -> Result<Layer> {
        let mut layer = Layer { owner: Owner::Host(dir.display().to_string()), ..Layer::default() };
        if !check_dir(dir, self.judge).or_else(|fault| self.without(fault))? {
            return Ok(layer);
        }
        layer.facts = self.facts_in(dir, programs, &mut layer.left_over)?;
        self.files(&dir.join("context"), &mut Vec::new(), &mut layer)?;
        Ok(layer)
    }

    fn facts_in(&mut self, dir: &Path, programs: &[PathBuf], left_over: &mut Vec<String>) -> Result<Facts> {
        let mut all = Facts::new();
        for program in programs {
            let facts = self.programs.facts_of(program, Whose::Host).or_else(|fault| self.without(fault))?;
            facts::merge(&mut all, facts);
        }
        for entry in fact_entries(dir, left_over, self.judge).or_else(|fault| self.without(fault))? {
            let facts = self.facts(&entry.path()).or_else(|fault| self.without(fault))?;
            facts::merge(&mut all, facts);
        }
        Ok(all)
    }

    /// What is read in the place of what is at fault.
    fn without<T: Default>(&mut self, fault: Error) -> Result<T> {
        self.judge.fault(fault).map(|()| T::default())
    }

    fn facts(&mut self, path: &Path) -> Result<Facts> {
        let Some(parse) = parser(path) else {
            if is_program(path, self.judge)? {
                return self.programs.facts_of(path, Whose::Vm);
            }
            let shown = path.display();
            ensure!(!beginning::is_a_programs(path), "{shown} is a program that may not be executed: chmod +x {shown}");
            bail!("{shown}: facts are in *.toml, *.json, or what an executable prints");
        };
        let text = file::read_checked_text(path, |metadata| self.judge.check(path, metadata))?;
        parse(&text).with_context(|| format!("reading {}", path.display()))
    }

    fn files(&mut self, dir: &Path, below: &mut Vec<String>, layer: &mut Layer) -> Result<()> {
        let there = entries(dir, left_over::in_content, &mut layer.left_over, self.judge);
        let entries = there.or_else(|fault| self.without(fault))?;
        if entries.is_empty() && !below.is_empty() {
            layer.empty.push(dir.display().to_string());
        }
        for entry in entries {
            let depth = below.len();
            self.entry(&entry, below, layer).or_else(|fault| self.without(fault))?;
            below.truncate(depth);
        }
        Ok(())
    }

    fn entry(&mut self, entry: &DirEntry, below: &mut Vec<String>, layer: &mut Layer) -> Result<()> {
        let path = entry.path();
        let mut kind = entry.file_type().with_context(|| format!("looking at {}", path.display()))?;
        let Ok(name) = entry.file_name().into_string() else { bail!("{}: its name is not UTF-8", path.display()) };
        if kind.is_symlink() {
            kind = fs::metadata(&path).with_context(|| format!("reading {}", path.display()))?.file_type();
        }
        below.push(name);
        if kind.is_dir() {
            ensure!(below.len() < MAX_LEVELS, "{}: directories nest deeper than {MAX_LEVELS}", path.display());
            return self.files(&path, below, layer);
        }
        let (bytes, mode) = self.file(&path)?;
        layer.files.push((below.join("/"), File { bytes: bytes.into(), mode }));
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(Vec<u8>, u16)> {
        ensure!(self.files_left > 0, "there are more files than limits.files = {} allows", self.limits.files);
        let too_large = || fs::metadata(path).is_ok_and(|metadata| metadata.len() > self.bytes_left);
        let read = file::read_checked(path, self.bytes_left, |metadata| self.judge.check(path, metadata));
        let (bytes, mode) = read.map_err(|error| match too_large() {
            true => error.context(format!("limits.disc_size allows {} bytes in all", self.limits.disc_size)),
            false => error,
        })?;
        self.files_left -= 1;
        self.bytes_left -= bytes.len() as u64;
        // The disc is read-only, so write permission on it would only mislead.
        Ok((bytes, u16::try_from(mode & 0o555).unwrap_or(0o444)))
    }
}

/// What reads the facts in a file of this name, if they are written in it.
fn parser(path: &Path) -> Option<fn(&str) -> Result<Facts>> {
    match path.extension()?.to_str()? {
        "toml" => Some(facts::from_toml),
        "json" => Some(facts::from_json),
        _ => None,
    }
}

/// Whether a file is an executable that may count.
fn is_program(path: &Path, judge: &mut dyn Judge) -> Result<bool> {
    // What it prints is written down by its name.
    ensure!(path.to_str().is_some(), "{}: its name is not UTF-8: rename it", path.display());
    let metadata = fs::metadata(path).with_context(|| format!("looking at {}, or what it links to", path.display()))?;
    judge.check(path, &metadata)?;
    Ok(file::is_executable(&metadata))
}

/// Checks that what somebody has put into a directory may count; `false` if it is not there.
pub(super) fn check_dir(dir: &Path, judge: &mut dyn Judge) -> Result<bool> {
    let there = file::if_there(fs::metadata(dir)).with_context(|| format!("looking at {}", dir.display()))?;
    let Some(metadata) = there else { return Ok(false) };
    judge.check(dir, &metadata).map(|()| true)
}

/// What gives facts in the layer of `dir`, but for host-wide programs, which there are only for all VMs.
fn fact_entries(dir: &Path, left_over: &mut Vec<String>, judge: &mut dyn Judge) -> Result<Vec<DirEntry>> {
    let mut entries = entries(&dir.join("facts.d"), left_over::in_list, left_over, judge)?;
    if let Some(at) = entries.iter().position(|entry| entry.file_name() == HOST_WIDE && entry.path().is_dir()) {
        let host_wide = entries.remove(at).path();
        if dir.parent().is_some_and(|parent| parent.ends_with("domains")) {
            left_over.push(host_wide.display().to_string());
        }
    }
    Ok(entries)
}

/// What is in a directory that may count, sorted by name; nothing if it is missing. What does not count because its name
/// `is_left_over` is noted in `left_over` instead, as a person finds it.
pub(super) fn entries(
    dir: &Path,
    is_left_over: fn(&str) -> bool,
    left_over: &mut Vec<String>,
    judge: &mut dyn Judge,
) -> Result<Vec<DirEntry>> {
    let mut entries = file::entries(dir)?;
    check_dir(dir, judge)?;
    entries.sort_by_cached_key(DirEntry::file_name);
    entries.retain(|entry| {
        let counts = !is_left_over(&entry.file_name().to_string_lossy());
        if !counts {
            left_over.push(entry.path().display().to_string());
        }
        counts
    });
    Ok(entries)
}
