//! Which name a template uses that is not there, for the message: the engine tells only the line.

use std::fmt;

use minijinja::Value;

/// Most names that a message lists.
const MOST: usize = 12;

/// A template uses a name that is not there.
#[derive(Debug)]
pub(crate) struct Undefined {
    told: String,
    /// Whether with other facts it may be there.
    #[cfg_attr(not(feature = "libvirt"), expect(dead_code, reason = "no business of the hook"))]
    pub may_be_a_fact: bool,
}

impl Undefined {
    /// The fault at `place`, which says which name in the template's `line` leads nowhere in `values`, and what is there instead.
    /// As far as it shows: a name that is made while the template runs does not.
    pub(super) fn of(place: &str, line: &str, values: &Value) -> Undefined {
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
        match line.split(|c| !is_part(c)).find_map(|name| missing(name, values)) {
            Some((name, there)) => Undefined {
                told: format!("{place}: it uses {name}, which is not defined; {there}"),
                may_be_a_fact: name.starts_with("facts."),
            },
            None => Undefined {
                told: format!("{place}: it uses a name that is not defined; there are {}", names(values)),
                may_be_a_fact: true,
            },
        }
    }
}

impl fmt::Display for Undefined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told)
    }
}

impl std::error::Error for Undefined {}

/// The part of a name, such as `facts.site.zone`, up to where it leads nowhere, and what is there.
fn missing(name: &str, values: &Value) -> Option<(String, String)> {
    let mut parts = name.split('.').filter(|part| !part.is_empty());
    let first = parts.next()?;
    let mut place = values.get_attr(first).ok().filter(|value| !value.is_undefined())?;
    let mut known = first.to_owned();
    for part in parts {
        match place.get_attr(part).ok().filter(|value| !value.is_undefined()) {
            Some(value) => (place, known) = (value, format!("{known}.{part}")),
            // A text or a list has methods; what these are is not known here.
            None if place.as_object().is_none() => return None,
            None => return Some((format!("{known}.{part}"), format!("{known} has {}", names(&place)))),
        }
    }
    None
}

fn names(table: &Value) -> String {
    let mut names: Vec<String> = table.try_iter().into_iter().flatten().map(|name| name.to_string()).collect();
    names.sort_unstable();
    let more = if names.len() > MOST { ", …" } else { "" };
    names.truncate(MOST);
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") + more }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::context;

    #[test]
    fn the_name_is_told_and_what_there_is_instead() {
        let monitoring = context! { endpoint => "x", port => 1 };
        let values = context! { facts => context! { monitoring, site => "b" }, host => context! {} };
        for (line, wanted) in [
            (
                "a={{ facts.site }} b={{ facts.monitorin.endpoint }}",
                "facts.monitorin, which is not defined; facts has monitoring, site",
            ),
            (
                "{{ facts.monitoring.prot * 3 }}",
                "facts.monitoring.prot, which is not defined; facts.monitoring has endpoint, port",
            ),
            ("{{ host.name }}", "host.name, which is not defined; host has nothing"),
            ("{{ fact.site }}", "a name that is not defined; there are facts, host"),
            ("{{ facts.site.upper() }}", "a name that is not defined; there are facts, host"),
        ] {
            let told = Undefined::of("the template x.j2, line 1", line, &values);
            assert_eq!(told.to_string(), format!("the template x.j2, line 1: it uses {wanted}"));
            assert_eq!(told.may_be_a_fact, !wanted.starts_with("host."), "{line}");
        }
    }
}
