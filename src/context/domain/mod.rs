//! A domain as its XML describes it: who it is, whether it asks for context, and its CD-ROM drives.

pub mod disk_xml;
pub mod drive;
pub mod driver;
#[cfg(feature = "libvirt")]
pub(crate) mod link;
pub(crate) mod link_mark;
pub mod new_drive;
mod places;
pub mod plug;
pub mod request;
pub mod rewrite;
pub(crate) mod rules;
pub mod select;
mod spot;
pub mod xml;
mod xml_end;

use anyhow::{Context, Result, bail, ensure};

use self::drive::{Drive, Medium};
use self::driver::Machine;
use self::request::{NAMESPACE, Request};
use self::xml::Element;
use crate::context::uuid::Uuid;

/// A domain, borrowed from its XML.
#[derive(Debug)]
pub struct Domain<'x> {
    /// The whole document.
    pub xml: &'x str,
    /// Its name; on arrival already the new one if the migration renames it.
    pub name: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// Its CD-ROM drives, and disks of a context, in the order of the document.
    pub drives: Vec<Drive>,
    /// What kind of machine it is, which decides on its drives.
    pub machine: Machine,
    /// The `machine` of `<os><type>`, such as `pc-q35-9.2`, which decides the bus of a new drive.
    pub model: String,
    /// Targets of all its disks, CD-ROM or not.
    pub targets: Vec<String>,
    request: Option<Result<Request, String>>,
    /// What else was kept of it, for rules.
    for_rules: Option<Element>,
}

/// What was read of a domain, without its XML: what holds that text may move meanwhile.
#[derive(Debug)]
pub(crate) struct WithoutXml(Domain<'static>);

impl WithoutXml {
    /// With `xml` again, the text that it was read of.
    pub(crate) fn with(self, xml: &str) -> Domain<'_> {
        Domain { xml, ..self.0 }
    }
}

impl<'x> Domain<'x> {
    /// Reads a domain's XML.
    ///
    /// # Errors
    /// When it is not one whole domain document, or lacks a name or a proper UUID. A faulty metadata element is no
    /// error here but in [`Domain::request`], since much can be done without it.
    pub fn read(xml: &'x str) -> Result<Domain<'x>> {
        let root = xml::read(xml, wanted).context("reading the domain's XML")?;
        Domain::of(xml, &root)
    }

    /// The same, and what rules look at in one go.
    ///
    /// # Errors
    /// As of [`Domain::read`].
    pub(crate) fn read_for_rules(xml: &'x str) -> Result<Domain<'x>> {
        let either = |around: &[Element], namespace: &str, name: &str| {
            let is_others = matches!(around, [_, metadata, ..] if metadata.name == "metadata");
            wanted(around, namespace, name) || (!is_others && rules::wanted(around, namespace, name))
        };
        let root = xml::read(xml, either).context("reading the domain's XML")?;
        let domain = Domain::of(xml, &root)?;
        Ok(Domain { for_rules: Some(root), ..domain })
    }

    /// The same without its XML, and without what was kept for rules.
    pub(crate) fn without_xml(self) -> WithoutXml {
        let Domain { name, uuid, drives, machine, model, targets, request, .. } = self;
        WithoutXml(Domain { xml: "", name, uuid, drives, machine, model, targets, request, for_rules: None })
    }

    fn of(xml: &'x str, root: &Element) -> Result<Domain<'x>> {
        ensure!(root.name == "domain", "the XML describes a <{}>, not a <domain>", root.name);
        let text = |name| root.child(name).map(|element| element.text.trim().to_owned());
        // As it is, white space included: another VM may be called so without it.
        let name = root.child("name").map(|element| element.text.clone()).filter(|name| !name.is_empty());
        let name = name.context("the domain's XML has no name")?;
        let uuid: Uuid = text("uuid").context("the domain's XML has no UUID")?.parse()?;
        let image = image_name(&uuid);
        let elements = root.child("metadata").into_iter().flat_map(|metadata| &metadata.children);
        let mut requests = elements.filter(|element| element.namespace == NAMESPACE && element.name == "context");
        let request = requests.next().map(|element| {
            ensure!(requests.next().is_none(), "the metadata holds two context elements; it may hold one");
            Request::read(element)
        });
        let guest = root.child("os").and_then(|os| os.child("type"));
        let machine = Machine::of(root.value("type"), guest.map(|guest| guest.text.trim()));
        let devices = root.child("devices");
        let disks: Vec<&Element> = devices.into_iter().flat_map(|devices| devices.children_named("disk")).collect();
        Ok(Domain {
            xml,
            name,
            uuid,
            drives: disks.iter().filter_map(|disk| Drive::read(disk, machine, &image)).collect(),
            machine,
            model: guest.and_then(|guest| guest.value("machine")).unwrap_or_default().to_owned(),
            targets: disks.iter().filter_map(|disk| Some(disk.child("target")?.value("dev")?.to_owned())).collect(),
            request: request.map(|request| request.map_err(|error| format!("{error:#}"))),
            for_rules: None,
        })
    }

    /// The drive that the domain asks for by its name, if it has no disk of that name. One that was enabled while it ran has it
    /// only in its definition.
    pub fn missing_target(&self) -> Option<&str> {
        let target = self.request.as_ref()?.as_ref().ok()?.target.as_deref()?;
        (!self.targets.iter().any(|there| there == target)).then_some(target)
    }

    /// What the domain asks for; `None` when it does not take part.
    ///
    /// # Errors
    /// When its metadata element is faulty.
    pub fn request(&self) -> Result<Option<&Request>> {
        match &self.request {
            None => Ok(None),
            Some(Ok(request)) => Ok(Some(request)),
            Some(Err(why)) => bail!("{why}"),
        }
    }

    /// Whether the domain asks for context at all, even if faultily.
    pub fn takes_part(&self) -> bool {
        self.request.is_some()
    }

    /// What the domain asks for, and the drive for it.
    ///
    /// # Errors
    /// When its request is faulty, or it has no drive that can take the disc.
    pub fn request_and_drive(&self) -> Result<(&Request, &Drive)> {
        let request = self.request()?.context("the domain asks for no context")?;
        let drive = self.drive(request)?;
        drive.check()?;
        Ok((request, drive))
    }

    /// The drive of this name.
    pub(crate) fn drive_called(&self, target: &str) -> Option<&Drive> {
        self.drives.iter().find(|drive| drive.target == target)
    }

    /// What somebody has put into the drive `target`. A context disc of this VM is nobody's, nor is another VM's beside `image`,
    /// the place of its disc on this host: a copied VM has its original's there.
    pub fn somebodys_medium(&self, target: &str, image: &str) -> Option<Medium<'_>> {
        let drive = self.drive_called(target).filter(|drive| !drive.is_empty())?;
        let is_context = self.drives_with_disc().any(|ours| ours.target == target)
            || drive.path().is_some_and(|path| directory(path) == directory(image) && is_image_name(file_name(path)));
        (!is_context).then(|| drive.path().map_or(Medium::Other, Medium::File))
    }

    /// Its drives in which the guest reads a context disc of this VM.
    pub fn drives_with_disc(&self) -> impl Iterator<Item = &Drive> {
        let image = image_name(&self.uuid);
        self.drives.iter().filter(move |drive| drive.image().is_some_and(|path| file_name(path) == image))
    }

    /// The drive for the context disc: the one that the request names. If it names none, the drive that holds a
    /// context disc of this VM, or else its only CD-ROM drive if that is empty: a disc that somebody else put into a
    /// drive is never taken for ours.
    ///
    /// # Errors
    /// When there is no such drive.
    pub fn drive(&self, request: &Request) -> Result<&Drive> {
        let name = &self.name;
        if let Some(target) = &request.target {
            let found = self.drives.iter().find(|drive| drive.target == *target);
            return found.with_context(|| {
                format!("the domain has no CD-ROM drive {target}; \"virt-recontext enable {name}\" adds or chooses one")
            });
        }
        if let Some(drive) = self.drives_with_disc().next() {
            return Ok(drive);
        }
        match self.drives.as_slice() {
            [only] if only.is_empty() => Ok(only),
            _ => bail!("no drive is named for the context disc; \"virt-recontext enable {name}\" chooses one"),
        }
    }
}

/// The file name in a path.
fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// What is before the file name in a path.
fn directory(path: &str) -> &str {
    path.rsplit_once('/').unwrap_or_default().0
}

/// The file name of a VM's image, on every host.
pub fn image_name(uuid: &Uuid) -> String {
    format!("{uuid}.iso")
}

/// Whether some VM's image is called so.
pub(crate) fn is_image_name(name: &str) -> bool {
    let uuid: Option<Uuid> = name.strip_suffix(".iso").and_then(|stem| stem.parse().ok());
    uuid.is_some_and(|uuid| image_name(&uuid) == name)
}

/// The elements that say something about us; everything else in a domain is not kept.
fn wanted(around: &[Element], namespace: &str, name: &str) -> bool {
    match around {
        [_] => namespace.is_empty() && matches!(name, "name" | "uuid" | "os" | "metadata" | "devices"),
        [_, os] if os.name == "os" => name == "type",
        [_, devices] if devices.name == "devices" => name == "disk",
        [_, metadata] if metadata.name == "metadata" => namespace == NAMESPACE,
        _ => true,
    }
}
