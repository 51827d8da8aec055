//! A `<disk>` as libvirt is given it: for a change of its medium, or as a new device.

use quick_xml::escape::escape;

use super::drive::Drive;
use super::driver::Device;
use super::places::Place;

/// The drive with the file `path`, or empty, as libvirt wants it described for a media change.
pub fn with_medium(drive: &Drive, path: Option<&str>) -> String {
    let Drive { device, backend, target, bus, model, place, .. } = drive;
    let path = match device {
        Device::Cdrom => path,
        // There is none without its file.
        Device::Disk => path.or(drive.path()),
    };
    Disk { device: *device, model: model.as_deref(), backend, path, target, bus, alias: None, place: *place }.to_xml()
}

/// What a `<disk>` is to say.
pub(super) struct Disk<'a> {
    pub(super) device: Device,
    /// Which device of its bus it is. It and the place are sent as they are, lest libvirt take the change of a medium for one of
    /// the device.
    pub(super) model: Option<&'a str>,
    pub(super) backend: &'a str,
    /// The file in it, if there is one.
    pub(super) path: Option<&'a str>,
    pub(super) target: &'a str,
    pub(super) bus: &'a str,
    /// A name of ours for it, by which it is known again.
    pub(super) alias: Option<&'a str>,
    /// Its place on the bus. Without one it is that which libvirt gives the name.
    pub(super) place: Option<Place>,
}

impl Disk<'_> {
    pub(super) fn to_xml(&self) -> String {
        let kind = match self.device {
            Device::Cdrom => "cdrom",
            Device::Disk => "disk",
        };
        // libvirt forgets the policy when it is not sent again.
        let source = |path: &str| format!("<source file='{}' startupPolicy='optional'/>", escape(path));
        let address = |Place { controller, bus, target, unit }| {
            format!("<address type='drive' controller='{controller}' bus='{bus}' target='{target}' unit='{unit}'/>")
        };
        let alias = |alias: &str| format!("<alias name='{}'/>", escape(alias));
        let model = |model: &str| format!(" model='{}'", escape(model));
        format!(
            "<disk type='file' device='{kind}'{}><driver name='{}' type='raw'/>{}<target dev='{}' bus='{}'/><readonly/>{}{}</disk>",
            self.model.map(model).unwrap_or_default(),
            escape(self.backend),
            self.path.map(source).unwrap_or_default(),
            escape(self.target),
            escape(self.bus),
            self.alias.map(alias).unwrap_or_default(),
            self.place.map(address).unwrap_or_default()
        )
    }
}
