//! The CD-ROM drive for the context disc in a persistent definition: chosen among those that are there, or a new one.

use anyhow::{Context, Result, bail, ensure};

use super::Domain;
use super::disk_xml::Disk;
use super::drive::{Drive, HOTPLUG, Medium};
use super::driver::{Device, Machine};
use super::plug::{self, Plug};
use super::rewrite;
use super::spot::Spot;

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
    let plugged = [Some(domain), live].into_iter().flatten().find_map(|domain| plug::plugged(domain).next());
    if let Some((Drive { target: plugged, .. }, _)) = plugged.filter(|(drive, _)| Some(drive.target.as_str()) != target)
        && let Some(target) = target
    {
        bail!(
            "the drive {plugged} has been plugged in for the disc; disable takes it away, and then there can be {target}"
        );
    }
    // The name in the opt-in may by now be that of another disk.
    let before = wanted.before.filter(|before| domain.targets.iter().all(|taken| taken != before));
    let target = target.or(before);
    if let Some(Plug { drive, controller, disk }) = on_scsi(domain, live, target, wanted) {
        return Ok(Plan::Add(drive.target, controller.into_iter().chain([disk]).collect()));
    }
    let Spot { target, bus, place } = Spot::find(domain, target)?;
    let backend = if as_disk { HOTPLUG } else { "qemu" };
    let disk =
        Disk { device, model: None, backend, path: Some(path), target: &target, bus, alias: None, place }.to_xml();
    Ok(Plan::Add(target, vec![disk]))
}

/// A new drive on SCSI, with a controller that guests can drive: one that the running VM has or gets as well, or else one for its
/// next start, where the VM has no other drive whose bus would do.
fn on_scsi(domain: &Domain, live: Option<&Domain>, target: Option<&str>, wanted: &Wanted) -> Option<Plug> {
    if wanted.device == Device::Disk {
        return None;
    }
    if let Some(there) = live.and_then(|live| plug::as_in(live, domain, wanted.path)) {
        return Some(there);
    }
    let live = live.filter(|_| wanted.plug);
    let plan = |live| plug::plan(live, Some(domain), target, wanted.path)?.in_definition(domain, wanted.path);
    let now = live.and_then(|live| plan(live).ok());
    now.or_else(|| match Spot::is_beside_another(domain, target) {
        true => None,
        false => plug::at_next_start(domain, target, wanted.path).ok(),
    })
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
        assert_eq!(plan(&foreign, None, &Wanted { replace: true, ..ANY }).unwrap().target(), "sdc");
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
            ([DISK, ""].concat(), "sda", "sdz"),
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
        assert_eq!(planned("pc-q35-9.2", &disk, None).unwrap(), Plan::Ready("sdz".to_owned()));
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
