//! A `<disk>` as libvirt is given it: for a change of its medium, or as a new device.

use quick_xml::escape::escape;

use super::drive::Drive;
use super::driver::Device;

/// The drive with the file `path`, or empty, as libvirt wants it described for a media change.
pub fn with_medium(drive: &Drive, path: Option<&str>) -> String {
    let path = match drive.device {
        Device::Cdrom => path,
        // There is none without its file.
        Device::Disk => path.or(drive.path()),
    };
    of(drive.device, &drive.backend, path, (&drive.target, &drive.bus))
}

/// A drive of this kind with the file `path` or none, called `target` on `bus`.
pub fn of(device: Device, backend: &str, path: Option<&str>, (target, bus): (&str, &str)) -> String {
    let kind = match device {
        Device::Cdrom => "cdrom",
        Device::Disk => "disk",
    };
    // libvirt forgets the policy when it is not sent again.
    let source = path.map(|path| format!("<source file='{}' startupPolicy='optional'/>", escape(path)));
    format!(
        "<disk type='file' device='{kind}'><driver name='{}' type='raw'/>{}<target dev='{}' bus='{}'/><readonly/></disk>",
        escape(backend),
        source.unwrap_or_default(),
        escape(target),
        escape(bus)
    )
}
