//! A record: what is known of one VM, as JSON in a file that is called by its UUID. It is replaced whole; a reader sees the
//! old one or the new one.

use std::fs::DirEntry;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::uuid::Uuid;
use crate::host::file;

/// What lies where a record should.
pub(super) enum Found<T> {
    Nothing,
    Damaged,
    Record(T),
}

impl<T> Found<T> {
    pub(super) fn whole(self) -> Option<T> {
        match self {
            Found::Record(record) => Some(record),
            Found::Nothing | Found::Damaged => None,
        }
    }
}

pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Found<T>> {
    match file::read_text(path) {
        Ok(text) => Ok(serde_json::from_str(&text).map_or(Found::Damaged, Found::Record)),
        Err(error) if file::is_missing(&error) => Ok(Found::Nothing),
        // What is no file is no reason to leave other VMs without their discs; who writes there next is told of it.
        Err(_) if path.symlink_metadata().is_ok_and(|there| !there.is_file()) => Ok(Found::Damaged),
        Err(error) => Err(error),
    }
}

/// Puts a record at `path`, in a directory that is made if it is missing.
pub(super) fn write(path: &Path, record: &impl Serialize) -> Result<()> {
    file::make_dir(path.parent().unwrap_or(Path::new("/")), 0o700)?;
    let text = serde_json::to_string(record).with_context(|| format!("writing {}", path.display()))?;
    file::replace_text(path, &text)
}

/// The VMs that have a record in `dir`; files with other names are not ours to judge.
pub(super) fn listed(dir: &Path) -> Result<Vec<Uuid>> {
    let uuid = |entry: &DirEntry| entry.file_name().to_str()?.strip_suffix(".json")?.parse().ok();
    Ok(file::entries(dir)?.iter().filter_map(uuid).collect())
}
