//! The CD-ROM drive for the context disc in a persistent definition: chosen among those that are there, or a new one.

use anyhow::{Context, Result, bail, ensure};

use super::Domain;
use super::disk_xml;
use super::drive::{Drive, HOTPLUG};
use super::driver::{Device, Machine};
use super::rewrite;

/// What has to be done so that a domain has a drive with its disc in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// It has: the drive of this name.
    Ready(String),
    /// The drive of this name is to be changed to this `<disk>`.
    Change(String, String),
    /// This `<disk>` is to be added, as the drive of this name.
    Add(String, String),
}

impl Plan {
    /// The drive's name.
    pub fn target(&self) -> &str {
        match self {
            Plan::Ready(target) | Plan::Change(target, _) | Plan::Add(target, _) => target,
        }
    }
}

/// Plans the drive for the disc at `path`: the CD-ROM drive called `target`, or a new one of that name; without a
/// target the drive that holds the domain's disc, one that is empty here and in `live`, the running VM, or a new one. As a
/// disk, only where the domain can have one.
///
/// # Errors
/// When the target is another device, or the drive cannot take the disc.
pub fn plan(domain: &Domain, live: Option<&Domain>, target: Option<&str>, device: Device, path: &str) -> Result<Plan> {
    let as_disk = device == Device::Disk;
    ensure!(
        !as_disk || domain.machine == Machine::XenPv,
        "only a paravirtual guest of Xen has its context on a disk; the drives of others change their media"
    );
    let chosen = match target {
        Some(target) => domain.drives.iter().find(|drive| drive.target == target),
        None => fit(domain, live, device),
    };
    let other = chosen.filter(|drive| as_disk && drive.device != Device::Disk);
    ensure!(other.is_none(), "{} is a CD-ROM drive; name another target for the disk", target.unwrap_or_default());
    if let Some(drive) = chosen {
        return Ok(match rewrite::with_disc(domain, drive, path)? {
            None => Plan::Ready(drive.target.clone()),
            Some(edited) => Plan::Change(drive.target.clone(), disk_element(&edited, &drive.target)?),
        });
    }
    if let Some(taken) = domain.targets.iter().find(|other| Some(other.as_str()) == target) {
        bail!("{taken} is a disk of another kind, not a CD-ROM drive");
    }
    let bus = bus(domain, target);
    let target = target.map_or_else(|| free_name(domain, bus), |target| Ok(target.to_owned()))?;
    let backend = if as_disk { HOTPLUG } else { "qemu" };
    let disk = disk_xml::of(device, backend, Some(path), (&target, bus));
    Ok(Plan::Add(target, disk))
}

/// The `<disk>` of the drive without its medium.
///
/// # Errors
/// When the domain's XML cannot be read again.
pub fn emptied(domain: &Domain, drive: &Drive) -> Result<String> {
    disk_element(&rewrite::without_disc(domain, drive)?, &drive.target)
}

/// A drive that can take the disc and holds nobody else's, in the running VM neither: what somebody has put in there is used.
fn fit<'d>(domain: &'d Domain, live: Option<&Domain>, device: Device) -> Option<&'d Drive> {
    let in_use: Vec<&Drive> =
        live.into_iter().flat_map(|live| &live.drives).filter(|drive| !drive.is_empty()).collect();
    let ours: Vec<&Drive> = live.into_iter().flat_map(Domain::drives_with_disc).collect();
    let named = |drives: &[&Drive], target: &str| drives.iter().any(|drive| drive.target == target);
    let is_free = |drive: &&Drive| !named(&in_use, &drive.target) || named(&ours, &drive.target);

    let usable = |drive: &&Drive| (device == Device::Cdrom || drive.device == device) && drive.check().is_ok();
    let empty = || domain.drives.iter().filter(|drive| drive.is_empty()).filter(is_free).find(usable);
    domain.drives_with_disc().find(usable).or_else(empty)
}

fn disk_element(xml: &str, target: &str) -> Result<String> {
    let domain = Domain::read(xml)?;
    let drive = domain.drives.iter().find(|drive| drive.target == target);
    let disk = drive.and_then(|drive| xml.get(drive.span.clone()));
    disk.map(str::to_owned).with_context(|| format!("the drive {target} is not in the edited XML"))
}

/// The bus for a new drive: for QEMU ide on the old PC, sata on q35, scsi where there is neither; for Xen what the name
/// says, or else its own for a PV guest and ide where there is hardware to emulate.
fn bus(domain: &Domain, target: Option<&str>) -> &'static str {
    let model = domain.model.as_str();
    let old_pc = model.starts_with("pc") && !model.starts_with("pc-q35");
    match (domain.machine, target) {
        (_, Some(target)) if target.starts_with("hd") => "ide",
        (Machine::XenHvm | Machine::XenPv, Some(target)) if target.starts_with("xvd") => "xen",
        (Machine::XenHvm | Machine::XenPv, Some(target)) if target.starts_with("sd") => "scsi",
        (Machine::XenPv, _) => "xen",
        (Machine::XenHvm, _) => "ide",
        (Machine::Qemu, _) if old_pc => "ide",
        (Machine::Qemu, _) if model.contains("q35") => "sata",
        (Machine::Qemu, _) => "scsi",
    }
}

fn free_name(domain: &Domain, bus: &str) -> Result<String> {
    let (prefix, letters) = match (domain.machine, bus) {
        // Where CD-ROM drives are looked for first.
        (Machine::XenHvm, "ide") => ("hd", "cdba"),
        (_, "ide") => ("hd", "abcd"),
        (_, "xen") => ("xvd", ALPHABET),
        _ => ("sd", ALPHABET),
    };
    // To libxl hda and xvda are the same disk.
    let same = if domain.machine == Machine::XenHvm { ["hd", "xvd"] } else { [prefix; 2] };
    let is_free = |letter: &char| same.iter().all(|prefix| !domain.targets.contains(&format!("{prefix}{letter}")));
    let free = letters.chars().find(is_free).map(|letter| format!("{prefix}{letter}"));
    free.with_context(|| format!("every name for a drive on the {bus} bus is taken; name one with --target"))
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
        plan(&Domain::read(&xml).unwrap(), None, target, Device::Cdrom, "/dir/6695eb01-f6a4-8304-79aa-97f2502e193f.iso")
    }

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
            assert!(disk.contains(wanted) && disk.contains("startupPolicy='optional'"), "{disk}");
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
            let planned = plan(&Domain::read(&xml).unwrap(), None, target, Device::Cdrom, "/dir/x.iso").unwrap();
            let Plan::Add(_, disk) = planned else { panic!("no new drive") };
            assert!(disk.contains(wanted), "{disk}");
        }
    }

    #[test]
    fn a_paravirtual_guest_and_no_other_has_its_context_on_a_disk_if_that_is_wanted() {
        let path = "/dir/6695eb01-f6a4-8304-79aa-97f2502e193f.iso";
        let xml = |guest: &str, disks: &str| {
            format!(
                "<domain type='xen'><name>vm</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>\
                 <os><type>{guest}</type></os><devices>{disks}</devices></domain>"
            )
        };
        let cdrom = "<disk device='cdrom'><target dev='xvda' bus='xen'/></disk>";
        let before = xml("linux", cdrom);
        let Plan::Add(target, disk) = plan(&Domain::read(&before).unwrap(), None, None, Device::Disk, path).unwrap()
        else {
            panic!("no new disk")
        };
        assert!(target == "xvdb" && disk.contains("device='disk'><driver name='phy'") && disk.contains("<readonly/>"));
        let after = xml("linux", &[cdrom, &disk].concat());
        let after = Domain::read(&after).unwrap();
        assert_eq!(plan(&after, None, None, Device::Disk, path).unwrap(), Plan::Ready("xvdb".to_owned()));
        assert_eq!(plan(&after, None, Some("xvdb"), Device::Cdrom, path).unwrap(), Plan::Ready("xvdb".to_owned()));
        let error = plan(&after, None, Some("xvda"), Device::Disk, path).unwrap_err().to_string();
        assert!(error.contains("xvda is a CD-ROM drive"), "{error}");
        let hvm = xml("hvm", "");
        assert!(plan(&Domain::read(&hvm).unwrap(), None, None, Device::Disk, path).is_err());
    }

    #[test]
    fn an_empty_drive_is_taken_and_somebody_elses_disc_only_when_named() {
        let Plan::Change(target, disk) = planned("pc-q35-9.2", &[FOREIGN, EMPTY].concat(), None).unwrap() else {
            panic!()
        };
        assert_eq!(target, "sdc");
        assert!(disk.starts_with("<disk type='file'") && disk.contains("-97f2502e193f.iso'"), "{disk}");
        assert!(
            matches!(planned("pc-q35-9.2", FOREIGN, Some("sdb")).unwrap(), Plan::Change(target, _) if target == "sdb")
        );
        assert_eq!(
            planned("pc-q35-9.2", DISK, Some("sda")).unwrap_err().to_string(),
            "sda is a disk of another kind, not a CD-ROM drive"
        );
    }

    #[test]
    fn a_drive_that_is_right_is_left_alone() {
        let Plan::Add(_, disk) = planned("pc-q35-9.2", "", None).unwrap() else { panic!() };
        assert_eq!(planned("pc-q35-9.2", &disk, None).unwrap(), Plan::Ready("sda".to_owned()));
    }

    #[test]
    fn a_drive_in_which_the_running_vm_has_somebodys_medium_is_not_taken() {
        let ours = "/dir/6695eb01-f6a4-8304-79aa-97f2502e193f.iso";
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
            let planned = plan(&definition, Some(&live), None, Device::Cdrom, ours).unwrap();
            assert_eq!(planned.target(), target, "{}", live.xml);
        }
    }
}
