//! The places on the buses of a domain's machine: which are taken, and one for a new drive. libvirt derives a disk's place
//! from its name, and refuses a definition in which two disks have the same.

use anyhow::{Context, Result};

use super::xml::{self, Element};

/// A place on a bus, as an `<address type='drive'>` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) controller: u32,
    pub(super) bus: u32,
    pub(super) target: u32,
    pub(super) unit: u32,
}

impl Place {
    /// The place that a device's own `<address>` tells.
    pub(super) fn of(device: &Element) -> Option<Place> {
        let address = device.child("address").filter(|address| address.value("type") == Some("drive"))?;
        let number = |name: &str| address.value(name).map_or(Some(0), |value| value.parse().ok());
        Some(Place {
            controller: number("controller")?,
            bus: number("bus")?,
            target: number("target")?,
            unit: number("unit")?,
        })
    }
}

/// What is known of the places of a domain.
pub(super) struct Places {
    /// By the name of the bus.
    taken: Vec<(String, Place)>,
    /// The SCSI controllers.
    scsi: Vec<u32>,
    /// Those of them for which guests have a driver: of model `virtio-scsi`.
    virtio_scsi: Vec<u32>,
}

impl Places {
    /// Reads a domain's XML.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn read(xml: &str) -> Result<Places> {
        let wanted = |around: &[Element], _: &str, name: &str| match around {
            [_] => name == "devices",
            [_, _] => matches!(name, "disk" | "controller" | "hostdev"),
            _ => matches!(name, "target" | "address"),
        };
        let root = xml::read(xml, wanted).context("reading the domain's XML")?;
        let devices = || root.child("devices").into_iter();
        let disk = |disk: &Element| {
            let target = disk.child("target")?;
            let bus = target.value("bus")?;
            Some((bus.to_owned(), Place::of(disk).or_else(|| usual(bus, target.value("dev")?))?))
        };
        let hostdev = |hostdev: &Element| Some(("scsi".to_owned(), Place::of(hostdev)?));
        let disks = devices().flat_map(|devices| devices.children_named("disk")).filter_map(disk);
        let hostdevs = devices().flat_map(|devices| devices.children_named("hostdev")).filter_map(hostdev);
        let controllers = || devices().flat_map(|devices| devices.children_named("controller"));
        let scsi = || controllers().filter(|it| it.value("type") == Some("scsi"));
        let number = |it: &Element| it.value("index").map_or(Some(0), |index| index.parse().ok());
        let is_virtio = |it: &&Element| it.value("model") == Some("virtio-scsi");
        Ok(Places {
            taken: disks.chain(hostdevs).collect(),
            scsi: scsi().filter_map(number).collect(),
            virtio_scsi: scsi().filter(is_virtio).filter_map(number).collect(),
        })
    }

    /// What is free both here and there: in a running VM and in its definition. A controller that one of them lacks is given to it.
    pub(super) fn and(mut self, other: Places) -> Places {
        let may_be =
            |places: &Places, number: &u32| !places.scsi.contains(number) || places.virtio_scsi.contains(number);
        let either = self.virtio_scsi.iter().chain(&other.virtio_scsi).copied();
        self.virtio_scsi = either.filter(|number| may_be(&self, number) && may_be(&other, number)).collect();
        self.taken.extend(other.taken);
        self.scsi.extend(other.scsi);
        self
    }

    /// A free place for a drive on SCSI: at the far end of a controller that is there, or else on a new one. Managers count the
    /// places of their controllers from the start, and know nothing of a drive of ours that would have the next one.
    pub(super) fn on_scsi(&self) -> Option<Place> {
        let far_end =
            |&controller| (1..=LAST_TARGET).rev().map(move |target| Place { controller, bus: 0, target, unit: 0 });
        let shared = self.virtio_scsi.iter().flat_map(far_end);
        let new = (0..MOST).filter_map(|index| at("scsi", index)).filter(|place| !self.has_scsi(place.controller));
        shared.chain(new).find(|place| self.takes_on_scsi(*place))
    }

    /// Whether the SCSI controller of this number is there.
    pub(super) fn has_scsi(&self, controller: u32) -> bool {
        self.scsi.contains(&controller)
    }

    /// Whether this place on SCSI is free, on a controller for which guests have a driver, or none yet.
    pub(super) fn takes_on_scsi(&self, place: Place) -> bool {
        let may_be = self.virtio_scsi.contains(&place.controller) || !self.scsi.contains(&place.controller);
        may_be && !self.taken.iter().any(|(bus, taken)| bus == "scsi" && *taken == place)
    }

    /// Whether it has a SCSI controller for which guests have a driver.
    pub(super) fn has_virtio_scsi(&self) -> bool {
        !self.virtio_scsi.is_empty()
    }

    /// Whether a new disk of this name comes to a place of its own by the name alone, and without more controllers than are
    /// needed: for an `sdz` libvirt would add four.
    pub(super) fn fits(&self, bus: &str, name: &str) -> bool {
        let is_near = |place: Place| self.free(bus).is_some_and(|first| place.controller <= first.controller);
        match (at(bus, 0), usual(bus, name)) {
            (None, _) => true,
            (Some(_), place) => place.is_some_and(|place| self.is_free(bus, place) && is_near(place)),
        }
    }

    /// The first free place on a bus. Where it needs a controller that is not there yet, libvirt adds that.
    pub(super) fn free(&self, bus: &str) -> Option<Place> {
        (0..MOST).filter_map(|index| at(bus, index)).find(|place| self.is_free(bus, *place))
    }

    /// Whether a drive may come there, and nothing else is there.
    fn is_free(&self, bus: &str, place: Place) -> bool {
        let may_be = match bus {
            // No machine of QEMU has a second such controller.
            "ide" => place.controller == 0,
            "scsi" => !self.has_virtio_scsi() || self.virtio_scsi.contains(&place.controller),
            _ => true,
        };
        may_be && !self.taken.iter().any(|(other, taken)| other == bus && *taken == place)
    }
}

/// The last target of a virtio-scsi controller that every guest looks at: Windows' storport knows 128.
const LAST_TARGET: u32 = 127;

/// So many disks are thought of on a bus.
const MOST: u32 = 60;

/// The place that libvirt gives a disk of this name, if names have places on that bus and this is one.
fn usual(bus: &str, name: &str) -> Option<Place> {
    let letters = ["xvd", "hd", "sd", "vd"].iter().find_map(|prefix| name.strip_prefix(prefix))?;
    let is_name = (1..=3).contains(&letters.len()) && letters.bytes().all(|letter| letter.is_ascii_lowercase());
    let count = |before, letter| before * 26 + u32::from(letter - b'a') + 1;
    is_name.then(|| letters.bytes().fold(0u32, count).checked_sub(1)).flatten().and_then(|index| at(bus, index))
}

/// The place of the disk with this number: two on a bus and two buses with IDE, six with SATA; with SCSI sixteen, of which
/// the controller itself has the eighth.
fn at(bus: &str, index: u32) -> Option<Place> {
    Some(match bus {
        "ide" => Place { controller: index / 4, bus: index % 4 / 2, target: 0, unit: index % 2 },
        "sata" => Place { controller: index / 6, bus: 0, target: 0, unit: index % 6 },
        "scsi" => Place { controller: index / 15, bus: 0, target: 0, unit: index % 15 + u32::from(index % 15 >= 7) },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(devices: &str) -> Places {
        Places::read(&format!("<domain><devices>{devices}</devices></domain>")).unwrap()
    }

    fn place(controller: u32, bus: u32, unit: u32) -> Place {
        Place { controller, bus, target: 0, unit }
    }

    #[test]
    fn a_disk_has_the_place_that_libvirt_gives_its_name() {
        for (bus, name, wanted) in [
            ("ide", "hda", Some(place(0, 0, 0))),
            ("ide", "hdd", Some(place(0, 1, 1))),
            ("ide", "hde", Some(place(1, 0, 0))),
            ("sata", "sdf", Some(place(0, 0, 5))),
            ("sata", "sdg", Some(place(1, 0, 0))),
            ("sata", "hdb", Some(place(0, 0, 1))),
            ("sata", "sdab", Some(place(4, 0, 3))),
            ("scsi", "sdg", Some(place(0, 0, 6))),
            ("scsi", "sdh", Some(place(0, 0, 8))),
            ("scsi", "sdp", Some(place(1, 0, 0))),
            ("sata", "sd", None),
            ("sata", "sda1", None),
            ("sata", "cdrom", None),
            ("xen", "xvda", None),
        ] {
            assert_eq!(usual(bus, name), wanted, "{name} on {bus}");
        }
    }

    #[test]
    fn a_place_that_anything_has_is_not_free() {
        let taken = places(
            "<disk><target dev='sdc' bus='sata'/><address type='drive' controller='0' bus='0' target='0' unit='0'/></disk>\
             <disk><target dev='sdb' bus='sata'/></disk><disk><target dev='sda' bus='usb'/></disk>\
             <hostdev><address type='drive' unit='0'/></hostdev><hostdev><address type='pci' slot='0x01'/></hostdev>",
        );
        assert!(!taken.fits("sata", "sda") && !taken.fits("sata", "sdb") && taken.fits("sata", "sdc"));
        assert!(!taken.fits("sata", "cdrom") && !taken.fits("sata", "sdz") && taken.fits("xen", "xvda"));
        assert_eq!(taken.free("sata"), Some(place(0, 0, 2)));
        assert_eq!(taken.free("scsi"), Some(place(0, 0, 1)));
        assert_eq!(taken.free("ide"), Some(place(0, 0, 0)));
    }

    #[test]
    fn ide_has_four_places_and_sata_as_many_as_are_needed() {
        let full = |bus: &str, names: &str| -> Places {
            let disk = |letter| format!("<disk><target dev='hd{letter}' bus='{bus}'/></disk>");
            places(&names.chars().map(disk).collect::<String>())
        };
        assert_eq!(full("ide", "abc").free("ide"), Some(place(0, 1, 1)));
        assert_eq!(full("ide", "abcd").free("ide"), None);
        assert_eq!(full("sata", "abcdef").free("sata"), Some(place(1, 0, 0)));
    }

    #[test]
    fn a_scsi_drive_comes_to_a_controller_that_guests_can_drive() {
        let some = places(
            "<controller type='scsi' index='0' model='lsilogic'/><controller type='scsi' index='1' model='virtio-scsi'/>",
        );
        assert!(some.has_virtio_scsi() && !some.fits("scsi", "sda"));
        assert_eq!(some.free("scsi"), Some(place(1, 0, 0)));
        assert!(places("<controller type='scsi' model='virtio-scsi'/>").fits("scsi", "sda"));
        assert!(!places("<controller type='sata' index='0'/>").has_virtio_scsi());
    }
}
