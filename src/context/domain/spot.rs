//! Where a new drive comes: on which bus, at which place of it, and under which name.

use anyhow::{Context, Result};

use super::Domain;
use super::driver::Machine;
use super::places::{Place, Places};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) target: String,
    pub(super) bus: &'static str,
    /// Its place on the bus, if that has to be said: where another disk is in the place that libvirt would give the name.
    pub(super) place: Option<Place>,
}

impl Spot {
    /// A free one, for a drive called `target` if that is said.
    ///
    /// # Errors
    /// When every place or name is taken.
    pub(super) fn find(domain: &Domain, target: Option<&str>) -> Result<Spot> {
        let places = Places::read(domain.xml)?;
        let bus = bus(domain, target, &places);
        let free = || behind_all(domain, bus, free_names(domain, bus));
        let mut names = target.map_or_else(free, |target| vec![target.to_owned()]).into_iter();
        if let Some(fit) = names.clone().find(|name| places.fits(bus, name)) {
            return Ok(Spot { target: fit, bus, place: None });
        }
        let taken = |what: &str| format!("every {what} for a drive on the {bus} bus is taken");
        let place = places.free(bus).with_context(|| taken("place"))?;
        let name = names.next().with_context(|| format!("{}; name one with --target", taken("name")))?;
        Ok(Spot { target: name, bus, place: Some(place) })
    }

    /// Whether a new drive has a spot on a bus that does not depend on what its guest can drive: that of a CD-ROM drive which a
    /// VM of QEMU has, or the one that its name says.
    pub(super) fn is_beside_another(domain: &Domain, target: Option<&str>) -> bool {
        let says_ide = target.is_some_and(|target| target.starts_with("hd"));
        let places = || Places::read(domain.xml).ok();
        says_ide || places().is_some_and(|places| anothers_bus(domain, &places).is_some())
    }
}

/// The bus of a CD-ROM drive that the VM of QEMU has, on which there is a place for another one.
fn anothers_bus(domain: &Domain, places: &Places) -> Option<&'static str> {
    let has_drive = |bus: &&str| domain.drives.iter().any(|drive| drive.bus == *bus);
    // One more on SCSI comes to a controller that guests have a driver for.
    let has_place = |bus: &&str| places.free(bus).is_some() && (*bus != "scsi" || !places.has_virtio_scsi());
    domain.machine.buses().into_iter().filter(has_drive).find(has_place)
}

fn bus(domain: &Domain, target: Option<&str>, places: &Places) -> &'static str {
    let says = |prefix: &str| target.is_some_and(|target| target.starts_with(prefix));
    match domain.machine {
        Machine::Qemu => bus_of_qemu(domain, says("hd"), places),
        Machine::XenHvm | Machine::XenPv if says("hd") => "ide",
        Machine::XenHvm | Machine::XenPv if says("xvd") => "xen",
        Machine::XenHvm | Machine::XenPv if says("sd") => "scsi",
        Machine::XenPv => "xen",
        Machine::XenHvm => "ide",
    }
}

/// That of another drive. Where there is none, ide on the old PC, sata on q35, scsi where there is neither. An old PC that has four
/// drives on ide gets one on scsi, if it has a controller that guests can drive, or else on sata.
fn bus_of_qemu(domain: &Domain, says_ide: bool, places: &Places) -> &'static str {
    let (model, anothers) = (domain.model.as_str(), anothers_bus(domain, places));
    if model.contains("q35") {
        return anothers.unwrap_or("sata");
    }
    let best = match anothers {
        Some(bus) if !says_ide => bus,
        _ if says_ide || model.starts_with("pc") => "ide",
        _ => "scsi",
    };
    match best {
        "ide" if places.free("ide").is_none() && places.has_virtio_scsi() => "scsi",
        "ide" if places.free("ide").is_none() => "sata",
        best => best,
    }
}

/// Those of the names that come behind all CD-ROM drives on the bus, if there are any: a VM that boots from CD-ROM does so from
/// the first one.
fn behind_all(domain: &Domain, bus: &str, names: Vec<String>) -> Vec<String> {
    let order = |name: &str| (name.len(), name.to_owned());
    let last = domain.drives.iter().filter(|drive| drive.bus == bus).map(|drive| order(&drive.target)).max();
    let behind: Vec<String> = names.iter().filter(|name| Some(order(name)) > last).cloned().collect();
    if behind.is_empty() { names } else { behind }
}

fn free_names(domain: &Domain, bus: &str) -> Vec<String> {
    let (prefix, letters) = match (domain.machine, bus) {
        // Where CD-ROM drives are looked for first.
        (Machine::XenHvm, "ide") => ("hd", "cdba"),
        (_, "ide") => ("hd", ALPHABET),
        (_, "xen") => ("xvd", ALPHABET),
        _ => ("sd", ALPHABET),
    };
    // To libxl hda and xvda are the same disk.
    let same = if domain.machine == Machine::XenHvm { ["hd", "xvd"] } else { [prefix; 2] };
    let is_free = |letter: &char| same.iter().all(|prefix| !domain.targets.contains(&format!("{prefix}{letter}")));
    letters.chars().filter(is_free).map(|letter| format!("{prefix}{letter}")).collect()
}

const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyz";

#[cfg(test)]
mod tests {
    use super::super::driver::Device;
    use super::super::new_drive::{Plan, Wanted, plan};
    use super::*;

    /// Any CD-ROM drive.
    const ANY: Wanted = Wanted {
        target: None,
        before: None,
        device: Device::Cdrom,
        path: "/dir/6695eb01-f6a4-8304-79aa-97f2502e193f.iso",
        replace: false,
        plug: false,
    };

    /// The new drive of such a machine, with its controller, when it next starts.
    fn new(machine: &str, devices: &str, target: Option<&str>) -> String {
        let xml = format!(
            "<domain><name>vm</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>\
             <os><type machine='{machine}'>hvm</type></os>{devices}</domain>"
        );
        let planned = plan(&Domain::read(&xml).unwrap(), None, &Wanted { target, ..ANY }).unwrap();
        let Plan::Add(_, devices) = planned else { panic!("no new drive: {planned:?}") };
        devices.concat()
    }

    fn disk(kind: &str, target: &str, bus: &str, place: &str) -> String {
        format!(
            "<disk device='{kind}'><source file='/x'/><target dev='{target}' bus='{bus}'/>\
             <address type='drive' {place}/></disk>"
        )
    }

    fn ide(kind: &str, targets: &[&str]) -> String {
        let place = |n: usize| format!("controller='0' bus='{}' unit='{}'", n / 2, n % 2);
        targets.iter().enumerate().map(|(n, target)| disk(kind, target, "ide", &place(n))).collect()
    }

    const VIRTIO: &str = "<controller type='scsi' index='0' model='virtio-scsi'/>";
    const WINDOWS: &str = "<features><hyperv mode='custom'/></features>";

    #[test]
    fn a_new_drive_is_on_a_bus_that_the_vms_guest_can_drive() {
        let in_devices = |devices: &str| format!("<devices>{devices}</devices>");
        let (plain, windows) = (in_devices(""), in_devices("") + WINDOWS);
        let sata = in_devices(&disk("cdrom", "sda", "sata", "controller='0' bus='0' unit='0'"));
        let with_virtio = in_devices(VIRTIO);
        let full = ide("cdrom", &["hda", "hdb", "hdc", "hdd"]);
        let (some_ide, full_ide) = (in_devices(&ide("cdrom", &["hda"])), in_devices(&full));
        let lsi = "<controller type='scsi' index='0' model='lsilogic'/>";
        let on_lsi = in_devices(&(lsi.to_owned() + &disk("cdrom", "sda", "scsi", "controller='0' bus='0' unit='0'")));
        for (machine, devices, target, bus, has_new_controller) in [
            // That of another CD-ROM drive.
            ("pc-q35-9.2", &sata, None, "dev='sdb' bus='sata'", false),
            ("pc-i440fx-9.2", &sata, None, "dev='sdb' bus='sata'", false),
            ("pc-i440fx-9.2", &some_ide, None, "dev='hdb' bus='ide'", false),
            ("pc-i440fx-9.2", &on_lsi, None, "dev='sdb' bus='scsi'", false),
            // Behind it: a VM may boot from its first one.
            ("pc-i440fx-9.2", &in_devices(&ide("cdrom", &["hdc"])), None, "dev='hdd' bus='ide'", false),
            ("pc-i440fx-9.2", &in_devices(&ide("cdrom", &["hdd"])), None, "dev='hde' bus='ide'", false),
            // Where there is none, or no place: what guests without AHCI have a driver for.
            ("pc-q35-9.2", &plain, None, "dev='sdz' bus='scsi'", true),
            ("pc-q35-9.2", &with_virtio, None, "dev='sdz' bus='scsi'", false),
            ("pc-q35-9.2", &plain, Some("sdx"), "dev='sdx' bus='scsi'", true),
            ("pc-i440fx-9.2", &plain, None, "dev='sdz' bus='scsi'", true),
            ("pc-i440fx-9.2", &full_ide, None, "dev='sdz' bus='scsi'", true),
            ("virt-9.2", &plain, None, "dev='sdz' bus='scsi'", true),
            ("s390-ccw-virtio-9.2", &plain, None, "dev='sdz' bus='scsi'", true),
            // Windows has no driver of its own for a new one.
            ("pc-q35-9.2", &windows, None, "dev='sda' bus='sata'", false),
            ("pc-i440fx-9.2", &windows, None, "dev='hda' bus='ide'", false),
            ("pc-q35-9.2", &(with_virtio.clone() + WINDOWS), None, "dev='sdz' bus='scsi'", false),
            ("pc-i440fx-9.2", &(full_ide.clone() + WINDOWS), None, "dev='sda' bus='sata'", false),
            // What the name says.
            ("pc-i440fx-9.2", &plain, Some("hdc"), "dev='hdc' bus='ide'", false),
            ("pc-q35-9.2", &plain, Some("hda"), "dev='hda' bus='sata'", false),
        ] {
            let new = new(machine, devices, target);
            assert!(new.contains(bus) && new.contains("startupPolicy='optional'"), "{machine} {devices}: {new}");
            assert_eq!(new.contains("model='virtio-scsi'"), has_new_controller, "{machine} {devices}: {new}");
        }
    }

    #[test]
    fn a_new_drive_has_a_place_of_its_own_whatever_the_names_of_the_others() {
        let unraid = disk("cdrom", "sdc", "sata", "controller='0' bus='0' unit='0'");
        let windows = |devices: &str| format!("<devices>{devices}</devices>{WINDOWS}");
        let full = ide("disk", &["hda", "hdb", "hdc", "hdd"]);
        let spelt = |controller, bus, unit| {
            format!(
                "<readonly/><address type='drive' controller='{controller}' bus='{bus}' target='0' unit='{unit}'/></disk>"
            )
        };
        let usual = "<readonly/></disk>".to_owned();
        for (machine, devices, target, wanted, end) in [
            ("pc-q35-9.2", unraid.as_str(), None, "dev='sdd' bus='sata'", usual.clone()),
            ("pc-q35-9.2", unraid.as_str(), Some("sda"), "dev='sda' bus='sata'", spelt(0, 0, 1)),
            ("pc-q35-9.2", unraid.as_str(), Some("hda"), "dev='hda' bus='sata'", spelt(0, 0, 1)),
            ("pc-i440fx-9.2", "", Some("sdz"), "dev='sdz' bus='ide'", spelt(0, 0, 0)),
            ("pc-i440fx-9.2", &ide("disk", &["hdd", "hdc", "hdb"]), None, "dev='hda' bus='ide'", spelt(0, 1, 1)),
            ("pc-i440fx-9.2", &full, None, "dev='sda' bus='sata'", usual.clone()),
            ("pc-i440fx-9.2", &full, Some("sdz"), "dev='sdz' bus='sata'", spelt(0, 0, 0)),
        ] {
            let new = new(machine, &windows(devices), target);
            assert!(new.contains(wanted) && new.ends_with(end.as_str()), "{new}");
        }
        let taken = disk("disk", "sda", "scsi", "controller='0' bus='0' unit='0'");
        let beside = new("pc-q35-9.2", &format!("<devices>{VIRTIO}{taken}</devices>"), Some("sdx"));
        assert!(beside.contains("dev='sdx' bus='scsi'") && beside.contains(" target='127' unit='0'"), "{beside}");
    }

    #[test]
    fn a_new_drive_for_xen_is_one_that_its_guest_can_have() {
        let hda = "<disk type='file' device='disk'><target dev='hda' bus='ide'/></disk>";
        let xvdc = "<disk type='file' device='disk'><target dev='xvdc' bus='xen'/></disk>";
        for (guest, disks, target, wanted) in [
            ("hvm", hda, None, "dev='hdc' bus='ide'"),
            ("hvm", xvdc, None, "dev='hdd' bus='ide'"),
            ("linux", "", None, "dev='xvda' bus='xen'"),
            ("xenpvh", xvdc, Some("xvdd"), "dev='xvdd' bus='xen'"),
        ] {
            let xml = format!(
                "<domain type='xen'><name>vm</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>\
                 <os><type>{guest}</type></os><devices>{disks}</devices></domain>"
            );
            let planned = plan(&Domain::read(&xml).unwrap(), None, &Wanted { target, ..ANY }).unwrap();
            let Plan::Add(_, disk) = planned else { panic!("no new drive") };
            let disk = disk.concat();
            assert!(disk.contains(wanted), "{disk}");
        }
    }
}
