//! How an interface is attached to the host's network, as one value:
//!
//! `bridge:NAME`, `ovs:NAME` (a bridge of Open vSwitch), `network:NAME`, `macvtap:DEVICE`; behind that, each after a space,
//! `portgroup:NAME` (of a network), `mode:MODE` (of macvtap), `vlan:NUMBER`.

use std::fmt;
use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use quick_xml::escape::escape;

use super::value::Kind;
use crate::context::domain::xml::Element;

/// An attachment in a domain's XML.
#[derive(Debug)]
pub(crate) struct Attachment {
    to: To,
    /// Where the type stands in `<interface type='…'>`.
    kind: Range<usize>,
    source: Range<usize>,
    virtualport: Option<Range<usize>>,
    vlan: Option<Range<usize>>,
}

/// To what it is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
struct To {
    how: How,
    name: String,
    portgroup: Option<String>,
    mode: Option<String>,
    vlan: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Bridge,
    Ovs,
    Network,
    Macvtap,
}

const HOWS: [(How, &str); 4] =
    [(How::Bridge, "bridge"), (How::Ovs, "ovs"), (How::Network, "network"), (How::Macvtap, "macvtap")];

const MODES: [&str; 4] = ["bridge", "vepa", "private", "passthrough"];

impl Attachment {
    /// That of an interface; `None` of one that is attached in another way, or to more VLANs than one.
    pub(super) fn read(interface: &Element) -> Option<Attachment> {
        let source = interface.child("source")?;
        let virtualport = interface.child("virtualport");
        let port = virtualport.map(|port| port.value("type").unwrap_or_default());
        let kind = interface.attribute("type")?;
        let (how, name) = match (kind.value.as_str(), port) {
            ("bridge", None) => (How::Bridge, "bridge"),
            ("bridge", Some("openvswitch")) => (How::Ovs, "bridge"),
            ("network", None | Some("openvswitch")) => (How::Network, "network"),
            ("direct", None) => (How::Macvtap, "dev"),
            _ => return None,
        };
        let value = |name: &str| source.value(name).map(str::to_owned);
        let vlan = interface.child("vlan");
        let tag = match vlan {
            Some(vlan) => Some(only_tag(vlan)?.value("id")?.to_owned()),
            None => None,
        };
        let to = To {
            how,
            name: value(name)?,
            portgroup: value("portgroup").filter(|_| how == How::Network),
            mode: value("mode").filter(|_| how == How::Macvtap),
            vlan: tag,
        };
        let span = |element: &Element| element.span.clone();
        let (source, virtualport, vlan) = (span(source), virtualport.map(span), vlan.map(span));
        Some(Attachment { to, kind: kind.span.clone(), source, virtualport, vlan })
    }

    pub(super) fn ranges(&self) -> Vec<Range<usize>> {
        let Attachment { kind, source, virtualport, vlan, .. } = self;
        [Some(kind), Some(source), virtualport.as_ref(), vlan.as_ref()].into_iter().flatten().cloned().collect()
    }

    /// What makes it one to `value`; a port of Open vSwitch that was none before is called `port`, if that is said.
    ///
    /// # Errors
    /// When that is no attachment.
    pub(super) fn edits(&self, value: &str, port: Option<&str>) -> Result<Vec<(Range<usize>, String)>> {
        let new = To::parse(value)?;
        let behind = self.source.end..self.source.end;
        let name = escape(new.name.as_str());
        let (kind, source) = match new.how {
            How::Bridge | How::Ovs => ("bridge", format!("<source bridge='{name}'/>")),
            How::Network => {
                let portgroup = new.portgroup.as_deref().map(|name| format!(" portgroup='{}'", escape(name)));
                ("network", format!("<source network='{name}'{}/>", portgroup.unwrap_or_default()))
            }
            How::Macvtap => {
                let mode = new.mode.as_deref().map(|mode| format!(" mode='{mode}'")).unwrap_or_default();
                ("direct", format!("<source dev='{name}'{mode}/>"))
            }
        };
        let mut edits = vec![(self.kind.clone(), kind.to_owned()), (self.source.clone(), source)];
        let keeps_port = new.how == How::Ovs || (new.how == How::Network && self.to.how == How::Network);
        match &self.virtualport {
            Some(port) if !keeps_port => edits.push((port.clone(), String::new())),
            None if new.how == How::Ovs => edits.push((behind.clone(), ovs_port(port))),
            _ => {}
        }
        let vlan = new.vlan.map(|id| format!("<vlan><tag id='{id}'/></vlan>"));
        match (&self.vlan, vlan) {
            (Some(old), new) => edits.push((old.clone(), new.unwrap_or_default())),
            (None, Some(new)) => edits.push((behind, new)),
            (None, None) => {}
        }
        Ok(edits)
    }
}

fn ovs_port(name: Option<&str>) -> String {
    let parameters = |name| format!("<virtualport type='openvswitch'><parameters interfaceid='{name}'/></virtualport>");
    name.map_or_else(|| "<virtualport type='openvswitch'/>".to_owned(), |name| parameters(escape(name)))
}

/// The tag of a VLAN that is no trunk.
pub(super) fn only_tag(vlan: &Element) -> Option<&Element> {
    let mut tags = vlan.children_named("tag");
    let tag = tags.next().filter(|_| vlan.value("trunk").is_none())?;
    (tags.next().is_none() && tag.value("nativeMode").is_none()).then_some(tag)
}

/// The value as it is compared, whatever the order of what was written.
///
/// # Errors
/// When it is no attachment.
pub(super) fn normal(value: &str) -> Result<String> {
    To::parse(value).map(|to| to.to_string())
}

/// The network interface of the host that an attachment needs, if it needs one.
pub(super) fn device(value: &str) -> Option<String> {
    To::parse(value).ok().filter(|to| to.how != How::Network).map(|to| to.name)
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to.fmt(f)
    }
}

impl To {
    fn parse(value: &str) -> Result<To> {
        let wrong = || {
            format!(
                "{value:?} is no attachment such as \"bridge:br0\", \"ovs:br-int vlan:7\", \"network:prod\", \"macvtap:eth0 mode:bridge\""
            )
        };
        let mut words = value.split(' ');
        let (how, name) = words.next().and_then(|word| word.split_once(':')).with_context(wrong)?;
        let how = HOWS.iter().find(|(_, word)| *word == how).with_context(wrong)?.0;
        let mut to = To { how, name: name.to_owned(), portgroup: None, mode: None, vlan: None };
        match how {
            How::Network => Kind::Name.check(name)?,
            How::Bridge | How::Ovs | How::Macvtap => Kind::Device.check(name)?,
        }
        for word in words {
            let (key, value) = word.split_once(':').with_context(wrong)?;
            let (slot, kind) = match (key, how) {
                ("portgroup", How::Network) => (&mut to.portgroup, Some(Kind::Name)),
                ("mode", How::Macvtap) => (&mut to.mode, None),
                ("vlan", _) => (&mut to.vlan, Some(Kind::Vlan)),
                _ => bail!(wrong()),
            };
            match kind {
                Some(kind) => kind.check(value)?,
                None => ensure!(MODES.contains(&value), "mode:{value} is none of {}", MODES.join(", ")),
            }
            ensure!(slot.replace(value.to_owned()).is_none(), "{value:?} says {key} twice");
        }
        Ok(to)
    }
}

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = HOWS.iter().find(|(how, _)| *how == self.how).map_or("", |(_, word)| *word);
        write!(f, "{how}:{}", self.name)?;
        let more = [("portgroup", &self.portgroup), ("mode", &self.mode), ("vlan", &self.vlan)];
        more.iter()
            .filter_map(|(key, value)| Some((key, value.as_ref()?)))
            .try_for_each(|(key, value)| write!(f, " {key}:{value}"))
    }
}
