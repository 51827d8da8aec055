//! A CD-ROM drive in a domain's XML: `<disk device='cdrom'>`.

use std::ops::Range;

use anyhow::{Result, bail};

use super::driver::{Driver, Machine};
use super::xml::{Attribute, Element};

/// A CD-ROM drive, with the places that an edit needs.
#[derive(Debug, Clone)]
pub struct Drive {
    /// Its name in the guest, such as `sda`.
    pub target: String,
    /// Its bus: `ide`, `sata`, `scsi`, `usb`, `xen`…
    pub bus: String,
    /// What puts its medium in: `qemu`, and for Xen also `phy` and others.
    pub backend: String,
    /// The machine that it is in.
    pub machine: Machine,
    /// Whether it is marked as one that is only read.
    pub read_only: bool,
    /// The disk's `type`: `file`, `block`, `network`…
    pub(super) kind: Option<Attribute>,
    /// The whole `<source>`, also of an empty drive that still has one.
    pub(super) source: Option<Element>,
    /// The whole `<disk>`.
    pub(super) span: Range<usize>,
    /// Where `<target>` begins.
    pub(super) target_at: usize,
    /// What stands in the way of a raw image file in this drive.
    obstacle: Option<String>,
}

impl Drive {
    /// Reads a `<disk>`; `None` when it is no CD-ROM drive, or has no target.
    pub(super) fn read(disk: &Element, machine: Machine) -> Option<Drive> {
        if disk.value("device") != Some("cdrom") {
            return None;
        }
        let target = disk.child("target")?;
        Some(Drive {
            target: target.value("dev")?.to_owned(),
            bus: target.value("bus").unwrap_or_default().to_owned(),
            backend: disk.child("driver").and_then(|driver| driver.value("name")).unwrap_or("qemu").to_owned(),
            machine,
            read_only: disk.child("readonly").is_some(),
            kind: disk.attribute("type").cloned(),
            source: disk.child("source").cloned(),
            span: disk.span.clone(),
            target_at: target.span.start,
            obstacle: obstacle(disk),
        })
    }

    /// The file in the drive; `None` when it is empty or holds something else than a file.
    pub fn path(&self) -> Option<&str> {
        self.is_file().then(|| self.source.as_ref()?.value("file")).flatten()
    }

    /// Whether nothing is in the drive.
    pub fn is_empty(&self) -> bool {
        let names_something =
            |source: &Element| source.attributes.iter().any(|a| !matches!(a.name.as_str(), "startupPolicy" | "index"));
        !self.source.as_ref().is_some_and(|source| names_something(source) || !source.children.is_empty())
    }

    /// Whether the VM starts and arrives even when the file in the drive is missing.
    pub fn may_be_missing(&self) -> bool {
        self.machine.driver().may_start_without_disc() && self.is_optional()
    }

    pub(super) fn is_optional(&self) -> bool {
        self.source.as_ref().and_then(|source| source.value("startupPolicy")) == Some("optional")
    }

    /// Checks that the drive can change its medium while the VM runs and take an image file.
    ///
    /// # Errors
    /// When its bus or its description does not allow that, with the reason.
    pub fn check(&self) -> Result<()> {
        let buses = self.machine.buses();
        if !buses.contains(&self.bus.as_str()) {
            let fit = match buses.split_last() {
                Some((last, others)) => format!("{} or {last}", others.join(", ")),
                None => String::new(),
            };
            match (self.machine.driver(), self.bus.as_str()) {
                (Driver::Qemu, "usb") => bail!(
                    "the drive {} is on the usb bus, where QEMU cannot change a medium; use a drive on {fit}",
                    self.target
                ),
                (_, other) => bail!("the drive {} is on the bus {other:?}; use a drive on {fit}", self.target),
            }
        }
        match &self.obstacle {
            Some(what) => bail!("the drive {} cannot take an image file: {what}", self.target),
            None => Ok(()),
        }
    }

    pub(super) fn is_file(&self) -> bool {
        self.kind.as_ref().is_none_or(|kind| kind.value == "file")
    }
}

/// What in a `<disk>` would be wrong, or dangerous, around a raw image file.
fn obstacle(disk: &Element) -> Option<String> {
    let format = disk.child("driver").and_then(|driver| driver.value("type"));
    if let Some(format) = format.filter(|format| *format != "raw") {
        return Some(format!("its driver reads the format {format:?}, the disc is \"raw\""));
    }
    if disk.child("backingStore").is_some_and(|store| !store.attributes.is_empty()) {
        return Some("its medium has a backing store".to_owned());
    }
    ["auth", "encryption", "mirror"]
        .into_iter()
        .find(|name| disk.child(name).is_some())
        .map(|name| format!("it has an <{name}>, which belongs to another medium"))
}
