//! Where the places of the table are in a domain's XML: each spot with its value, and what has to be edited to change it.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, Result};

use super::attachment::{Attachment, only_tag};
use super::hosts::Hosts;
use super::place::Place;
use crate::context::domain::Domain;
use crate::context::domain::xml::{self, Attribute, Element};

/// A device of the domain, or another part of it that has spots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Device {
    /// How a person finds it.
    pub label: String,
    pub mac: Option<String>,
    pub target: Option<String>,
    pub serial: Option<String>,
    pub alias: Option<String>,
}

/// One value at one place of one device.
#[derive(Debug)]
pub(crate) struct Spot {
    pub place: Place,
    pub device: usize,
    pub value: String,
    pub form: Form,
}

/// A spot and its new value; none takes it out.
pub(super) type Changed<'s> = (&'s Spot, Option<String>);

/// How a spot stands in the XML.
#[derive(Debug)]
pub(crate) enum Form {
    /// The value itself, at each of these; and what goes with it when it is taken out.
    Plain {
        at: Vec<Range<usize>>,
        removal: Vec<Range<usize>>,
    },
    Attachment(Attachment),
    Hosts(Hosts),
}

impl Form {
    /// All that a change of the value may touch.
    pub(super) fn ranges(&self) -> Vec<Range<usize>> {
        match self {
            Form::Plain { at, .. } => at.clone(),
            Form::Attachment(attachment) => attachment.ranges(),
            Form::Hosts(hosts) => hosts.ranges(),
        }
    }
}

/// All spots of a domain, with their devices.
#[derive(Debug, Default)]
pub(crate) struct Spots {
    pub devices: Vec<Device>,
    pub spots: Vec<Spot>,
}

impl Spots {
    /// How a person finds the device of a spot.
    pub(super) fn label(&self, spot: &Spot) -> &str {
        self.devices.get(spot.device).map(|device| device.label.as_str()).unwrap_or_default()
    }

    /// The spot here that is at the same place of the same device as `spot` of `others`.
    pub(super) fn like(&self, others: &Spots, spot: &Spot) -> Option<&Spot> {
        let label = others.label(spot);
        let before = others.spots.iter().take_while(|other| !std::ptr::eq(*other, spot));
        let number = before.filter(|other| other.place == spot.place && others.label(other) == label).count();
        self.spots.iter().filter(|like| like.place == spot.place && self.label(like) == label).nth(number)
    }

    /// Those in `xml`, but for disks whose target is one of `context`: what holds a context disc is nobody's but ours.
    ///
    /// # Errors
    /// When it is no whole document.
    pub(crate) fn read(xml: &str, context: &[String]) -> Result<Spots> {
        let root = xml::read(xml, wanted).context("reading the domain's XML for rules")?;
        Ok(Spots::in_tree(xml, &root, context))
    }

    /// Those of a domain, whose XML is only read again if it was not read for rules.
    ///
    /// # Errors
    /// As of [`Spots::read`].
    pub(super) fn of(domain: &Domain, context: &[String]) -> Result<Spots> {
        match &domain.for_rules {
            Some(root) => Ok(Spots::in_tree(domain.xml, root, context)),
            None => Spots::read(domain.xml, context),
        }
    }

    fn in_tree(xml: &str, root: &Element, context: &[String]) -> Spots {
        let mut reading = Reading { xml, context, labels: BTreeMap::new(), spots: Spots::default() };
        reading.domain(root);
        reading.spots
    }
}

/// The elements in which there are places.
pub(in crate::context::domain) fn wanted(around: &[Element], namespace: &str, name: &str) -> bool {
    match around {
        [_] => namespace.is_empty() && matches!(name, "os" | "devices" | "vcpu" | "cputune" | "numatune" | "resource"),
        [_, devices] if devices.name == "devices" => {
            namespace.is_empty()
                && matches!(name, "interface" | "disk" | "filesystem" | "graphics" | "serial" | "console" | "channel")
        }
        _ => true,
    }
}

struct Reading<'x> {
    xml: &'x str,
    context: &'x [String],
    /// How many devices have each label.
    labels: BTreeMap<String, usize>,
    spots: Spots,
}

impl Reading<'_> {
    fn domain(&mut self, root: &Element) {
        if let Some(os) = root.child("os") {
            self.os(os);
        }
        self.cpus(root);
        if let Some(numatune) = root.child("numatune") {
            self.memory(numatune);
        }
        let partition = root.child("resource").and_then(|resource| Some((resource, resource.child("partition")?)));
        if let Some((resource, partition)) = partition {
            self.part("resource");
            let goes = if resource.children.len() == 1 { resource } else { partition };
            self.text(Place::Partition, partition, vec![goes.span.clone()]);
        }
        let Some(devices) = root.child("devices") else { return };
        let consoles: Vec<&Element> = devices.children_named("console").collect();
        let serials: Vec<&Element> = devices.children_named("serial").collect();
        for (number, device) in devices.children.iter().filter(|device| device.namespace.is_empty()).enumerate() {
            match device.name.as_str() {
                "interface" => self.interface(device, number),
                "disk" => self.disk(device, number),
                "filesystem" => self.filesystem(device, number),
                "graphics" => self.graphics(device, number),
                "serial" => {
                    self.character_device(device, consoles.iter().copied().find(|console| are_twins(device, console)))
                }
                // What is the copy of a serial port was changed with that.
                "console" if serials.iter().any(|serial| are_twins(serial, device)) => {}
                "console" => self.character_device(device, None),
                "channel" => self.channel(device, number),
                _ => {}
            }
        }
    }

    /// From now on, spots are of this part of the domain.
    fn part(&mut self, label: &str) {
        self.begin(Device { label: label.to_owned(), ..Device::default() });
    }

    /// From now on, spots are of this device. No two have one label, though two interfaces may have one MAC.
    fn begin(&mut self, device: Device) {
        let number = self.labels.entry(device.label.clone()).and_modify(|number| *number += 1).or_insert(1);
        let label = if *number == 1 { device.label } else { format!("{} ({number})", device.label) };
        self.spots.devices.push(Device { label, ..device });
    }

    fn device(&mut self, label: String, element: &Element) {
        let value = |child: &str, attribute: &str| element.child(child)?.value(attribute).map(str::to_owned);
        let (mac, target, alias) = (value("mac", "address"), value("target", "dev"), value("alias", "name"));
        let serial = element.child("serial").map(|serial| serial.text.clone());
        self.begin(Device { label, mac, target, serial, alias });
    }

    fn push(&mut self, place: Place, value: &str, form: Form) {
        let device = self.spots.devices.len().saturating_sub(1);
        self.spots.spots.push(Spot { place, device, value: value.to_owned(), form });
    }

    fn plain(&mut self, place: Place, value: &str, at: Vec<Range<usize>>, removal: Vec<Range<usize>>) {
        self.push(place, value, Form::Plain { at, removal });
    }

    /// An attribute of `element`, if it is there.
    fn attribute(&mut self, place: Place, element: Option<&Element>, name: &str) {
        if let Some(attribute) = element.and_then(|element| element.attribute(name)) {
            self.plain(place, &attribute.value, vec![attribute.span.clone()], Vec::new());
        }
    }

    /// The same, and without it `removal` goes.
    fn removable(&mut self, place: Place, element: &Element, name: &str, removal: Range<usize>) {
        if let Some(attribute) = element.attribute(name) {
            self.plain(place, &attribute.value, vec![attribute.span.clone()], vec![removal]);
        }
    }

    /// The text of an element that holds nothing else.
    fn text(&mut self, place: Place, element: &Element, removal: Vec<Range<usize>>) {
        let raw = self.xml.get(element.inner.clone()).unwrap_or_default();
        let trimmed = raw.trim();
        if trimmed.is_empty() || raw.contains('<') {
            return;
        }
        let start = element.inner.start + (raw.len() - raw.trim_start().len());
        let at = start..start + trimmed.len();
        self.plain(place, element.text.trim(), vec![at], removal);
    }

    fn os(&mut self, os: &Element) {
        self.part("os");
        if let Some(loader) = os.child("loader") {
            self.text(Place::FirmwareLoader, loader, Vec::new());
        }
        if let Some(nvram) = os.child("nvram") {
            // It may have a source as disks have, and libvirt writes it as it was given.
            self.text(Place::FirmwareNvram, nvram, Vec::new());
            if nvram.value("type") == Some("file") {
                self.attribute(Place::FirmwareNvram, nvram.child("source"), "file");
            }
            if let Some(template) = nvram.attribute("template") {
                let removal = whole(self.xml, template).into_iter().collect();
                self.plain(Place::FirmwareTemplate, &template.value, vec![template.span.clone()], removal);
            }
        }
        for (place, name) in [(Place::BootKernel, "kernel"), (Place::BootInitrd, "initrd")] {
            if let Some(element) = os.child(name) {
                self.text(place, element, Vec::new());
            }
        }
    }

    fn cpus(&mut self, root: &Element) {
        if let Some((vcpu, cpuset)) = root.child("vcpu").and_then(|vcpu| Some((vcpu, vcpu.attribute("cpuset")?))) {
            self.part(&vcpu.name);
            let removal = whole(self.xml, cpuset).into_iter().collect();
            self.plain(Place::CpuSet, &cpuset.value, vec![cpuset.span.clone()], removal);
        }
        for pin in root.child("cputune").map(|cputune| cputune.children.as_slice()).unwrap_or_default() {
            let (place, of) = match pin.name.as_str() {
                "vcpupin" => (Place::CpuPin, "vcpu"),
                "emulatorpin" => (Place::CpuEmulatorpin, ""),
                "iothreadpin" => (Place::CpuIothreadpin, "iothread"),
                _ => continue,
            };
            if pin.namespace.is_empty() {
                self.part(format!("{} {}", pin.name, pin.value(of).unwrap_or_default()).trim_end());
                self.removable(place, pin, "cpuset", pin.span.clone());
            }
        }
    }

    fn memory(&mut self, numatune: &Element) {
        for memory in numatune.children_named("memory") {
            self.part("numatune memory");
            self.removable(Place::MemoryNodeset, memory, "nodeset", memory.span.clone());
        }
        for node in numatune.children_named("memnode") {
            self.part(&format!("numatune memnode {}", node.value("cellid").unwrap_or_default()));
            self.removable(Place::MemoryCellnodeset, node, "nodeset", node.span.clone());
        }
    }

    fn interface(&mut self, interface: &Element, number: usize) {
        let mac = interface.child("mac").and_then(|mac| mac.value("address"));
        self.device(mac.map_or_else(|| format!("interface {number}"), |mac| format!("interface {mac}")), interface);
        let source = interface.child("source");
        if let Some(attachment) = Attachment::read(interface) {
            self.push(Place::InterfaceAttachment, &attachment.to_string(), Form::Attachment(attachment));
        }
        match interface.value("type") {
            Some("bridge") => self.attribute(Place::InterfaceBridge, source, "bridge"),
            Some("network") => {
                self.attribute(Place::InterfaceNetwork, source, "network");
                if let Some(portgroup) = source.and_then(|source| source.attribute("portgroup")) {
                    let removal = whole(self.xml, portgroup).into_iter().collect();
                    self.plain(Place::InterfacePortgroup, &portgroup.value, vec![portgroup.span.clone()], removal);
                }
            }
            Some("direct") => self.attribute(Place::InterfaceDev, source, "dev"),
            Some("vhostuser") => self.attribute(Place::InterfaceSocket, source, "path"),
            _ => {}
        }
        let parameters = interface.child("virtualport").and_then(|port| port.child("parameters"));
        self.attribute(Place::InterfacePortid, parameters, "interfaceid");
        if let Some(filter) = interface.child("filterref") {
            self.removable(Place::InterfaceFilter, filter, "filter", filter.span.clone());
        }
        if let Some((vlan, tag)) = interface.child("vlan").and_then(|vlan| Some((vlan, only_tag(vlan)?))) {
            self.removable(Place::InterfaceVlan, tag, "id", vlan.span.clone());
        }
    }

    fn disk(&mut self, disk: &Element, number: usize) {
        let target = disk.child("target").and_then(|target| target.value("dev"));
        if target.is_some_and(|target| self.context.iter().any(|context| context == target)) {
            return;
        }
        self.device(target.map_or_else(|| format!("disk {number}"), |target| format!("disk {target}")), disk);
        let Some(source) = disk.child("source") else { return };
        match disk.value("type") {
            Some("file") => self.attribute(Place::DiskFile, Some(source), "file"),
            Some("block") => self.attribute(Place::DiskDev, Some(source), "dev"),
            Some("volume") => {
                self.attribute(Place::DiskPool, Some(source), "pool");
                self.attribute(Place::DiskVolume, Some(source), "volume");
            }
            Some("network") => {
                self.attribute(Place::DiskName, Some(source), "name");
                if let Some(hosts) = Hosts::read(source) {
                    self.push(Place::DiskHosts, &hosts.to_string(), Form::Hosts(hosts));
                }
                for host in source.children_named("host") {
                    self.attribute(Place::DiskHost, Some(host), "name");
                }
            }
            _ => {}
        }
        for holder in [source, disk] {
            for parent in ["auth", "encryption"] {
                for secret in holder.children_named(parent).flat_map(|parent| parent.children_named("secret")) {
                    self.attribute(Place::DiskSecret, Some(secret), "uuid");
                }
            }
        }
    }

    fn filesystem(&mut self, filesystem: &Element, number: usize) {
        let target = filesystem.child("target").and_then(|target| target.value("dir"));
        self.device(format!("filesystem {}", target.map_or_else(|| number.to_string(), str::to_owned)), filesystem);
        if matches!(filesystem.value("type"), None | Some("mount")) {
            self.attribute(Place::FilesystemDir, filesystem.child("source"), "dir");
        }
    }

    fn graphics(&mut self, graphics: &Element, number: usize) {
        self.device(
            format!("graphics {}", graphics.value("type").map_or_else(|| number.to_string(), str::to_owned)),
            graphics,
        );
        if graphics.value("autoport") == Some("no") {
            self.attribute(Place::GraphicsPort, Some(graphics), "port");
        }
        // The attribute is a copy of the first address.
        let mut copy = graphics.attribute("listen");
        for listen in graphics.children_named("listen") {
            match listen.value("type") {
                Some("address") => {
                    let Some(address) = listen.attribute("address") else { continue };
                    let at = [Some(address), copy.take()].into_iter().flatten().map(|at| at.span.clone()).collect();
                    self.plain(Place::GraphicsListen, &address.value, at, Vec::new());
                }
                Some("network") => self.attribute(Place::GraphicsNetwork, Some(listen), "network"),
                Some("socket") => {
                    let Some(socket) = listen.attribute("socket") else { continue };
                    let copies = graphics.attribute("socket").filter(|copy| copy.value == socket.value);
                    let at = [Some(socket), copies].into_iter().flatten().map(|at| at.span.clone()).collect();
                    self.plain(Place::GraphicsSocket, &socket.value, at, Vec::new());
                }
                _ => {}
            }
        }
        if let Some(listen) = copy.filter(|_| graphics.child("listen").is_none()) {
            self.plain(Place::GraphicsListen, &listen.value, vec![listen.span.clone()], Vec::new());
        }
    }

    /// A serial port, with the console that is its copy if there is one; or a console of its own.
    fn character_device(&mut self, device: &Element, twin: Option<&Element>) {
        let port = device.child("target").and_then(|target| target.value("port")).unwrap_or_default();
        self.device(format!("{} {port}", device.name), device);
        let mut of_twin = twin.map(sources_and_log).unwrap_or_default();
        for (place, attribute, removal) in sources_and_log(device) {
            let (mut at, mut removal) = (vec![attribute.span.clone()], Vec::from_iter(removal));
            let same = of_twin.iter().position(|(there, copy, _)| *there == place && copy.value == attribute.value);
            if let Some((_, copy, with_it)) = same.map(|number| of_twin.remove(number)) {
                at.push(copy.span.clone());
                removal.extend(with_it);
            }
            self.plain(place, &attribute.value, at, removal);
        }
    }

    fn channel(&mut self, channel: &Element, number: usize) {
        let target = channel.child("target").and_then(|target| target.value("name"));
        self.device(format!("channel {}", target.map_or_else(|| number.to_string(), str::to_owned)), channel);
        if channel.value("type") == Some("unix") {
            self.attribute(Place::ChannelPath, channel.child("source"), "path");
        }
    }
}

/// Whether a console is the copy that libvirt writes of a serial port.
fn are_twins(serial: &Element, console: &Element) -> bool {
    let port = |device: &Element| device.child("target")?.value("port").map(str::to_owned);
    let is_serial = console.child("target").and_then(|target| target.value("type")) == Some("serial");
    is_serial && port(serial) == port(console) && serial.value("type") == console.value("type")
}

/// The spots of a character device, with what goes with each when it is taken out.
fn sources_and_log(device: &Element) -> Vec<(Place, &Attribute, Option<Range<usize>>)> {
    let names: &[(Place, &str)] = match device.value("type") {
        Some("unix" | "file" | "dev" | "pipe") => &[(Place::SerialPath, "path")],
        Some("tcp" | "udp") => &[(Place::SerialHost, "host"), (Place::SerialPort, "service")],
        _ => &[],
    };
    let mut found = Vec::new();
    for source in device.children_named("source") {
        let attributes = names.iter().filter_map(|(place, name)| Some((*place, source.attribute(name)?, None)));
        found.extend(attributes);
    }
    if let Some(log) = device.child("log") {
        found.extend(log.attribute("file").map(|file| (Place::SerialLog, file, Some(log.span.clone()))));
    }
    found
}

/// From the white space in front of an attribute to its last quote.
fn whole(text: &str, attribute: &Attribute) -> Option<Range<usize>> {
    let before = text.get(..attribute.span.start)?;
    let name = before.strip_suffix(['\'', '"'])?.trim_end().strip_suffix('=')?.trim_end();
    let start = name.strip_suffix(attribute.name.as_str())?.trim_end().len();
    Some(start..attribute.span.end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_taken_out_with_all_that_is_of_it() {
        let text = "<a one='1'\n  portgroup\t= \"x\" two='2'/>";
        let a = xml::read(text, |_, _, _| true).unwrap();
        let range = whole(text, a.attribute("portgroup").unwrap()).unwrap();
        assert_eq!(text.get(range).unwrap(), "\n  portgroup\t= \"x\"");
    }
}
