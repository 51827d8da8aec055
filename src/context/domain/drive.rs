//! A CD-ROM drive in a domain's XML: `<disk device='cdrom'>`; or the disk that takes its place for a paravirtual guest.

use std::fmt::{self, Write};
use std::ops::Range;

use anyhow::{Result, bail};

use super::driver::{Device, Driver, Machine, MediaChange};
use super::file_name;
use super::places::Place;
use super::xml::{Attribute, Element};

/// Our alias of a drive that we have plugged into a running VM.
pub(super) const PLUGGED: &str = "ua-recontext";

/// A CD-ROM drive, with the places that an edit needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// Its name in the guest, such as `sda`.
    pub target: String,
    /// Its bus: `ide`, `sata`, `scsi`, `usb`, `xen`…
    pub bus: String,
    /// Which of the devices of its bus it is, where libvirt says so.
    pub(super) model: Option<String>,
    /// Whether it was plugged into a running VM by us, and bears our name for it.
    pub plugged: bool,
    /// Where on its bus it is; its name does not tell.
    pub(super) place: Option<Place>,
    /// What puts its medium in: `qemu`, and for Xen also `phy` and others.
    pub backend: String,
    /// The machine that it is in.
    pub machine: Machine,
    /// What it is to the guest.
    pub device: Device,
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
    /// The overlay in this drive, if libvirt has put one over the context disc.
    pub(super) overlay: Option<Overlay>,
    /// What stands in the way of a raw image file in this drive.
    obstacle: Option<String>,
}

/// What somebody has put into a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium<'d> {
    /// The file of this path.
    File(&'d str),
    /// A device of the host, a volume, or something in the network.
    Other,
}

impl fmt::Display for Medium<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // It is whoever made the VM that has named it: a line of its own it does not get.
            Medium::File(path) => path.chars().try_for_each(|c| f.write_char(if c.is_control() { ' ' } else { c })),
            Medium::Other => f.write_str("a medium that is not a file"),
        }
    }
}

impl Drive {
    /// Reads a `<disk>`; `None` when it is neither a CD-ROM drive nor a disk of a context, which holds the file `image`, or
    /// has no target.
    pub(super) fn read(disk: &Element, machine: Machine, image: &str) -> Option<Drive> {
        let device = match disk.value("device") {
            Some("cdrom") => Device::Cdrom,
            None | Some("disk") if is_disk_of_context(disk, machine, image) => Device::Disk,
            _ => return None,
        };
        let target = disk.child("target")?;
        let overlay = overlay(disk, image);
        Some(Drive {
            target: target.value("dev")?.to_owned(),
            bus: target.value("bus").unwrap_or_default().to_owned(),
            model: disk.value("model").map(str::to_owned),
            plugged: disk.child("alias").and_then(|alias| alias.value("name")) == Some(PLUGGED),
            place: Place::of(disk),
            backend: disk.child("driver").and_then(|driver| driver.value("name")).unwrap_or("qemu").to_owned(),
            machine,
            device,
            read_only: disk.child("readonly").is_some(),
            kind: disk.attribute("type").cloned(),
            source: disk.child("source").cloned(),
            span: disk.span.clone(),
            target_at: target.span.start,
            obstacle: if overlay.is_some() { belongs_elsewhere(disk) } else { obstacle(disk) },
            overlay,
        })
    }

    /// The disk `target` of a context, which has been detached and is to be attached again.
    pub fn detached(target: &str) -> Drive {
        Drive {
            target: target.to_owned(),
            bus: "xen".to_owned(),
            model: None,
            plugged: false,
            place: None,
            backend: HOTPLUG.to_owned(),
            machine: Machine::XenPv,
            device: Device::Disk,
            read_only: true,
            kind: None,
            source: None,
            span: 0..0,
            target_at: 0,
            overlay: None,
            obstacle: None,
        }
    }

    /// How its disc is changed while the VM runs.
    pub fn media_change(&self) -> MediaChange {
        self.machine.media_change(self.device)
    }

    /// The file in the drive; `None` when it is empty or holds something else than a file.
    pub fn path(&self) -> Option<&str> {
        self.is_file().then(|| self.source.as_ref()?.value("file")).flatten()
    }

    /// The file that the guest reads: the one in the drive, or the context disc below the overlay that is in it.
    pub fn image(&self) -> Option<&str> {
        self.overlay.as_ref().map(|overlay| overlay.disc.as_str()).or_else(|| self.path())
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
        // What libvirt 12 makes of a new CD-ROM drive on USB; the older model is a disk that holds its medium for ever.
        let is_usb_bot = self.bus == "usb" && self.model.as_deref() == Some("usb-bot");
        if !is_usb_bot && !buses.contains(&self.bus.as_str()) {
            let [best, second, last] = buses;
            let fit = format!("{best}, {second} or {last}");
            let on = match (self.machine.driver(), self.bus.as_str()) {
                (Driver::Qemu, "usb") => {
                    "the usb bus, where QEMU cannot change a medium but in the model usb-bot".to_owned()
                }
                (_, other) => format!("the bus {other:?}"),
            };
            bail!("the drive {} is on {on}; use a drive on {fit}", self.target);
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

/// The backend whose read-only disks can be attached to a running guest of Xen. With QEMU's, libvirt reports success and
/// the guest gets nothing.
pub(super) const HOTPLUG: &str = "phy";

/// Whether it is a disk that was made for a context, so that it can be taken away from the guest and given back.
fn is_disk_of_context(disk: &Element, machine: Machine, image: &str) -> bool {
    let value = |element: &str, name: &str| disk.child(element).and_then(|element| element.value(name));
    let holds_image = value("source", "file").is_some_and(|path| file_name(path) == image);
    machine == Machine::XenPv
        && holds_image
        && disk.child("readonly").is_some()
        && value("driver", "name") == Some(HOTPLUG)
        && value("target", "bus") == Some("xen")
}

/// A qcow2 file over the VM's context disc, as libvirt 11.3 puts one over every medium when it goes back to an external
/// snapshot. Nobody writes to it, so the guest reads the disc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overlay {
    /// The context disc.
    disc: String,
    /// Where the drive's format stands.
    pub(super) format: Range<usize>,
    /// The whole `<backingStore>`.
    pub(super) below: Range<usize>,
}

/// The overlay in the drive: it is called as the disc is but for its end, and has nothing else below it.
fn overlay(disk: &Element, image: &str) -> Option<Overlay> {
    let stem = |path: &str| file_name(path).rsplit_once('.').map(|(stem, _)| stem.to_owned());
    let format = disk.child("driver")?.attribute("type").filter(|format| format.value == "qcow2")?;
    let over = disk.child("source")?.value("file")?;
    let below = disk.child("backingStore")?;
    let disc = below.child("source")?.value("file").filter(|disc| file_name(disc) == image)?;
    let is_last = below.child("backingStore").is_none_or(|store| store.children.is_empty());
    let is_overlay = stem(over) == stem(disc) && is_last;
    is_overlay.then(|| Overlay { disc: disc.to_owned(), format: format.span.clone(), below: below.span.clone() })
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
    belongs_elsewhere(disk)
}

/// What in a `<disk>` belongs to another medium.
fn belongs_elsewhere(disk: &Element) -> Option<String> {
    ["auth", "encryption", "mirror"]
        .into_iter()
        .find(|name| disk.child(name).is_some())
        .map(|name| format!("it has an <{name}>, which belongs to another medium"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::domain::Domain;
    use crate::context::domain::disk_xml::with_medium;

    #[test]
    fn only_a_disk_that_was_made_for_a_context_is_taken_for_one() {
        let ours = "<disk type='file' device='disk'><driver name='phy' type='raw'/>\
                    <source file='/dir/6695eb01-f6a4-8304-79aa-97f2502e193f.iso'/><target dev='xvdc' bus='xen'/><readonly/></disk>";
        let change = |guest: &str, disk: &str| {
            let xml = format!(
                "<domain type='xen'><name>vm</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>\
                 <os><type>{guest}</type></os><devices>{disk}</devices></domain>"
            );
            Domain::read(&xml).unwrap().drives.first().map(Drive::media_change)
        };
        assert_eq!(change("linux", ours), Some(MediaChange::DetachAndAttach));
        assert_eq!(change("xenpvh", &ours.replace(" device='disk'", "")), Some(MediaChange::DetachAndAttach));
        assert_eq!(change("hvm", ours), None);
        for (old, new) in [
            ("6695eb01", "7695eb01"),
            ("<readonly/>", ""),
            ("'phy'", "'qemu'"),
            ("bus='xen'", "bus='scsi'"),
            ("device='disk'", "device='floppy'"),
        ] {
            assert_eq!(change("linux", &ours.replace(old, new)), None, "{new}");
        }
        assert_eq!(change("linux", &ours.replace("'disk'", "'cdrom'")), Some(MediaChange::Never));
    }

    #[test]
    fn a_usb_drive_can_change_its_medium_if_it_is_a_usb_bot_and_stays_one() {
        let drive = |model: &str| {
            let xml = format!(
                "<domain type='kvm'><name>vm</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid><devices>\
                 <disk type='file' device='cdrom'{model}><target dev='sda' bus='usb'/></disk></devices></domain>"
            );
            Domain::read(&xml).unwrap().drives.first().cloned().unwrap()
        };
        for other in ["", " model='usb-storage'"] {
            let error = drive(other).check().unwrap_err().to_string();
            assert!(error.contains("but in the model usb-bot"), "{error}");
        }
        let bot = drive(" model='usb-bot'");
        assert!(bot.check().is_ok());
        let sent = with_medium(&bot, Some("/x.iso"));
        assert!(sent.starts_with("<disk type='file' device='cdrom' model='usb-bot'>"), "{sent}");
        assert!(!with_medium(&drive(""), None).contains("model"));
    }

    #[test]
    fn an_overlay_over_the_context_disc_is_known() {
        let drive = |disk: &str| {
            let xml = format!(
                "<domain type='kvm'><name>vm</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>\
                 <devices><disk type='file' device='cdrom'>{disk}<target dev='sda' bus='sata'/></disk></devices></domain>"
            );
            Domain::read(&xml).unwrap().drives.first().cloned().unwrap()
        };
        let over = "<driver name='qemu' type='qcow2'/><source file='/dir/6695eb01-f6a4-8304-79aa-97f2502e193f.1795694051'/>\
                    <backingStore type='file'><format type='raw'/>\
                    <source file='/dir/6695eb01-f6a4-8304-79aa-97f2502e193f.iso'/><backingStore/></backingStore>";
        let found = drive(over);
        assert!(found.check().is_ok());
        assert_eq!(found.image(), Some("/dir/6695eb01-f6a4-8304-79aa-97f2502e193f.iso"));
        assert_eq!(found.path(), Some("/dir/6695eb01-f6a4-8304-79aa-97f2502e193f.1795694051"));
        // libvirt works on the overlay just now.
        assert!(drive(&format!("{over}<mirror type='file' job='active-commit'/>")).check().is_err());
        for (old, new) in [
            ("'qcow2'", "'vmdk'"),
            ("193f.iso", "193e.iso"),
            ("/dir/6695eb01-f6a4-8304-79aa-97f2502e193f.1795694051", "/dir/other.qcow2"),
            ("<backingStore/>", "<backingStore type='file'><source file='/x'/></backingStore>"),
        ] {
            let found = drive(&over.replace(old, new));
            assert!(found.check().is_err(), "{new}");
            assert_eq!(found.image(), found.path(), "{new}");
        }
    }
}
