//! A drive that is plugged into a running VM: a CD-ROM drive on SCSI, the one bus on which QEMU takes one, with a controller
//! that guests have a driver for. Both bear a name of ours, so that they are known again on every host.

use anyhow::{Context, Result, bail, ensure};

use super::Domain;
use super::disk_xml::Disk;
use super::drive::{Drive, PLUGGED};
use super::driver::{Device, Machine};
use super::image_name;
use super::places::{Place, Places};
use super::xml::{self, Element};

/// Our alias of the drive's controller.
const CONTROLLER: &str = "ua-recontext-scsi";

/// What is to be plugged in, as libvirt is given it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plug {
    /// The drive, as it will be.
    pub drive: Drive,
    /// The controller to be plugged in before it.
    pub controller: Option<String>,
    /// The drive with the disc in it.
    pub disk: String,
}

/// Plans to plug a drive with the disc at `path` into the running VM `live`: the drive `target` as the definition has it,
/// where it does, or else one that has a place in both.
///
/// # Errors
/// Why none can be plugged in.
pub fn plan(live: &Domain, defined: Option<&Domain>, target: Option<&str>, path: &str) -> Result<Plug> {
    ensure!(live.machine == Machine::Qemu, "Xen takes no new drive into a running VM that can change its medium");
    ensure!(!is_windows(live.xml)?, "{WINDOWS}");
    let there = target.zip(defined).and_then(|(target, defined)| defined.drive_called(target));
    let (target, place) = match there {
        Some(Drive { target, bus, .. }) if bus != "scsi" => {
            bail!("the definition has the drive {target} on the {bus} bus, and none can be plugged in there")
        }
        Some(Drive { target, place, .. }) => {
            let place =
                place.with_context(|| format!("the definition does not tell the place of the drive {target}"))?;
            (target.clone(), place)
        }
        None => {
            let places = Places::read(live.xml)?;
            let places = match defined {
                Some(defined) => places.and(Places::read(defined.xml)?),
                None => places,
            };
            (name(live, defined, target)?, places.on_scsi().context(TAKEN)?)
        }
    };
    plug(live, &target, place, path)
}

/// Plans the same drive for the next start of the VM `defined`.
///
/// # Errors
/// Why it is none that its guest could drive.
pub(super) fn at_next_start(defined: &Domain, target: Option<&str>, path: &str) -> Result<Plug> {
    ensure!(defined.machine == Machine::Qemu, "Xen has drives of its own");
    let place = Places::read(defined.xml)?.on_scsi().context(TAKEN)?;
    let plug = plug(defined, &name(defined, None, target)?, place, path)?;
    ensure!(plug.controller.is_none() || !is_windows(defined.xml)?, "{WINDOWS}");
    Ok(plug)
}

/// The drive that the running VM `live` was given, for its definition, which has none.
pub(super) fn as_in(live: &Domain, defined: &Domain, path: &str) -> Option<Plug> {
    let (drive, _) = plugged(live).next()?;
    let places = Places::read(defined.xml).ok()?;
    let (name, place) = (drive.target.as_str(), drive.place?);
    let is_free = !defined.targets.iter().any(|taken| taken == name) && places.takes_on_scsi(place);
    is_free.then(|| plug(defined, name, place, path).ok()).flatten()
}

const TAKEN: &str = "every place for a drive on the scsi bus is taken";
const WINDOWS: &str = "Windows has no driver of its own for the drive that could be plugged in";

fn plug(domain: &Domain, target: &str, place: Place, path: &str) -> Result<Plug> {
    let is_new = !Places::read(domain.xml)?.has_scsi(place.controller);
    let disk = disk(target, place, path);
    let element = xml::read(&disk, |_, _, _| true)?;
    let drive = Drive::read(&element, domain.machine, &image_name(&domain.uuid)).context("planning a drive")?;
    Ok(Plug { drive, controller: is_new.then(|| controller(place.controller)), disk })
}

impl Plug {
    /// The same drive, with what the definition lacks of it.
    pub(super) fn in_definition(&self, defined: &Domain, path: &str) -> Result<Plug> {
        let place = self.drive.place.context("the drive that is planned has no place")?;
        plug(defined, &self.drive.target, place, path)
    }

    /// Whether the running VM has room for it, as far as that can be told.
    ///
    /// # Errors
    /// What it lacks.
    pub fn check_room(&self, live: &Domain) -> Result<()> {
        let full = self.controller.is_some() && free_slots(live.xml) == Some(0);
        ensure!(!full, "its machine has no free PCIe root port or slot for the drive's controller");
        Ok(())
    }
}

/// A free name, from the end: managers give their next disk the next name, and the first CD-ROM drive may be the one that the VM
/// boots from.
fn name(live: &Domain, defined: Option<&Domain>, target: Option<&str>) -> Result<String> {
    let taken = |name: &String| {
        [Some(live), defined].into_iter().flatten().any(|domain| domain.targets.iter().any(|other| other == name))
    };
    let all = || ('a'..='z').rev().map(|letter| format!("sd{letter}")).collect();
    let mut names = target.map_or_else(all, |target| vec![target.to_owned()]);
    names.retain(|name| !taken(name));
    names.into_iter().next().context("every name for a drive on the scsi bus is taken; name one with --target")
}

fn disk(target: &str, place: Place, path: &str) -> String {
    let (device, backend, path, alias) = (Device::Cdrom, "qemu", Some(path), Some(PLUGGED));
    Disk { device, model: None, backend, path, target, bus: "scsi", alias, place: Some(place) }.to_xml()
}

fn controller(index: u32) -> String {
    format!("<controller type='scsi' index='{index}' model='virtio-scsi'><alias name='{CONTROLLER}'/></controller>")
}

/// The drives that were plugged in, each with its `<disk>` as it stands in the domain's XML.
pub fn plugged<'d>(domain: &'d Domain) -> impl Iterator<Item = (&'d Drive, &'d str)> {
    let ours = domain.drives.iter().filter(|drive| drive.plugged);
    ours.filter_map(|drive| Some((drive, domain.xml.get(drive.span.clone())?)))
}

/// The controller that was plugged in for our drive, as it stands in the domain's XML, if nothing hangs on it any more.
///
/// # Errors
/// When the XML cannot be read.
pub fn idle_controller(xml: &str) -> Result<Option<String>> {
    let wanted = |around: &[Element], _: &str, name: &str| match around {
        [_] => name == "devices",
        [_, _] => matches!(name, "disk" | "controller" | "hostdev"),
        _ => matches!(name, "alias" | "address" | "target"),
    };
    let root = xml::read(xml, wanted).context("reading the domain's XML")?;
    let devices = || root.child("devices").into_iter().flat_map(|devices| &devices.children);
    let is_ours = |element: &&Element| element.child("alias").and_then(|alias| alias.value("name")) == Some(CONTROLLER);
    let Some(ours) = devices().filter(|element| element.name == "controller").find(is_ours) else { return Ok(None) };
    let index = ours.value("index").unwrap_or("0");
    let on_scsi = |element: &&Element| {
        element.name == "hostdev" || element.child("target").and_then(|target| target.value("bus")) == Some("scsi")
    };
    let hangs = |element: &Element| element.child("address").and_then(|it| it.value("controller")) == Some(index);
    let is_used = devices().filter(|element| element.name != "controller").filter(on_scsi).any(hangs);
    Ok(if is_used { None } else { xml.get(ours.span.clone()).map(str::to_owned) })
}

/// How many devices can still be plugged into a running PC: into the root ports of a q35, or the slots of an older one.
pub fn free_slots(xml: &str) -> Option<usize> {
    let wanted = |around: &[Element], _: &str, name: &str| match around {
        [_] => name == "devices",
        [_, _] => true,
        _ => name == "address",
    };
    let root = xml::read(xml, wanted).ok()?;
    let devices = || root.child("devices").into_iter().flat_map(|devices| &devices.children);
    let number = |text: &str| u32::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok();
    let at = |element: &Element, what: &str| {
        let address = element.child("address").filter(|address| address.value("type") == Some("pci"))?;
        number(address.value(what)?)
    };
    let of_model = |model: &'static str| {
        let controllers = devices().filter(|it| it.name == "controller" && it.value("type") == Some("pci"));
        controllers.filter(move |it| it.value("model") == Some(model))
    };
    let is_used = |bus: u32| devices().any(|device| at(device, "bus") == Some(bus));
    let ports: Vec<u32> = of_model("pcie-root-port").filter_map(|port| port.value("index")?.parse().ok()).collect();
    if of_model("pcie-root").next().is_some() {
        return Some(ports.into_iter().filter(|port| !is_used(*port)).count());
    }
    of_model("pci-root").next()?;
    let on_root = |slot: u32| devices().any(|it| at(it, "bus") == Some(0) && at(it, "slot") == Some(slot));
    // Slot 1 is the chipset's, of which the XML need not tell.
    Some((2..32).filter(|slot| !on_root(*slot)).count())
}

/// Whether its guest is Windows, as far as the XML tells: by libosinfo's name for it, or else by what only Windows uses.
fn is_windows(xml: &str) -> Result<bool> {
    let wanted = |around: &[Element], _: &str, name: &str| match around {
        [_] => matches!(name, "metadata" | "features"),
        [_, features] if features.name == "features" => name == "hyperv",
        _ => matches!(name, "libosinfo" | "os"),
    };
    let root = xml::read(xml, wanted).context("reading the domain's XML")?;
    let libosinfo = root.child("metadata").into_iter().flat_map(|metadata| &metadata.children);
    let name = libosinfo.flat_map(|info| &info.children).find_map(|os| os.value("id"));
    let has_hyperv = || root.child("features").is_some_and(|features| !features.children.is_empty());
    Ok(name.map_or_else(has_hyperv, |name| name.starts_with("http://microsoft.com/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/dir/6695eb01-f6a4-8304-79aa-97f2502e193f.iso";
    const VIRTIO: &str = "<controller type='scsi' index='0' model='virtio-scsi'/>";

    fn domain(inner: &str) -> String {
        format!(
            "<domain type='kvm'><name>vm</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>\
             <os><type machine='pc-q35-9.2'>hvm</type></os>{inner}</domain>"
        )
    }

    fn with(devices: &str) -> String {
        domain(&format!("<devices>{devices}</devices>"))
    }

    fn planned(live: &str, defined: Option<&str>, target: Option<&str>) -> Result<Plug> {
        let defined = defined.map(Domain::read).transpose()?;
        plan(&Domain::read(live)?, defined.as_ref(), target, PATH)
    }

    #[test]
    fn a_drive_comes_to_a_place_and_a_name_that_are_free_in_the_vm_and_in_its_definition() {
        let disk = |name: &str, unit: u32| {
            format!(
                "<disk device='disk'><target dev='{name}' bus='scsi'/><address type='drive' controller='0' bus='0' \
                 target='0' unit='{unit}'/></disk>"
            )
        };
        let (live, defined) =
            (with(&(VIRTIO.to_owned() + &disk("sda", 0))), with(&(VIRTIO.to_owned() + &disk("sdb", 1))));
        let plug = planned(&live, Some(&defined), None).unwrap();
        assert_eq!((plug.drive.target.as_str(), plug.controller), ("sdz", None));
        assert!(
            plug.drive.plugged && plug.disk.contains("controller='0' bus='0' target='127' unit='0'"),
            "{}",
            plug.disk
        );
        // What one of the two lacks it gets.
        let bare = with("");
        let read = |xml| Domain::read(xml).unwrap();
        let plug = plan(&read(&live), Some(&read(&bare)), None, PATH).unwrap();
        assert_eq!(plug.controller, None);
        assert!(plug.in_definition(&read(&bare), PATH).unwrap().controller.is_some_and(|it| it.contains("index='0'")));
        // What a killed `enable` has left in the definition, or somebody has plugged into the running VM alone, is used.
        for (live, defined) in [(with(""), with(VIRTIO)), (with(VIRTIO), with(""))] {
            let plug = planned(&live, Some(&defined), None).unwrap();
            assert_eq!(plug.controller.is_some(), !live.contains(VIRTIO));
            assert!(plug.disk.contains("controller='0' bus='0' target='127' unit='0'"), "{}", plug.disk);
        }
        // Another kind of controller in one of the two is no place for both.
        let lsi = with("<controller type='scsi' index='0' model='lsilogic'/>");
        for (live, defined) in [(&live, &lsi), (&lsi, &live)] {
            let plug = planned(live, Some(defined), None).unwrap();
            let controller =
                "<controller type='scsi' index='1' model='virtio-scsi'><alias name='ua-recontext-scsi'/></controller>";
            assert_eq!(plug.controller.as_deref(), Some(controller));
            assert!(plug.disk.contains("controller='1' bus='0' target='0' unit='0'"), "{}", plug.disk);
        }
    }

    #[test]
    fn what_the_definition_has_already_is_plugged_in_as_it_is_there() {
        let bare = with("");
        let plug = planned(&bare, Some(&bare), None).unwrap();
        let defined = with(&(plug.controller.clone().unwrap() + &plug.disk));
        assert_eq!(planned(&bare, Some(&defined), Some("sdz")).unwrap(), plug);
        let half = with(&plug.controller.clone().unwrap());
        assert_eq!(planned(&half, Some(&defined), Some("sdz")).unwrap(), Plug { controller: None, ..plug });
        let sata = with("<disk device='cdrom'><target dev='sda' bus='sata'/></disk>");
        let error = planned(&bare, Some(&sata), Some("sda")).unwrap_err().to_string();
        assert!(error.contains("has the drive sda on the sata bus"), "{error}");
    }

    #[test]
    fn a_definition_that_lost_the_drive_gets_it_as_it_is_in_the_running_vm() {
        let bare = with("");
        let plug = planned(&bare, None, Some("sdx")).unwrap();
        let live = with(&(plug.controller.clone().unwrap() + &plug.disk));
        let given = |defined: &str| as_in(&Domain::read(&live).unwrap(), &Domain::read(defined).unwrap(), PATH);
        assert_eq!(given(&bare), Some(plug.clone()));
        assert_eq!(given(&with(VIRTIO)), Some(Plug { controller: None, ..plug }));
        assert_eq!(given(&with("<controller type='scsi' index='0' model='lsilogic'/>")), None);
        assert_eq!(given(&live), None);
    }

    #[test]
    fn windows_is_known_by_its_name_or_by_what_only_windows_uses() {
        let named = |id: &str| {
            let info =
                "<l:libosinfo xmlns:l='http://libosinfo.org/xmlns/libvirt/domain/1.0'><l:os id='ID'/></l:libosinfo>";
            let info = info.replace("ID", id);
            domain(&format!("<metadata>{info}</metadata><features><hyperv mode='custom'/></features>"))
        };
        for (xml, windows) in [
            (named("http://microsoft.com/win/11"), true),
            (named("http://debian.org/debian/12"), false),
            (domain("<features><hyperv mode='custom'/></features>"), true),
            (domain("<features><acpi/></features>"), false),
        ] {
            assert_eq!(is_windows(&xml).unwrap(), windows, "{xml}");
            assert_eq!(planned(&xml, None, None).is_err(), windows);
        }
    }

    #[test]
    fn our_controller_goes_when_nothing_hangs_on_it() {
        let plug = planned(&with(""), None, None).unwrap();
        let controller = plug.controller.unwrap();
        assert_eq!(idle_controller(&with(&(controller.clone() + &plug.disk))).unwrap(), None);
        assert_eq!(idle_controller(&with(&controller)).unwrap(), Some(controller));
        assert_eq!(idle_controller(&with(VIRTIO)).unwrap(), None);
    }

    #[test]
    fn free_slots_are_counted_where_devices_can_be_plugged() {
        let port = |index: u32| {
            format!(
                "<controller type='pci' index='{index}' model='pcie-root-port'><address type='pci' bus='0x00' slot='0x02' \
                 function='0x{index}'/></controller>"
            )
        };
        let nic = "<interface><address type='pci' bus='0x01' slot='0x00'/></interface>";
        let q35 = format!("<controller type='pci' index='0' model='pcie-root'/>{}{}{nic}", port(1), port(2));
        assert_eq!(free_slots(&with(&q35)), Some(1));
        let pc = "<controller type='pci' index='0' model='pci-root'/><video><address type='pci' bus='0x00' slot='0x1f'/></video>";
        assert_eq!(free_slots(&with(pc)), Some(29));
        assert_eq!(free_slots(&with("")), None);
    }
}
