//! A mark in the metadata of a running VM whose links the helper has taken down for a moment. It travels with the VM, lies in its
//! saved states and in its snapshots: whoever goes on with the VM from there knows that they are to be put up.
//!
//! ```xml
//! <links:down xmlns:links="urn:virt-recontext:links:1" macs="52:54:00:6b:3c:58"/>
//! ```

use anyhow::{Context, Result};

use super::xml::{self, Element};

pub(crate) const LINKS: &str = "urn:virt-recontext:links:1";

/// The element for these MACs.
#[cfg(feature = "libvirt")]
pub(crate) fn mark(macs: &[String]) -> String {
    format!("<down macs=\"{}\"></down>", quick_xml::escape::escape(macs.join(" ")))
}

/// The MACs that the domain's XML is marked with, in lower case.
///
/// # Errors
/// When it is no whole document.
pub(crate) fn marked(xml: &str) -> Result<Vec<String>> {
    let keep = |around: &[Element], namespace: &str, name: &str| match around {
        [_] => namespace.is_empty() && name == "metadata",
        [_, _] => namespace == LINKS && name == "down",
        _ => false,
    };
    let root = xml::read(xml, keep).context("reading the domain's metadata")?;
    let marks = root.children_named("metadata").flat_map(|metadata| &metadata.children);
    let macs = marks.filter_map(|mark| mark.value("macs")).flat_map(str::split_whitespace);
    Ok(macs.map(str::to_ascii_lowercase).collect())
}

#[cfg(all(test, feature = "libvirt"))]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let macs = ["52:54:00:00:00:01", "52:54:00:00:00:02"].map(str::to_owned);
        let mark = mark(&macs).replace("<down ", &format!("<down xmlns='{LINKS}' "));
        let xml = format!("<domain><metadata><x/>{mark}</metadata><down macs='x'/></domain>");
        assert_eq!(marked(&xml).unwrap(), macs);
        assert_eq!(marked(&xml.replace(LINKS, "urn:other")).unwrap(), [""; 0]);
    }
}
