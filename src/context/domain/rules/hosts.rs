//! The servers of a network disk as one value: `NAME:PORT`, or `NAME` alone, separated by commas; an IPv6 address stands in
//! brackets.

use std::fmt;
use std::ops::Range;

use anyhow::{Context, Result, ensure};
use quick_xml::escape::escape;

use super::value::Kind;
use crate::context::domain::xml::Element;

/// The servers of a disk in a domain's XML.
#[derive(Debug)]
pub(crate) struct Hosts {
    hosts: Vec<Host>,
    at: Vec<Range<usize>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Host {
    name: String,
    port: Option<String>,
}

impl Hosts {
    /// Those in a disk's source; `None` where there is none, or one that is reached in another way than by TCP.
    pub(super) fn read(source: &Element) -> Option<Hosts> {
        let mut hosts = Hosts { hosts: Vec::new(), at: Vec::new() };
        for host in source.children_named("host") {
            if !matches!(host.value("transport"), None | Some("tcp")) {
                return None;
            }
            hosts
                .hosts
                .push(Host { name: host.value("name")?.to_owned(), port: host.value("port").map(str::to_owned) });
            hosts.at.push(host.span.clone());
        }
        (!hosts.hosts.is_empty()).then_some(hosts)
    }

    pub(super) fn ranges(&self) -> Vec<Range<usize>> {
        self.at.clone()
    }

    /// What makes them those of `value`.
    ///
    /// # Errors
    /// When that is no list of servers.
    pub(super) fn edits(&self, value: &str) -> Result<Vec<(Range<usize>, String)>> {
        let new: String = parse(value)?
            .iter()
            .map(|Host { name, port }| {
                let port = port.as_deref().map(|port| format!(" port='{port}'")).unwrap_or_default();
                format!("<host name='{}'{port}/>", escape(name.as_str()))
            })
            .collect();
        let mut at = self.at.iter().cloned();
        let first = at.next().map(|first| (first, new));
        Ok(first.into_iter().chain(at.map(|other| (other, String::new()))).collect())
    }
}

/// The value as it is compared.
///
/// # Errors
/// When it is no list of servers.
pub(super) fn normal(value: &str) -> Result<String> {
    Ok(shown(&parse(value)?))
}

fn parse(value: &str) -> Result<Vec<Host>> {
    let wrong = || format!("{value:?} is no list of servers such as \"mon1.example:6789,[2001:db8::1]:6789\"");
    let one = |text: &str| -> Result<Host> {
        let text = text.trim();
        let (name, port) = match text.strip_prefix('[') {
            Some(text) => {
                let (name, rest) = text.split_once(']').with_context(wrong)?;
                ensure!(rest.is_empty() || rest.starts_with(':'), wrong());
                (name, rest.strip_prefix(':'))
            }
            None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
        };
        Kind::Host.check(name).with_context(wrong)?;
        port.map_or(Ok(()), |port| Kind::Port.check(port)).with_context(wrong)?;
        Ok(Host { name: name.to_owned(), port: port.map(str::to_owned) })
    };
    value.split(',').map(one).collect()
}

fn shown(hosts: &[Host]) -> String {
    let one = |Host { name, port }: &Host| {
        let name = if name.contains(':') { format!("[{name}]") } else { name.clone() };
        port.as_ref().map_or_else(|| name.clone(), |port| format!("{name}:{port}"))
    };
    hosts.iter().map(one).collect::<Vec<_>>().join(",")
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.hosts))
    }
}
