//! The places that a rule can change, one closed table. What libvirt refuses to have changed is none of them (see LIMITS in
//! virt-recontext-rewrite(5)), nor is what holds a password.

use super::value::Kind;

/// A place of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    InterfaceAttachment,
    InterfaceBridge,
    InterfaceNetwork,
    InterfacePortgroup,
    InterfaceDev,
    InterfaceSocket,
    InterfacePortid,
    InterfaceFilter,
    InterfaceVlan,
    DiskFile,
    DiskDev,
    DiskPool,
    DiskVolume,
    DiskName,
    DiskHosts,
    DiskHost,
    DiskSecret,
    FilesystemDir,
    GraphicsListen,
    GraphicsNetwork,
    GraphicsPort,
    GraphicsSocket,
    SerialPath,
    SerialHost,
    SerialPort,
    SerialLog,
    ChannelPath,
    FirmwareLoader,
    FirmwareNvram,
    FirmwareTemplate,
    BootKernel,
    BootInitrd,
    CpuSet,
    CpuPin,
    CpuEmulatorpin,
    CpuIothreadpin,
    MemoryNodeset,
    MemoryCellnodeset,
    Partition,
}

/// What has to be there on this host for a value to be of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing, or what only libvirt knows.
    Nothing,
    /// A network interface of that name.
    Device,
    /// That file or directory.
    Itself,
    /// The directory of that path: libvirt or QEMU makes the file.
    Directory,
}

/// What there is to know of a place.
#[derive(Debug)]
pub(crate) struct Row {
    pub place: Place,
    /// Its name in a rule.
    pub name: &'static str,
    pub kind: Kind,
    pub needs: Needs,
    /// Whether it can be taken out, so that what remains is whole.
    pub may_go: bool,
    /// Whether two devices of a VM would harm each other by having the same.
    pub exclusive: bool,
}

const fn row(place: Place, name: &'static str, kind: Kind, needs: Needs) -> Row {
    Row { place, name, kind, needs, may_go: false, exclusive: false }
}

const fn optional(row: Row) -> Row {
    Row { may_go: true, ..row }
}

const fn exclusive(row: Row) -> Row {
    Row { exclusive: true, ..row }
}

/// All of them. What is made of several others stands before those: where it is changed, they are not.
pub(crate) static TABLE: [Row; 39] = [
    row(Place::InterfaceAttachment, "interface.attachment", Kind::Attachment, Needs::Nothing),
    row(Place::InterfaceBridge, "interface.bridge", Kind::Device, Needs::Device),
    row(Place::InterfaceNetwork, "interface.network", Kind::Name, Needs::Nothing),
    optional(row(Place::InterfacePortgroup, "interface.portgroup", Kind::Name, Needs::Nothing)),
    row(Place::InterfaceDev, "interface.dev", Kind::Device, Needs::Device),
    exclusive(row(Place::InterfaceSocket, "interface.socket", Kind::Socket, Needs::Directory)),
    row(Place::InterfacePortid, "interface.portid", Kind::Uuid, Needs::Nothing),
    optional(row(Place::InterfaceFilter, "interface.filter", Kind::Name, Needs::Nothing)),
    optional(row(Place::InterfaceVlan, "interface.vlan", Kind::Vlan, Needs::Nothing)),
    exclusive(row(Place::DiskFile, "disk.file", Kind::Path, Needs::Directory)),
    exclusive(row(Place::DiskDev, "disk.dev", Kind::Path, Needs::Itself)),
    row(Place::DiskPool, "disk.pool", Kind::Name, Needs::Nothing),
    row(Place::DiskVolume, "disk.volume", Kind::Image, Needs::Nothing),
    row(Place::DiskName, "disk.name", Kind::Image, Needs::Nothing),
    row(Place::DiskHosts, "disk.hosts", Kind::Hosts, Needs::Nothing),
    row(Place::DiskHost, "disk.host", Kind::Host, Needs::Nothing),
    row(Place::DiskSecret, "disk.secret", Kind::Uuid, Needs::Nothing),
    row(Place::FilesystemDir, "filesystem.dir", Kind::Path, Needs::Itself),
    row(Place::GraphicsListen, "graphics.listen", Kind::Address, Needs::Nothing),
    row(Place::GraphicsNetwork, "graphics.network", Kind::Name, Needs::Nothing),
    row(Place::GraphicsPort, "graphics.port", Kind::Port, Needs::Nothing),
    exclusive(row(Place::GraphicsSocket, "graphics.socket", Kind::Socket, Needs::Directory)),
    exclusive(row(Place::SerialPath, "serial.path", Kind::Path, Needs::Directory)),
    row(Place::SerialHost, "serial.host", Kind::Host, Needs::Nothing),
    row(Place::SerialPort, "serial.port", Kind::Port, Needs::Nothing),
    optional(exclusive(row(Place::SerialLog, "serial.log", Kind::Path, Needs::Directory))),
    exclusive(row(Place::ChannelPath, "channel.path", Kind::Socket, Needs::Directory)),
    row(Place::FirmwareLoader, "firmware.loader", Kind::Path, Needs::Itself),
    exclusive(row(Place::FirmwareNvram, "firmware.nvram", Kind::Path, Needs::Directory)),
    optional(row(Place::FirmwareTemplate, "firmware.template", Kind::Path, Needs::Itself)),
    row(Place::BootKernel, "boot.kernel", Kind::Path, Needs::Itself),
    row(Place::BootInitrd, "boot.initrd", Kind::Path, Needs::Itself),
    optional(row(Place::CpuSet, "cpu.set", Kind::Set, Needs::Nothing)),
    optional(row(Place::CpuPin, "cpu.pin", Kind::Set, Needs::Nothing)),
    optional(row(Place::CpuEmulatorpin, "cpu.emulatorpin", Kind::Set, Needs::Nothing)),
    optional(row(Place::CpuIothreadpin, "cpu.iothreadpin", Kind::Set, Needs::Nothing)),
    optional(row(Place::MemoryNodeset, "memory.nodeset", Kind::Set, Needs::Nothing)),
    optional(row(Place::MemoryCellnodeset, "memory.cellnodeset", Kind::Set, Needs::Nothing)),
    optional(row(Place::Partition, "partition", Kind::Path, Needs::Nothing)),
];

impl Place {
    pub(crate) fn row(self) -> &'static Row {
        // The rows stand in the order of the places, which a test sees to.
        TABLE.get(self as usize).unwrap_or(&TABLE[0])
    }

    pub(super) fn named(name: &str) -> Option<Place> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.place)
    }

    /// The first word of its name: what kind of device it is of.
    pub(super) fn group(self) -> &'static str {
        let name = self.row().name;
        name.split_once('.').map_or(name, |(group, _)| group)
    }

    /// Whether it is made of others.
    pub(super) fn is_composite(self) -> bool {
        matches!(self, Place::InterfaceAttachment | Place::DiskHosts)
    }

    /// Whether it is a part of the place called `whole`.
    pub(super) fn is_part_of_named(self, whole: &str) -> bool {
        Place::named(whole).is_some_and(|whole| self.is_part_of(whole))
    }

    /// Whether it is a part of `whole`, which is made of several.
    pub(super) fn is_part_of(self, whole: Place) -> bool {
        use Place::{
            InterfaceBridge, InterfaceDev, InterfaceNetwork, InterfacePortgroup, InterfacePortid, InterfaceVlan,
        };
        match whole {
            Place::InterfaceAttachment => matches!(
                self,
                InterfaceBridge
                    | InterfaceDev
                    | InterfaceNetwork
                    | InterfacePortgroup
                    | InterfacePortid
                    | InterfaceVlan
            ),
            Place::DiskHosts => self == Place::DiskHost,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_stand_in_the_order_of_the_places_and_wholes_before_their_parts() {
        for (number, row) in TABLE.iter().enumerate() {
            assert_eq!(row.place as usize, number, "{}", row.name);
            assert_eq!(Place::named(row.name), Some(row.place));
            let wholes = TABLE.iter().filter(|whole| row.place.is_part_of(whole.place));
            assert!(wholes.map(|whole| whole.place as usize).all(|whole| whole < number));
        }
    }
}
