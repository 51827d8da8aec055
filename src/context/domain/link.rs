//! The links of a domain's interfaces: each `<interface>` in the form in which libvirt is given it to take its link down or up.

use anyhow::{Context, Result};

use super::rewrite::apply;
use super::xml::{self, Element};

/// An interface of a running VM.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    /// In lower case.
    pub mac: String,
    pub is_down: bool,
    /// Its element with its link down.
    pub down: String,
    /// Its element with its link up.
    pub up: String,
}

/// The interfaces in `xml` that have one of these MACs, in lower case.
///
/// # Errors
/// When it is no whole document.
pub(crate) fn interfaces(xml: &str, macs: &[String]) -> Result<Vec<Interface>> {
    let keep = |around: &[Element], namespace: &str, name: &str| match around {
        [_] => namespace.is_empty() && name == "devices",
        [_, _] => namespace.is_empty() && name == "interface",
        [_, _, _] => namespace.is_empty() && matches!(name, "mac" | "link"),
        _ => false,
    };
    let root = xml::read(xml, keep).context("reading the domain's interfaces")?;
    let of_mac = |element: &Element| {
        let mac = element.child("mac")?.value("address")?.to_ascii_lowercase();
        macs.contains(&mac).then(|| interface(xml, element, mac))
    };
    root.children_named("devices").flat_map(|devices| devices.children_named("interface")).filter_map(of_mac).collect()
}

fn interface(xml: &str, element: &Element, mac: String) -> Result<Interface> {
    let as_it_is = xml.get(element.span.clone()).context("an interface lies outside of the XML")?;
    let is_down = element.child("link").and_then(|link| link.value("state")) == Some("down");
    let begin = element.span.start;
    let with = |state: &str| {
        let edit = match element.child("link") {
            Some(link) => (link.span.clone(), format!("<link state='{state}'/>")),
            None => (element.inner.end..element.inner.end, format!("<link state='{state}'/>")),
        };
        let (at, new) = edit;
        apply(as_it_is, vec![(at.start - begin..at.end - begin, new)])
    };
    Ok(Interface { down: with("down")?, up: with("up")?, mac, is_down })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_goes_down_and_up_and_nothing_else_changes() {
        let plain = "<interface type='bridge'>\n  <mac address='52:54:00:AA:00:01'/><model type='virtio'/></interface>";
        let up = "<interface type='bridge'><mac address=\"52:54:00:aa:00:02\"/><link state='up'/></interface>";
        let down = "<interface type='user'><link state='down'/><mac address='52:54:00:aa:00:03'/></interface>";
        let xml = format!(
            "<domain><metadata><interface xmlns='urn:x'><mac address='52:54:00:aa:00:01'/></interface></metadata><devices>\
             {plain}<disk/>{up}{down}<interface><mac address='52:54:00:aa:00:04'/></interface></devices></domain>"
        );
        let macs = [1, 2, 3].map(|last| format!("52:54:00:aa:00:0{last}"));
        let found = interfaces(&xml, &macs).unwrap();
        assert_eq!(found.iter().map(|one| one.mac.as_str()).collect::<Vec<_>>(), macs);
        assert_eq!(found.iter().map(|one| one.is_down).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!(found[0].down, plain.replace("</interface>", "<link state='down'/></interface>"));
        assert_eq!(found[1].down, up.replace("'up'", "'down'"));
        assert_eq!((found[2].down.as_str(), found[2].up.as_str()), (down, down.replace("'down'", "'up'").as_str()));
    }
}
