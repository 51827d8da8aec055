//! The element with which a VM asks for context, in its own metadata: the opt-in, and layer 3 of the content.
//!
//! ```xml
//! <recontext:context xmlns:recontext="urn:virt-recontext:1" target="sda" format="files" label="RECONTEXT">
//!   <recontext:fact name="role">web</recontext:fact>
//!   <recontext:file path="probe.conf.j2">endpoint={{ facts.monitoring.endpoint }}</recontext:file>
//! </recontext:context>
//! ```
//!
//! It travels with the VM, so it comes from elsewhere: data, checked here, never code. It may come from a newer version:
//! attributes and elements that are not known do not count, unless `needs` names them.

use anyhow::{Context, Result, bail, ensure};
use quick_xml::escape::escape;

use super::xml::{Attribute, Element};
use crate::context::disc::compose::TEMPLATE;
use crate::context::disc::facts;
use crate::context::disc::files::{File, OPEN};
use crate::context::disc::format::Format;
use crate::context::disc::layer::Layer;
use crate::context::disc::path::DiscPath;
use crate::context::iso9660::label::Label;

/// The namespace of the metadata element: who has it opts in, nobody else.
pub const NAMESPACE: &str = "urn:virt-recontext:1";

/// What each of our namespaces begins with.
pub(crate) const OUR_NAMESPACES: &str = "urn:virt-recontext:";

/// Most facts that a VM carries.
const MAX_FACTS: usize = 1000;

/// Most bytes of their names together.
const MAX_NAMES: usize = 64 << 10;

/// The names of the attributes and elements that this version knows, any of which an element's `needs` may list.
const KNOWN: [&str; 7] = ["target", "format", "label", "replaced", "needs", "fact", "file"];

/// What the metadata element asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The drive for the disc, such as `sda`. Without it the drive is found by what it holds (see [`super::Domain::drive`]).
    pub target: Option<String>,
    /// The disc's format; without it the host's default.
    pub format: Option<Format>,
    /// The disc's volume label; without it the format's own.
    pub label: Option<Label>,
    /// The file in the drive whose place the disc has taken, which `disable` puts back. 0.1.0 does not know it.
    pub replaced: Option<String>,
    /// Facts that the VM carries: name, with dots between levels, and value.
    pub facts: Vec<(String, String)>,
    /// Files that the VM carries: path on the disc and content. A `.j2` at the end of the path makes a template.
    pub files: Vec<(String, String)>,
    /// The attributes and elements that have to be understood for there to be a disc, separated by spaces. All are.
    pub needs: Option<String>,
    /// What the element has that this version does not know.
    pub unknown: Unknown,
}

/// What a metadata element has that this version does not know, and that does not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unknown {
    /// The first few, each as a person reads it.
    first: Vec<String>,
    more: usize,
}

impl Unknown {
    /// So many are told by name; there may be as many as fit into a domain's XML.
    const MOST: usize = 5;

    fn add(&mut self, what: impl FnOnce() -> String) {
        if self.first.len() < Unknown::MOST {
            self.first.push(what().chars().take(200).flat_map(char::escape_debug).collect());
        } else {
            self.more += 1;
        }
    }

    /// What there is to say of it, if there is anything.
    pub fn told(&self) -> Option<String> {
        let more = (self.more > 0).then(|| format!("{} more", self.more));
        let all: Vec<&str> = self.first.iter().chain(&more).map(String::as_str).collect();
        (!all.is_empty()).then(|| {
            format!("this version does not know, and ignores, in the VM's metadata element: {}", all.join(", "))
        })
    }
}

impl Request {
    /// Reads the metadata element.
    ///
    /// # Errors
    /// When it has a value that cannot be, or needs what this version does not know.
    pub fn read(element: &Element) -> Result<Request> {
        let needs = element.value("needs").unwrap_or_default();
        if let Some(name) = needs.split_whitespace().find(|name| !KNOWN.contains(name)) {
            bail!(
                "the metadata element needs {name:?}, which virt-recontext {} does not know; install a version here that does",
                env!("CARGO_PKG_VERSION")
            );
        }
        let mut request = Request::default();
        for attribute in &element.attributes {
            let value = attribute.value.as_str();
            match attribute.name.as_str() {
                "target" => request.target = Some(target(value)?),
                "format" => request.format = Some(value.parse()?),
                "label" => request.label = Some(value.parse()?),
                "needs" => request.needs = Some(value.to_owned()),
                "replaced" => request.replaced = Some(value.to_owned()),
                other => request.unknown.add(|| format!("the attribute {other}")),
            }
        }
        for child in &element.children {
            match child.name.as_str() {
                "fact" if child.namespace == NAMESPACE => {
                    request.facts.push((request_key(child, "name", &mut request.unknown)?, child.text.clone()));
                }
                "file" if child.namespace == NAMESPACE => {
                    request.files.push((request_key(child, "path", &mut request.unknown)?, child.text.clone()));
                }
                other => request.unknown.add(|| format!("the element <{other}>")),
            }
        }
        Ok(request)
    }

    /// The layer of content that the VM carries.
    ///
    /// # Errors
    /// When a fact's name cannot be, or there are more than a thousand.
    pub fn layer(&self) -> Result<Layer> {
        let names: usize = self.facts.iter().map(|(name, _)| name.len()).sum();
        ensure!(
            self.facts.len() <= MAX_FACTS && names <= MAX_NAMES,
            "the domain's metadata has {} facts with {names} bytes of names; a VM may carry {MAX_FACTS} with {MAX_NAMES}",
            self.facts.len()
        );
        let mut layer = Layer::default();
        for (name, value) in &self.facts {
            facts::set(&mut layer.facts, name, value).context("reading the facts in the domain's metadata")?;
        }
        let file = |(path, text): &(String, String)| {
            (path.clone(), File { bytes: text.clone().into_bytes().into(), mode: OPEN })
        };
        layer.files = self.files.iter().map(file).collect();
        Ok(layer)
    }

    /// The disc's volume label, where discs have the format `default`.
    pub fn label_on(&self, default: Format) -> String {
        let own = self.label.as_ref().map(Label::to_string);
        own.unwrap_or_else(|| self.format.unwrap_or(default).label().to_owned())
    }

    /// Whether what the VM carries can be on a disc, as far as that shows in it alone.
    ///
    /// # Errors
    /// When a fact's name or a file's path cannot be, or there are too many facts.
    pub fn check(&self) -> Result<()> {
        let path = |(path, _): &(String, String)| path.strip_suffix(TEMPLATE).unwrap_or(path).parse::<DiscPath>();
        self.files.iter().try_for_each(|file| path(file).map(drop))?;
        self.layer().map(drop)
    }

    /// The element as libvirt takes it for a domain's metadata; it adds the namespace itself.
    pub fn to_xml(&self) -> String {
        let mut xml = "<context".to_owned();
        let format = self.format.map(|format| format.to_string());
        let label = self.label.as_ref().map(|label| label.to_string());
        let attributes = [
            ("target", &self.target),
            ("format", &format),
            ("label", &label),
            ("replaced", &self.replaced),
            ("needs", &self.needs),
        ];
        for (name, value) in attributes {
            if let Some(value) = value {
                xml += &format!(" {name}=\"{}\"", in_attribute(value));
            }
        }
        xml += ">";
        for (element, attribute, pairs) in [("fact", "name", &self.facts), ("file", "path", &self.files)] {
            for (key, text) in pairs {
                xml += &format!("<{element} {attribute}=\"{}\">{}</{element}>", in_attribute(key), in_text(text));
            }
        }
        xml + "</context>"
    }
}

/// A text as XML, with what every reader of XML would make a plain line break of.
fn in_text(text: &str) -> String {
    escape(text).replace('\r', "&#13;")
}

/// A text as an attribute's value, with what every reader of XML would make a space of.
fn in_attribute(text: &str) -> String {
    in_text(text).replace('\n', "&#10;").replace('\t', "&#9;")
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

/// The attribute called `name`, by which a fact or a file is known. What else is there is not known.
fn request_key(element: &Element, name: &str, unknown: &mut Unknown) -> Result<String> {
    let value =
        element.value(name).with_context(|| format!("a <{}> of the metadata element has no {name}", element.name))?;
    for Attribute { name: other, .. } in element.attributes.iter().filter(|attribute| attribute.name != name) {
        unknown.add(|| format!("the attribute {other} of a <{}>", element.name));
    }
    for Element { name: other, .. } in &element.children {
        unknown.add(|| format!("the element <{other}> in a <{}>", element.name));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::domain::xml;

    fn read(inner: &str) -> Result<Request> {
        let text = format!("<r:context xmlns:r='{NAMESPACE}' {inner}</r:context>");
        Request::read(&xml::read(&text, |_, _, _| true)?)
    }

    #[test]
    fn line_breaks_of_any_kind_are_written_so_that_they_are_read_again() {
        let request =
            Request { files: vec![("a\n\tb".to_owned(), "one\r\ntwo\rthree\n".to_owned())], ..Request::default() };
        let text = request.to_xml().replacen("<context", &format!("<context xmlns='{NAMESPACE}'"), 1);
        assert_eq!(Request::read(&xml::read(&text, |_, _, _| true).unwrap()).unwrap(), request);
    }

    #[test]
    fn what_is_asked_for_is_read_and_written_again() {
        let text = "target='sda' format='files' label='X' replaced='/a&amp;&apos;b.iso'><r:fact name='a.b'>1 &lt; 2</r:fact><r:file path='p q'>\n x\n</r:file>";
        let request = read(text).unwrap();
        assert_eq!(request.target.as_deref(), Some("sda"));
        assert_eq!(request.replaced.as_deref(), Some("/a&'b.iso"));
        assert_eq!(request.facts, [("a.b".to_owned(), "1 < 2".to_owned())]);
        assert_eq!(request.files, [("p q".to_owned(), "\n x\n".to_owned())]);
        let again = request.to_xml().replace("<context", &format!("<context xmlns='{NAMESPACE}'"));
        assert_eq!(Request::read(&xml::read(&again, |_, _, _| true).unwrap()).unwrap(), request);
    }

    #[test]
    fn what_enable_writes_without_replacing_anything_is_understood_by_0_1_0() {
        let request = read("target='sda' format='files' label='X'>").unwrap();
        assert_eq!(request.to_xml(), "<context target=\"sda\" format=\"files\" label=\"X\"></context>");
    }

    #[test]
    fn the_facts_of_a_vm_are_limited_in_number_and_in_names() {
        let layer = |facts: Vec<String>| {
            let facts = facts.into_iter().map(|name| (name, "x".to_owned())).collect();
            Request { facts, ..Request::default() }.layer().map_err(|error| error.to_string())
        };
        assert_eq!(layer((0..1000).map(|n| format!("a{n}.b")).collect()).unwrap().facts.len(), 1000);
        let error = layer((0..1001).map(|n| n.to_string()).collect()).unwrap_err();
        assert!(error.contains("1001 facts"), "{error}");
        let error = layer(vec!["x".repeat(64 << 10), "y".to_owned()]).unwrap_err();
        assert!(error.contains("65537 bytes of names"), "{error}");
    }

    #[test]
    fn a_value_that_cannot_be_is_an_error_that_names_it() {
        for (text, why) in [
            ("target='../x'>", "../x"),
            ("format='zip'>", "zip"),
            ("><r:fact>x</r:fact>", "name"),
            ("needs='label sign fact'>", "\"sign\""),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn what_is_not_known_does_not_count_and_is_told_unless_it_is_needed() {
        let text = "target='sda' sign='yes' needs=' target  fact '><r:fact name='a' b='c'>x<r:y/></r:fact><r:fakt>z</r:fakt>\
                    <fact name='b'/></r:context>";
        let request = read(text.trim_end_matches("</r:context>")).unwrap();
        assert_eq!(request.target.as_deref(), Some("sda"));
        assert_eq!(request.facts, [("a".to_owned(), "x".to_owned())]);
        let told = "this version does not know, and ignores, in the VM's metadata element: ";
        assert_eq!(
            request.unknown.told().unwrap(),
            format!(
                "{told}the attribute sign, the attribute b of a <fact>, the element <y> in a <fact>, the element <fakt>, \
                     the element <fact>"
            )
        );
        let many = format!(">{}", "<r:fakt/>".repeat(1000));
        assert!(read(&many).unwrap().unknown.told().unwrap().ends_with("<fakt>, 995 more"));
        assert_eq!(read("target='sda'>").unwrap().unknown.told(), None);
    }
}
