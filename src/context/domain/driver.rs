//! The two drivers of libvirt whose VMs we look after, and in which of them what is different. See hooks/README.md.

use std::ffi::OsStr;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A driver of libvirt, which has a hook and a URI of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// QEMU and KVM.
    #[default]
    Qemu,
    /// Xen, through libxenlight.
    Xen,
}

impl Driver {
    /// Both.
    pub const ALL: [Driver; 2] = [Driver::Qemu, Driver::Xen];

    /// The name of its hook in /etc/libvirt/hooks; more of them are in a directory of that name with `.d`.
    pub fn hook(self) -> &'static str {
        match self {
            Driver::Qemu => "qemu",
            Driver::Xen => "libxl",
        }
    }

    /// The driver that calls a hook as `program`: `…/hooks/libxl` and `…/hooks/libxl.d/*` are called by Xen's. QEMU's
    /// calls `qemu`, and another hook may call us by any name.
    pub fn of_hook(program: &OsStr) -> Driver {
        let path = Path::new(program);
        let parent = path.parent().and_then(Path::file_name);
        let is_libxl = path.file_name() == Some(OsStr::new("libxl")) || parent == Some(OsStr::new("libxl.d"));
        if is_libxl { Driver::Xen } else { Driver::Qemu }
    }

    /// Where it is reached on its own host.
    pub fn default_uri(self) -> &'static str {
        match self {
            Driver::Qemu => "qemu:///system",
            Driver::Xen => "xen:///system",
        }
    }

    /// The driver that `uri` leads to.
    pub fn of_uri(uri: &str) -> Driver {
        let scheme = uri.split([':', '+']).next();
        if scheme == Some("xen") { Driver::Xen } else { Driver::Qemu }
    }

    /// Whether a VM whose drive names a file that is missing here starts and arrives with an empty drive, when
    /// `startupPolicy='optional'` allows that. libxl knows no such policy.
    pub fn may_start_without_disc(self) -> bool {
        self == Driver::Qemu
    }

    /// Whether it is QEMU's, which job and state files need not say.
    pub(crate) fn is_qemu(&self) -> bool {
        *self == Driver::Qemu
    }
}

/// How the disc in the drive of a running VM is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaChange {
    /// It is ejected and the new one inserted; the guest is asked first, and can be made to let go.
    EjectAndInsert,
    /// The drive is described anew, which ejects by force and inserts. That the drive is empty after a failure shows
    /// nowhere.
    Update,
    /// It is a disk, which is detached and attached again: the guest sees a device go and come.
    DetachAndAttach,
    /// Not at all: the guest sees a new disc after its next start, restore or arrival.
    Never,
}

/// What a guest sees its context on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// A CD-ROM drive.
    Cdrom,
    /// A disk that is only read, for paravirtual guests of Xen, whose CD-ROM drives change no medium.
    Disk,
}

/// What kind of machine a VM is, as far as its drives are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// One of QEMU's driver.
    Qemu,
    /// Xen's, with emulated devices.
    XenHvm,
    /// Xen's with paravirtual devices alone: PV and PVH.
    XenPv,
}

impl Machine {
    /// The machine of a domain of this type (`<domain type=…>`) and guest type (`<os><type>`).
    pub(super) fn of(domain_type: Option<&str>, guest_type: Option<&str>) -> Machine {
        match (domain_type, guest_type) {
            (Some("xen"), Some("hvm")) => Machine::XenHvm,
            (Some("xen"), _) => Machine::XenPv,
            _ => Machine::Qemu,
        }
    }

    /// The driver whose VM it is.
    pub fn driver(self) -> Driver {
        match self {
            Machine::Qemu => Driver::Qemu,
            Machine::XenHvm | Machine::XenPv => Driver::Xen,
        }
    }

    /// How its disc is changed while it runs.
    pub(super) fn media_change(self, device: Device) -> MediaChange {
        match (self, device) {
            (Machine::Qemu, _) => MediaChange::EjectAndInsert,
            (Machine::XenHvm, _) => MediaChange::Update,
            (Machine::XenPv, Device::Disk) => MediaChange::DetachAndAttach,
            (Machine::XenPv, Device::Cdrom) => MediaChange::Never,
        }
    }

    /// The buses on which a drive can have our disc, and change it if any can: the first is the best.
    pub(super) fn buses(self) -> [&'static str; 3] {
        match self {
            Machine::Qemu => ["sata", "scsi", "ide"],
            // libxl goes by the drive's name and puts every one of them on IDE.
            Machine::XenHvm => ["ide", "scsi", "xen"],
            // Whatever the bus is called, it is Xen's.
            Machine::XenPv => ["xen", "ide", "scsi"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_is_known_by_the_name_of_its_hook() {
        for (program, driver) in [
            ("/etc/libvirt/hooks/qemu", Driver::Qemu),
            ("/etc/libvirt/hooks/qemu.d/50-virt-recontext", Driver::Qemu),
            ("/etc/libvirt/hooks/libxl", Driver::Xen),
            ("/etc/libvirt/hooks/libxl.d/50-virt-recontext", Driver::Xen),
            ("/etc/libvirt/hooks/libxl.d/qemu", Driver::Xen),
            ("/etc/libvirt/hooks/libxl.old", Driver::Qemu),
            ("/usr/sbin/virt-recontext-hook", Driver::Qemu),
            ("", Driver::Qemu),
        ] {
            assert_eq!(Driver::of_hook(OsStr::new(program)), driver, "{program}");
        }
    }

    #[test]
    fn the_driver_is_known_by_the_scheme_of_a_uri() {
        for (uri, driver) in [
            ("qemu:///system", Driver::Qemu),
            ("xen:///system", Driver::Xen),
            ("xen+unix:///system", Driver::Xen),
            ("test:///default", Driver::Qemu),
            ("qemu+ssh://xen/system", Driver::Qemu),
            ("xenon:///", Driver::Qemu),
        ] {
            assert_eq!(Driver::of_uri(uri), driver, "{uri}");
        }
    }

    #[test]
    fn only_machines_with_emulated_devices_change_a_disc_while_they_run() {
        for (types, change) in [
            ((Some("kvm"), Some("hvm")), MediaChange::EjectAndInsert),
            ((None, None), MediaChange::EjectAndInsert),
            ((Some("xen"), Some("hvm")), MediaChange::Update),
            ((Some("xen"), Some("linux")), MediaChange::Never),
            ((Some("xen"), Some("xen")), MediaChange::Never),
            ((Some("xen"), Some("xenpvh")), MediaChange::Never),
            ((Some("xen"), None), MediaChange::Never),
        ] {
            assert_eq!(Machine::of(types.0, types.1).media_change(Device::Cdrom), change, "{types:?}");
        }
    }
}
