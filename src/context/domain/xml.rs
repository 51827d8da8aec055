//! XML read strictly into a small tree that knows where each element and attribute value stands in the text.
//!
//! Only the elements that the caller asks for are kept; of what is in the others only the end is looked for, since most of a
//! domain's XML is in them.
//! The positions make a lossless edit possible: whoever changes a value copies every other byte as it was.
//! What libvirt never writes (a document type, so no entities of its own; text cut off; a second root) is refused.

use std::borrow::Cow;
use std::io::BufRead;
use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{NamespaceResolver, ResolveResult};
use quick_xml::reader::Reader;

use super::xml_end::end_tag;

/// Deepest nesting that is read. libvirt's own schema needs 12; other people's metadata may go deeper.
const MAX_DEPTH: usize = 256;

/// An attribute and the place of its value, between the quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name as written, with its prefix.
    pub name: String,
    /// Its value with entities resolved.
    pub value: String,
    /// Where the value stands in the text, without the quotes.
    pub span: Range<usize>,
}

/// An element with what it contains.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// Its name without a prefix.
    pub name: String,
    /// Its namespace, empty when it has none.
    pub namespace: String,
    /// Its attributes, namespace declarations left out.
    pub attributes: Vec<Attribute>,
    /// The elements in it that were kept.
    pub children: Vec<Element>,
    /// The text directly in it, entities resolved, in one piece.
    pub text: String,
    /// From its `<` to behind its last `>`.
    pub span: Range<usize>,
    /// From behind its start tag to its end tag; empty of one that has none.
    pub inner: Range<usize>,
}

impl Element {
    /// The attribute called `name`.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// The value of the attribute called `name`.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.attribute(name).map(|attribute| attribute.value.as_str())
    }

    /// The first child of libvirt's own (without namespace) called `name`.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.namespace.is_empty() && child.name == name)
    }

    /// All children of libvirt's own (without namespace) called `name`.
    pub fn children_named<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Element> {
        self.children.iter().filter(move |child| child.namespace.is_empty() && child.name == name)
    }
}

/// Reads the document in `text`, keeping those elements for which `keep` says so; it is asked with the elements around, from
/// the root down, and the element's namespace and name. What lies in an element that is not kept is not kept.
///
/// # Errors
/// When `text` is not one complete element, or what is kept of it is not well-formed, has a document type, or nests deeper
/// than 256 elements.
pub fn read(text: &str, keep: impl Fn(&[Element], &str, &str) -> bool) -> Result<Element> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    // `<a/>` is told as `<a></a>` is.
    reader.config_mut().expand_empty_elements = true;
    let mut namespaces = NamespaceResolver::default();
    // The elements whose end has not come yet.
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        let start = position(reader.buffer_position())?;
        let fault = || format!("reading XML at byte {start}");
        let event = reader.read_event().with_context(fault)?;
        let end = position(reader.buffer_position())?;
        match event {
            Event::Start(tag) => {
                ensure!(root.is_none(), "the XML goes on after its root element, at byte {start}");
                ensure!(open.len() < MAX_DEPTH, "the XML nests deeper than {MAX_DEPTH} elements, at byte {start}");
                namespaces.push(&tag).with_context(fault)?;
                let namespace = namespace(&namespaces, &tag, start)?;
                let name = tag.local_name().into_inner();
                if open.is_empty() || keep(&open, namespace, name) {
                    let attributes = attributes(text, &tag, start)?;
                    let (name, namespace) = (name.to_owned(), namespace.to_owned());
                    let (span, inner) = (start..end, end..end);
                    open.push(Element { name, namespace, attributes, span, inner, ..Element::default() });
                } else {
                    skip(&mut reader, text).with_context(fault)?;
                    namespaces.pop();
                }
            }
            Event::End(_) => {
                namespaces.pop();
                let mut done = open.pop().with_context(|| format!("an end tag too many at byte {start}"))?;
                done.span.end = end;
                done.inner.end = start;
                match open.last_mut() {
                    None => root = Some(done),
                    Some(parent) => parent.children.push(done),
                }
            }
            Event::Text(piece) => add_text(&mut open, &piece.xml10_content(), start)?,
            Event::CData(piece) => add_text(&mut open, &piece.xml10_content(), start)?,
            Event::GeneralRef(entity) => match entity.resolve_char_ref()? {
                Some(c) => add_text(&mut open, c.encode_utf8(&mut [0; 4]), start)?,
                None => {
                    let name = entity.xml10_content();
                    let known = resolve_predefined_entity(&name);
                    let text = known.with_context(|| format!("the XML entity &{name}; at byte {start} is unknown"))?;
                    add_text(&mut open, text, start)?;
                }
            },
            Event::DocType(_) => bail!("the XML has a document type; libvirt writes none"),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Empty(_) => {}
            Event::Eof => break,
        }
    }
    ensure!(open.is_empty(), "the XML ends before its last element does");
    root.context("there is no XML element")
}

/// Goes to behind the element whose start tag was read last. Its end tag has to have its name; of those inside it is only counted
/// that each has one.
fn skip(reader: &mut Reader<&[u8]>, text: &str) -> Result<()> {
    let left = *reader.get_ref();
    let read = text.len().checked_sub(left.len()).and_then(|read| text.as_bytes().get(..read)).unwrap_or_default();
    if !read.ends_with(b"/>") {
        reader.stream().consume(end_tag(left).context("the element does not end")?);
    }
    reader.read_event()?;
    Ok(())
}

/// The namespace of the element that begins at `start`, empty when it has none.
fn namespace<'r>(known: &'r NamespaceResolver, tag: &BytesStart, start: usize) -> Result<&'r str> {
    match known.resolve_element(tag.name()).0 {
        ResolveResult::Bound(namespace) => Ok(namespace.into_inner()),
        ResolveResult::Unbound => Ok(""),
        ResolveResult::Unknown(prefix) => bail!("the XML prefix {prefix:?} at byte {start} is not declared"),
    }
}

fn add_text(open: &mut [Element], piece: &str, at: usize) -> Result<()> {
    match open.last_mut() {
        Some(element) => element.text.push_str(piece),
        None => ensure!(piece.trim().is_empty(), "the XML has text outside its root element, at byte {at}"),
    }
    Ok(())
}

fn attributes(text: &str, tag: &BytesStart, start: usize) -> Result<Vec<Attribute>> {
    let mut found = Vec::new();
    for attribute in tag.attributes() {
        let attribute =
            attribute.with_context(|| format!("reading the attributes of the XML element at byte {start}"))?;
        let name = attribute.key.into_inner();
        if name == "xmlns" || name.starts_with("xmlns:") {
            continue;
        }
        let Cow::Borrowed(raw) = attribute.value else { bail!("the place of the attribute {name:?} is not known") };
        let span = place(text, raw).with_context(|| format!("the place of the attribute {name:?} is not known"))?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0)?.into_owned();
        found.push(Attribute { name: name.to_owned(), value, span });
    }
    Ok(found)
}

/// Where `part`, a slice of `text`, stands in it.
fn place(text: &str, part: &str) -> Option<Range<usize>> {
    let start = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    let span = start..start.checked_add(part.len())?;
    (text.get(span.clone())? == part).then_some(span)
}

fn position(offset: u64) -> Result<usize> {
    usize::try_from(offset).context("the XML is larger than memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_values_are_found_where_they_stand() {
        let text = "<?xml version='1.0'?>\n<a one=\"1 &amp; 2\">x &lt;&#65;<b  two = '2'\n/></a>\n";
        let a = read(text, |_, _, _| true).unwrap();
        assert_eq!((a.name.as_str(), a.text.as_str(), a.value("one")), ("a", "x <A", Some("1 & 2")));
        assert_eq!(&text[a.attribute("one").unwrap().span.clone()], "1 &amp; 2");
        let b = a.child("b").unwrap();
        assert_eq!(&text[b.span.clone()], "<b  two = '2'\n/>");
        assert_eq!(&text[b.attribute("two").unwrap().span.clone()], "2");
        assert_eq!((&text[b.inner.clone()], &text[a.inner.clone()]), ("", "x &lt;&#65;<b  two = '2'\n/>"));
        assert_eq!(&text[a.span], "<a one=\"1 &amp; 2\">x &lt;&#65;<b  two = '2'\n/></a>");
    }

    #[test]
    fn only_what_is_asked_for_is_kept() {
        let text = "<a><skip><b/></skip><b><c/></b></a>";
        let a = read(text, |around, _, name| !(around.len() == 1 && name == "skip")).unwrap();
        assert_eq!(a.children.len(), 1);
        assert_eq!(a.children[0].children[0].name, "c");
    }

    #[test]
    fn namespaces_are_resolved_whatever_the_prefix() {
        let text = "<a><x:c xmlns:x='urn:n'/><c xmlns='urn:n'/></a>";
        let a = read(text, |_, _, _| true).unwrap();
        assert!(a.children.iter().all(|c| c.namespace == "urn:n" && c.name == "c"));
        assert!(a.child("c").is_none(), "a child in a namespace is not libvirt's own");
    }

    #[test]
    fn what_is_not_one_whole_document_is_refused() {
        for text in [
            "",
            "text",
            "<a>",
            "<a><b></a>",
            "<a/><b/>",
            "<a/>x",
            "</a>",
            "<a b='1' b='2'/>",
            "<a>&unknown;</a>",
            "<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>",
            "<p:a/>",
            "<a",
        ] {
            assert!(read(text, |_, _, _| true).is_err(), "{text:?} was taken");
        }
        assert!(read(&"<a>".repeat(300), |_, _, _| true).is_err());
    }
}
