//! The element with which a VM asks for context, in its own metadata: the opt-in, and layer 3 of the content.
//!
//! ```xml
//! <recontext:context xmlns:recontext="urn:virt-recontext:1" target="sda" format="files" label="RECONTEXT">
//!   <recontext:fact name="role">web</recontext:fact>
//!   <recontext:file path="probe.conf.j2">endpoint={{ facts.monitoring.endpoint }}</recontext:file>
//! </recontext:context>
//! ```
//!
//! It travels with the VM, so it comes from elsewhere: data, checked here, never code.

use anyhow::{Context, Result, bail, ensure};

use super::format::Format;
use super::iso9660::Label;
use super::xml::Element;

/// The namespace of the metadata element: who has it opts in, nobody else.
pub const NAMESPACE: &str = "urn:virt-recontext:1";

/// What the metadata element asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The drive for the disc, such as `sda`. Without it the drive is found by what it holds (see [`super::domain::Domain::drive`]).
    pub target: Option<String>,
    /// The disc's format; without it the host's default.
    pub format: Option<Format>,
    /// The disc's volume label; without it the format's own.
    pub label: Option<Label>,
    /// Facts that the VM carries: name, with dots between levels, and value.
    pub facts: Vec<(String, String)>,
    /// Files that the VM carries: path on the disc and content. A `.j2` at the end of the path makes a template.
    pub files: Vec<(String, String)>,
}

impl Request {
    /// Reads the metadata element.
    ///
    /// # Errors
    /// When it has an attribute or element that this version does not know, or a value that cannot be.
    pub fn read(element: &Element) -> Result<Request> {
        let mut request = Request::default();
        for attribute in &element.attributes {
            let value = attribute.value.as_str();
            match attribute.name.as_str() {
                "target" => request.target = Some(target(value)?),
                "format" => request.format = Some(value.parse()?),
                "label" => request.label = Some(value.parse()?),
                other => bail!("the metadata element has the attribute {other:?}; known are target, format and label"),
            }
        }
        for child in &element.children {
            ensure!(
                child.namespace == NAMESPACE && child.children.is_empty(),
                "the metadata element holds <{}>, which is not known there; known are fact and file of {NAMESPACE}",
                child.name
            );
            match child.name.as_str() {
                "fact" => request.facts.push((only_attribute(child, "name")?, child.text.clone())),
                "file" => request.files.push((only_attribute(child, "path")?, child.text.clone())),
                other => bail!("the metadata element holds <{other}>; known are <fact name=…> and <file path=…>"),
            }
        }
        Ok(request)
    }
}

/// A drive's name in the guest as libvirt writes it.
///
/// # Errors
/// When it is not made of a few ASCII letters and digits.
pub fn target(name: &str) -> Result<String> {
    let fits = (1..=32).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    ensure!(fits, "the target {name:?} is not a drive's name such as \"sda\"");
    Ok(name.to_owned())
}

fn only_attribute(element: &Element, name: &str) -> Result<String> {
    let value =
        element.value(name).with_context(|| format!("a <{}> of the metadata element has no {name}", element.name))?;
    ensure!(
        element.attributes.len() == 1,
        "the <{} {name}={value:?}> of the metadata element has an attribute that is not known",
        element.name
    );
    Ok(value.to_owned())
}
