//! A record: what is known of one VM, as JSON in a file that is called by its UUID, or of the host. It is replaced whole; a
//! reader sees the old one or the new one.
//!
//! Each has a version. What a version adds and older ones may pass over is no reason for a higher one: fields that are not
//! known do not count.

use std::fs::DirEntry;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Serialize};

use crate::context::uuid::Uuid;
use crate::host::file;

/// The version that is written. Records of 0.1.0 have none, which is 0.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Written<'r, R> {
    version: u32,
    #[serde(flatten)]
    record: &'r R,
}

#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    version: u32,
}

/// The record at `path`, or what is wrong with one that is damaged; `None` when there is none.
pub(in crate::host) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<serde_json::Result<T>>> {
    match file::if_there(file::read_text(path)) {
        // What is no file is no reason to leave other VMs without their discs; who writes there next is told of it.
        Err(error) if path.symlink_metadata().is_ok_and(|there| !there.is_file()) => {
            Ok(Some(Err(Error::custom(error))))
        }
        read => Ok(read?.map(|text| serde_json::from_str(&text))),
    }
}

/// Whether the record at `path` is of a version that is newer than this one.
pub(in crate::host) fn is_newer(path: &Path) -> bool {
    matches!(read(path), Ok(Some(Ok(Version { version }))) if version > VERSION)
}

/// Puts a record at `path`, in a directory that is made if it is missing.
pub(in crate::host) fn write(path: &Path, record: &impl Serialize) -> Result<()> {
    file::make_dir(path.parent().unwrap_or(Path::new("/")), 0o700)?;
    let shown = path.display();
    ensure!(!path.is_dir(), "writing {shown}: a directory is in its place; remove it: rm -r {shown}");
    let text =
        serde_json::to_string(&Written { version: VERSION, record }).with_context(|| format!("writing {shown}"))?;
    file::replace_text(path, &text)
}

/// The VMs that have a record in `dir`; files with other names are not ours to judge.
pub(super) fn listed(dir: &Path) -> Result<Vec<Uuid>> {
    let uuid = |entry: &DirEntry| entry.file_name().to_str()?.strip_suffix(".json")?.parse().ok();
    Ok(file::entries(dir)?.iter().filter_map(uuid).collect())
}
