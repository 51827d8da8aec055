//! The CD-ROM drive for the context disc in a persistent definition: chosen among those that are there, or a new one.

use anyhow::{Context, Result, bail, ensure};

use super::Domain;
use super::disk_xml::Disk;
use super::drive::{Drive, HOTPLUG, Medium};
use super::driver::{Device, Machine};
use super::places::{Place, Places};
use super::plug::{self, Plug};
use super::rewrite;

/// What has to be done so that a domain has a drive with its disc in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// It has: the drive of this name.
    Ready(String),
    /// The drive of this name is to be changed to this `<disk>`.
    Change(String, String),
    /// These devices are to be added, in this order; the last is the drive of this name.
    Add(String, Vec<String>),
}

impl Plan {
    /// The drive's name.
    pub fn target(&self) -> &str {
        match self {
            Plan::Ready(target) | Plan::Change(target, _) | Plan::Add(target, _) => target,
        }
    }
}

/// What the drive is to be.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The name of the drive, for whoever says one.
    pub target: Option<&'a str>,
    /// The drive that the domain's opt-in names.
    pub before: Option<&'a str>,
    /// What the guest is to see the disc on; as a disk, only where the domain can have one.
    pub device: Device,
    /// Where the disc's image lies.
    pub path: &'a str,
    /// Whether it may take the place of somebody's medium.
    pub replace: bool,
    /// Whether a new one is to be one that can be plugged into the running VM, if that is possible.
    pub plug: bool,
}

/// Plans the drive for the disc: the CD-ROM drive with the name that is wanted, or a new one of that name. Where none is
/// said, the drive that holds the domain's disc, the one that its opt-in names, one that is empty here and in `live`, the
/// running VM, or a new one.
///
/// # Errors
/// When the target is another device, the drive cannot take the disc, or it holds somebody's medium that is not to be
/// replaced.
pub fn plan(domain: &Domain, live: Option<&Domain>, wanted: &Wanted) -> Result<Plan> {
    let Wanted { target, device, path, .. } = *wanted;
    let as_disk = device == Device::Disk;
    ensure!(
        !as_disk || domain.machine == Machine::XenPv,
        "only a paravirtual guest of Xen has its context on a disk; the drives of others change their media"
    );
    let chosen = match target {
        Some(target) => domain.drive_called(target),
        None => fit(domain, live, wanted),
    };
    let other = chosen.filter(|drive| as_disk && drive.device != Device::Disk);
    ensure!(other.is_none(), "{} is a CD-ROM drive; name another target for the disk", target.unwrap_or_default());
    if let Some(drive) = chosen {
        let target = &drive.target;
        if domain.somebodys_medium(target, path) == Some(Medium::Other) {
            bail!("the drive {target} holds {}, which could not be put back; take it out first", Medium::Other);
        }
        for (domain, when) in [(Some(domain), ""), (live, "in the running VM ")] {
            let theirs = domain.and_then(|domain| domain.somebodys_medium(target, path)).filter(|_| !wanted.replace);
            if let Some(theirs) = theirs {
                bail!("{when}the drive {target} holds {theirs}; choose another drive, or take that out with --replace");
            }
        }
        return Ok(match rewrite::with_disc(domain, drive, path)? {
            None => Plan::Ready(drive.target.clone()),
            Some(edited) => Plan::Change(drive.target.clone(), disk_element(&edited, &drive.target)?),
        });
    }
    if let Some(taken) = domain.targets.iter().find(|other| Some(other.as_str()) == target) {
        bail!("{taken} is a disk of another kind, not a CD-ROM drive");
    }
    // The name in the opt-in may by now be that of another disk.
    let before = wanted.before.filter(|before| domain.targets.iter().all(|taken| taken != before));
    let target = target.or(before);
    let plug = live.filter(|_| wanted.plug && !as_disk).map(|live| plug::plan(live, Some(domain), target, path));
    if let Some(Ok(Plug { drive, controller, disk })) = plug {
        return Ok(Plan::Add(drive.target, controller.into_iter().chain([disk]).collect()));
    }
    let places = Places::read(domain.xml)?;
    let bus = bus(domain, target, &places);
    let (target, place) = name_and_place(domain, target, bus, &places)?;
    let backend = if as_disk { HOTPLUG } else { "qemu" };
    let disk =
        Disk { device, model: None, backend, path: Some(path), target: &target, bus, alias: None, place }.to_xml();
    Ok(Plan::Add(target, vec![disk]))
}

/// The `<disk>` of the drive that held our disc with the file `path` in its place, or empty.
///
/// # Errors
/// When the domain's XML cannot be read again.
pub fn given_back(domain: &Domain, drive: &Drive, path: Option<&str>) -> Result<String> {
    let edited = match path {
        Some(path) => rewrite::with_disc(domain, drive, path)?.unwrap_or_else(|| domain.xml.to_owned()),
        None => rewrite::without_disc(domain, drive)?,
    };
    disk_element(&edited, &drive.target)
}

/// A drive that can take the disc: it holds it, or the opt-in names it, or it is empty in the running VM, too.
fn fit<'d>(domain: &'d Domain, live: Option<&Domain>, wanted: &Wanted) -> Option<&'d Drive> {
    let is_free = |drive: &&Drive| live.is_none_or(|live| live.somebodys_medium(&drive.target, wanted.path).is_none());
    let is_as_wanted = |drive: &&Drive| wanted.device == Device::Cdrom || drive.device == wanted.device;
    let usable = |drive: &&Drive| is_as_wanted(drive) && drive.check().is_ok();
    let named = || wanted.before.and_then(|before| domain.drive_called(before));
    let with_disc = || domain.drives_with_disc().find(usable);
    let named_with_disc = named().filter(|named| domain.drives_with_disc().any(|drive| drive.target == named.target));
    let empty = || domain.drives.iter().filter(|drive| drive.is_empty()).filter(is_free).find(usable);
    named_with_disc.or_else(with_disc).or_else(named).or_else(empty)
}

fn disk_element(xml: &str, target: &str) -> Result<String> {
    let domain = Domain::read(xml)?;
    let drive = domain.drives.iter().find(|drive| drive.target == target);
    let disk = drive.and_then(|drive| xml.get(drive.span.clone()));
    disk.map(str::to_owned).with_context(|| format!("the drive {target} is not in the edited XML"))
}

/// The bus for a new drive: for QEMU ide on the old PC, sata on q35, scsi where there is neither; for Xen what the name
/// says, or else its own for a PV guest and ide where there is hardware to emulate. An old PC that has four drives on ide gets
/// one on scsi, if it has a controller that guests can drive, or else on sata.
fn bus(domain: &Domain, target: Option<&str>, places: &Places) -> &'static str {
    let model = domain.model.as_str();
    let old_pc = model.starts_with("pc") && !model.starts_with("pc-q35");
    let best = match (domain.machine, target) {
        (Machine::Qemu, _) if model.contains("q35") => "sata",
        (_, Some(target)) if target.starts_with("hd") => "ide",
        (Machine::XenHvm | Machine::XenPv, Some(target)) if target.starts_with("xvd") => "xen",
        (Machine::XenHvm | Machine::XenPv, Some(target)) if target.starts_with("sd") => "scsi",
        (Machine::XenPv, _) => "xen",
        (Machine::XenHvm, _) => "ide",
        (Machine::Qemu, _) if old_pc => "ide",
        (Machine::Qemu, _) => "scsi",
    };
    match domain.machine {
        Machine::Qemu if best == "ide" && places.free(best).is_none() && places.has_virtio_scsi() => "scsi",
        Machine::Qemu if best == "ide" && places.free(best).is_none() => "sata",
        _ => best,
    }
}

/// The name of the new drive, and its place on the bus if that has to be said: where another disk is in the place that
/// libvirt would give the name.
fn name_and_place(
    domain: &Domain,
    target: Option<&str>,
    bus: &str,
    places: &Places,
) -> Result<(String, Option<Place>)> {
    let free = free_names(domain, bus);
    let mut names = target.map_or(free, |target| vec![target.to_owned()]).into_iter();
    if let Some(fit) = names.clone().find(|name| places.fits(bus, name)) {
        return Ok((fit, None));
    }
    let taken = |what: &str| format!("every {what} for a drive on the {bus} bus is taken");
    let place = places.free(bus).with_context(|| taken("place"))?;
    let name = names.next().with_context(|| format!("{}; name one with --target", taken("name")))?;
    Ok((name, Some(place)))
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
    use super::*;

    fn planned(machine: &str, disks: &str, target: Option<&str>) -> Result<Plan> {
        let xml = format!(
            "<domain><name>vm</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>\
             <os><type machine='{machine}'>hvm</type></os><devices>{disks}</devices></domain>"
        );
        plan(&Domain::read(&xml).unwrap(), None, &Wanted { target, ..ANY })
    }

    /// Any CD-ROM drive.
    const ANY: Wanted = Wanted {
        target: None,
        before: None,
        device: Device::Cdrom,
        path: "/dir/6695eb01-f6a4-8304-79aa-97f2502e193f.iso",
        replace: false,
        plug: false,
    };

    const DISK: &str = "<disk type='file' device='disk'><source file='/d'/><target dev='sda' bus='sata'/></disk>";
    const FOREIGN: &str =
        "<disk type='file' device='cdrom'><source file='/install.iso'/><target dev='sdb' bus='sata'/></disk>";
    const EMPTY: &str = "<disk type='file' device='cdrom'><target dev='sdc' bus='sata'/></disk>";

    #[test]
    fn a_new_drive_fits_the_machine_and_takes_a_free_name() {
        for (machine, disks, target, wanted) in [
            ("pc-q35-9.2", DISK, None, "dev='sdb' bus='sata'"),
            ("pc-i440fx-9.2", "", None, "dev='hda' bus='ide'"),
            ("virt-9.2", "", None, "dev='sda' bus='scsi'"),
            ("pc-q35-9.2", FOREIGN, None, "dev='sda' bus='sata'"),
            ("pc-q35-9.2", "", Some("sdx"), "dev='sdx' bus='sata'"),
        ] {
            let Plan::Add(_, disk) = planned(machine, disks, target).unwrap() else { panic!("no new drive") };
            let disk = disk.concat();
            assert!(disk.contains(wanted) && disk.contains("startupPolicy='optional'"), "{disk}");
        }
    }

    #[test]
    fn a_new_drive_has_a_place_of_its_own_whatever_the_names_of_the_others() {
        let at = |target: &str, bus: &str, place: &str| {
            format!("<disk><target dev='{target}' bus='{bus}'/><address type='drive' {place}/></disk>")
        };
        let unraid = at("sdc", "sata", "controller='0' bus='0' unit='0'");
        let ide = |targets: &[&str]| -> String {
            let place = |n: usize| format!("controller='0' bus='{}' unit='{}'", n / 2, n % 2);
            targets.iter().enumerate().map(|(n, target)| at(target, "ide", &place(n))).collect()
        };
        let full = ide(&["hda", "hdb", "hdc", "hdd"]);
        let virtio = "<controller type='scsi' index='0' model='virtio-scsi'/>";
        let spelt = |controller, bus, unit| {
            format!(
                "<readonly/><address type='drive' controller='{controller}' bus='{bus}' target='0' unit='{unit}'/></disk>"
            )
        };
        let usual = "<readonly/></disk>".to_owned();
        for (machine, disks, target, wanted, end) in [
            ("pc-q35-9.2", &unraid, None, "dev='sdb' bus='sata'", &usual),
            ("pc-q35-9.2", &unraid, Some("sda"), "dev='sda' bus='sata'", &spelt(0, 0, 1)),
            ("pc-q35-9.2", &unraid, Some("hda"), "dev='hda' bus='sata'", &spelt(0, 0, 1)),
            ("pc-i440fx-9.2", &String::new(), Some("sdz"), "dev='sdz' bus='ide'", &spelt(0, 0, 0)),
            ("pc-i440fx-9.2", &ide(&["hdd", "hdc", "hdb"]), None, "dev='hda' bus='ide'", &spelt(0, 1, 1)),
            ("pc-i440fx-9.2", &full, None, "dev='sda' bus='sata'", &usual),
            ("pc-i440fx-9.2", &[&full, virtio].concat(), None, "dev='sda' bus='scsi'", &usual),
            ("pc-i440fx-9.2", &full, Some("sdz"), "dev='sdz' bus='sata'", &spelt(0, 0, 0)),
        ] {
            let Plan::Add(_, disk) = planned(machine, disks, target).unwrap() else { panic!("no new drive") };
            let disk = disk.concat();
            assert!(disk.contains(wanted) && disk.ends_with(end.as_str()), "{disk}");
        }
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

    #[test]
    fn a_paravirtual_guest_and_no_other_has_its_context_on_a_disk_if_that_is_wanted() {
        let xml = |guest: &str, disks: &str| {
            format!(
                "<domain type='xen'><name>vm</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>\
                 <os><type>{guest}</type></os><devices>{disks}</devices></domain>"
            )
        };
        let cdrom = "<disk device='cdrom'><target dev='xvda' bus='xen'/></disk>";
        let before = xml("linux", cdrom);
        let on_disk = Wanted { device: Device::Disk, ..ANY };
        let Plan::Add(target, disk) = plan(&Domain::read(&before).unwrap(), None, &on_disk).unwrap() else {
            panic!("no new disk")
        };
        let disk = disk.concat();
        assert!(target == "xvdb" && disk.contains("device='disk'><driver name='phy'") && disk.contains("<readonly/>"));
        let after = xml("linux", &[cdrom, &disk].concat());
        let after = Domain::read(&after).unwrap();
        assert_eq!(plan(&after, None, &on_disk).unwrap(), Plan::Ready("xvdb".to_owned()));
        assert_eq!(
            plan(&after, None, &Wanted { target: Some("xvdb"), ..ANY }).unwrap(),
            Plan::Ready("xvdb".to_owned())
        );
        let error = plan(&after, None, &Wanted { target: Some("xvda"), ..on_disk }).unwrap_err().to_string();
        assert!(error.contains("xvda is a CD-ROM drive"), "{error}");
        let hvm = xml("hvm", "");
        assert!(plan(&Domain::read(&hvm).unwrap(), None, &on_disk).is_err());
    }

    #[test]
    fn an_empty_drive_is_taken_and_a_disk_is_not() {
        let Plan::Change(target, disk) = planned("pc-q35-9.2", &[FOREIGN, EMPTY].concat(), None).unwrap() else {
            panic!()
        };
        assert_eq!(target, "sdc");
        assert!(disk.starts_with("<disk type='file'") && disk.contains("-97f2502e193f.iso'"), "{disk}");
        assert_eq!(
            planned("pc-q35-9.2", DISK, Some("sda")).unwrap_err().to_string(),
            "sda is a disk of another kind, not a CD-ROM drive"
        );
    }

    #[test]
    fn somebodys_medium_is_taken_out_only_if_that_is_wanted_and_only_if_it_can_be_put_back() {
        let domain = |disk: &str| {
            format!(
                "<domain><name>vm</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>\
                 <os><type machine='q35'>hvm</type></os><devices>{disk}</devices></domain>"
            )
        };
        let (foreign, empty) = (domain(FOREIGN), domain(&FOREIGN.replace("<source file='/install.iso'/>", "")));
        let block = domain(&FOREIGN.replace("'file'", "'block'").replace("file='/install.iso'", "dev='/dev/sr0'"));
        let [foreign, empty, block] = [&foreign, &empty, &block].map(|xml| Domain::read(xml).unwrap());
        for (definition, live, when) in [(&foreign, None, "the drive"), (&empty, Some(&foreign), "in the running VM")] {
            for (target, before) in [(Some("sdb"), None), (None, Some("sdb")), (Some("sdb"), Some("sda"))] {
                let wanted = Wanted { target, before, ..ANY };
                if target.is_some() || live.is_none() {
                    let error = plan(definition, live, &wanted).unwrap_err().to_string();
                    assert!(error.starts_with(when) && error.contains("sdb holds /install.iso"), "{error}");
                    assert!(error.contains("--replace"), "{error}");
                }
                let planned = plan(definition, live, &Wanted { replace: true, ..wanted }).unwrap();
                let Plan::Change(target, disk) = planned else { panic!("no change of a drive") };
                assert!(target == "sdb" && disk.contains(&format!("<source file='{}'", ANY.path)), "{disk}");
            }
        }
        let wanted = Wanted { target: Some("sdb"), replace: true, ..ANY };
        let error = plan(&block, None, &wanted).unwrap_err().to_string();
        assert!(error.contains("holds a medium that is not a file, which could not be put back"), "{error}");
        assert_eq!(plan(&foreign, None, &Wanted { replace: true, ..ANY }).unwrap().target(), "sda");
    }

    #[test]
    fn the_disc_of_the_vm_that_this_one_is_a_copy_of_makes_way_for_its_own() {
        let originals = FOREIGN.replace("/install.iso", "/dir/7695eb01-f6a4-8304-79aa-97f2502e193f.iso");
        let xml = format!(
            "<domain><name>vm</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>\
             <os><type machine='q35'>hvm</type></os><devices>{originals}</devices></domain>"
        );
        let copy = Domain::read(&xml).unwrap();
        let planned = plan(&copy, Some(&copy), &Wanted { before: Some("sdb"), ..ANY }).unwrap();
        assert!(
            matches!(&planned, Plan::Change(target, disk) if target == "sdb" && disk.contains(ANY.path)),
            "{planned:?}"
        );
    }

    #[test]
    fn what_was_in_the_drive_is_put_back_as_it_was() {
        let xml = |disk: &str| {
            format!(
                "<domain><name>vm</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid><devices>{disk}</devices></domain>"
            )
        };
        let policy = FOREIGN.replace("iso'/>", "iso' startupPolicy='requisite'/>");
        let before = xml(&policy);
        let wanted = Wanted { target: Some("sdb"), replace: true, ..ANY };
        let Plan::Change(_, disk) = plan(&Domain::read(&before).unwrap(), None, &wanted).unwrap() else { panic!() };
        let after = xml(&disk);
        let after = Domain::read(&after).unwrap();
        assert_eq!(given_back(&after, &after.drives[0], Some("/install.iso")).unwrap(), policy);
        assert_eq!(
            Domain::read(&xml(&given_back(&after, &after.drives[0], None).unwrap())).unwrap().drives[0].path(),
            None
        );
    }

    #[test]
    fn the_drive_that_holds_the_vms_disc_is_taken_whatever_drive_its_opt_in_names() {
        let ours = EMPTY.replace("<target", &format!("<source file='{}'/><target", ANY.path));
        let free = EMPTY.replace("sdc", "sdd");
        for (disks, before, target) in [
            ([&*ours, ""].concat(), "sdb", "sdc"),
            ([FOREIGN, &*ours].concat(), "sdb", "sdc"),
            ([&*free, &*ours].concat(), "sdd", "sdc"),
            ([DISK, &*ours].concat(), "sda", "sdc"),
            ([&*ours.replace("sdc", "sdb"), &*ours].concat(), "sdc", "sdc"),
            ([&*free, EMPTY].concat(), "sdc", "sdc"),
            ([DISK, EMPTY].concat(), "sdb", "sdc"),
            ([DISK, ""].concat(), "sdx", "sdx"),
            ([DISK, ""].concat(), "sda", "sdb"),
        ] {
            let xml = format!(
                "<domain><name>vm</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>\
                 <os><type machine='q35'>hvm</type></os><devices>{disks}</devices></domain>"
            );
            let planned = plan(&Domain::read(&xml).unwrap(), None, &Wanted { before: Some(before), ..ANY }).unwrap();
            assert_eq!(planned.target(), target, "{disks}");
        }
    }

    #[test]
    fn a_drive_that_is_right_is_left_alone() {
        let Plan::Add(_, disk) = planned("pc-q35-9.2", "", None).unwrap() else { panic!() };
        let disk = disk.concat();
        assert_eq!(planned("pc-q35-9.2", &disk, None).unwrap(), Plan::Ready("sda".to_owned()));
    }

    #[test]
    fn a_drive_in_which_the_running_vm_has_somebodys_medium_is_not_taken() {
        let ours = ANY.path;
        let domain = |source: &str| {
            format!(
                "<domain><name>vm</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid><os><type machine='q35'>hvm</type>\
                 </os><devices><disk type='file' device='cdrom'>{source}<target dev='sda' bus='sata'/></disk></devices></domain>"
            )
        };
        let (empty, install) = (domain(""), domain("<source file='/srv/install.iso'/>"));
        let (with_ours, definition) = (domain(&format!("<source file='{ours}'/>")), Domain::read(&empty).unwrap());
        for (live, target) in [(&empty, "sda"), (&with_ours, "sda"), (&install, "sdb")] {
            let live = Domain::read(live).unwrap();
            let planned = plan(&definition, Some(&live), &ANY).unwrap();
            assert_eq!(planned.target(), target, "{}", live.xml);
        }
    }
}
