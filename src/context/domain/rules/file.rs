//! A file of rules, as the administrator writes it:
//!
//! ```toml
//! vms = "all"
//! required = true
//! [[rewrite]]
//! change = "interface.bridge"
//! map = { "br-prod" = "br0", "cloudVirBr*" = "breth0-*" }
//! when = { domain = "web-*", mac = "52:54:00:*" }
//! ```

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, bail, ensure};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::pattern::Pattern;
use super::place::{Place, TABLE};
use super::{attachment, hosts};
use crate::context::disc::marker::Reason;
use crate::context::toml_fault;

/// The rules of one file.
#[derive(Debug)]
pub(crate) struct RuleFile {
    /// Its name, for messages.
    pub name: String,
    pub vms: Whom,
    /// Whether a VM is refused for which one of these rules fits and cannot be applied.
    pub required: bool,
    /// Whether what these rules change in a VM that comes is changed in its persistent definition too.
    pub persist: bool,
    pub rules: Vec<Rule>,
}

/// Which VMs a file concerns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Whom {
    /// Those that take part.
    #[default]
    Enabled,
    All,
}

#[derive(Debug)]
pub(crate) struct Rule {
    /// The line of the file in which it begins.
    pub line: usize,
    pub place: Place,
    /// The first that fits counts.
    pub cases: Vec<(Pattern, Action)>,
    pub when: When,
    /// Whether what the new value names has to be on this host.
    pub must_exist: bool,
    pub new_network: NewNetwork,
}

/// How a guest is told that an interface of its is on another network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum NewNetwork {
    /// It is not on another one.
    #[default]
    No,
    /// Its disc says so.
    Disc,
    /// The same, and the interface's link goes down and up.
    Link,
}

/// What is done about a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A text in which the stars stand for what they stood for in the old value.
    Stars(Pattern),
    /// A template for the new value.
    Template(String),
    Remove,
    /// The VM is refused; a template for the reason.
    Refuse(String),
}

/// What else has to fit: the VM, the occasion and the device.
#[derive(Debug, Default)]
pub(crate) struct When {
    pub domain: Option<Pattern>,
    pub uuid: Option<Pattern>,
    pub reason: Option<Reason>,
    pub mac: Option<Pattern>,
    pub target: Option<Pattern>,
    pub serial: Option<Pattern>,
    pub alias: Option<Pattern>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    #[serde(default)]
    vms: Whom,
    #[serde(default)]
    required: bool,
    #[serde(default = "yes")]
    persist: bool,
    #[serde(default)]
    rewrite: Vec<Spanned<RuleText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    #[serde(deserialize_with = "place")]
    change: Place,
    from: Option<String>,
    to: Option<String>,
    map: Option<BTreeMap<String, String>>,
    #[serde(default)]
    remove: bool,
    refuse: Option<String>,
    #[serde(default)]
    when: WhenText,
    #[serde(default = "yes")]
    must_exist: bool,
    #[serde(default)]
    new_network: NewNetwork,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhenText {
    domain: Option<String>,
    uuid: Option<String>,
    reason: Option<Occasion>,
    mac: Option<String>,
    target: Option<String>,
    serial: Option<String>,
    alias: Option<String>,
}

/// When rules are applied.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Occasion {
    Migrate,
    Restore,
}

fn yes() -> bool {
    true
}

fn place<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Place, D::Error> {
    let name = String::deserialize(deserializer)?;
    Place::named(&name).ok_or_else(|| {
        let names: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
        D::Error::custom(format!(
            "change = {name:?} is no place that a rule can change; those are {}",
            names.join(", ")
        ))
    })
}

impl<'de> Deserialize<'de> for NewNetwork {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<NewNetwork, D::Error> {
        struct Said;
        impl Visitor<'_> for Said {
            type Value = NewNetwork;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or \"disc\"")
            }

            fn visit_bool<E: Error>(self, is_new: bool) -> Result<NewNetwork, E> {
                Ok(if is_new { NewNetwork::Link } else { NewNetwork::No })
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<NewNetwork, E> {
                if word == "disc" { Ok(NewNetwork::Disc) } else { Err(E::invalid_value(Unexpected::Str(word), &self)) }
            }
        }
        deserializer.deserialize_any(Said)
    }
}

impl RuleFile {
    /// Reads the file called `name`.
    ///
    /// # Errors
    /// When anything in it is not understood: a rule that is half read would do what nobody wants. With the line.
    pub(crate) fn parse(name: &str, text: &str) -> Result<RuleFile> {
        let FileText { vms, required, persist, rewrite } =
            toml::from_str(text).map_err(|fault| toml_fault::told(&fault, text))?;
        // Counted on from rule to rule: there may be many.
        let (mut counted, mut line) = (0, 1);
        let read = |rule: Spanned<RuleText>| {
            let start = rule.span().start;
            line += text.get(counted..start).unwrap_or_default().matches('\n').count();
            counted = start;
            rule.into_inner().rule(line).map_err(|error| error.context(format!("line {line}")))
        };
        let rules = rewrite.into_iter().map(read).collect::<Result<_>>()?;
        Ok(RuleFile { name: name.to_owned(), vms, required, persist, rules })
    }
}

impl RuleText {
    fn rule(self, line: usize) -> Result<Rule> {
        let RuleText { change: place, from, to, map, remove, refuse, when, must_exist, new_network } = self;
        if new_network != NewNetwork::No {
            ensure!(place.group() == "interface", "new_network is of an interface, and {} is not", place.row().name);
            ensure!(refuse.is_none(), "a VM that is refused comes to no new network");
        }
        let given = [to.is_some(), map.is_some(), remove, refuse.is_some()].into_iter().filter(|given| *given).count();
        ensure!(given == 1, "a rule has exactly one of map, to, remove = true and refuse");
        ensure!(
            from.is_none() || map.is_none(),
            "the old values of a map are its keys: from goes with to, remove and refuse"
        );
        let row = place.row();
        let from = Pattern::new(from.as_deref().unwrap_or("*"));
        let mut cases = match (to, map, refuse) {
            (Some(to), ..) => {
                let action = action(place, &from, to)?;
                vec![(from, action)]
            }
            (None, Some(map), _) => {
                ensure!(!map.is_empty(), "the map is empty");
                let case = |(key, value): (String, String)| -> Result<_> {
                    let from = Pattern::new(&normal(place, key)?);
                    let action = action(place, &from, value)?;
                    Ok((from, action))
                };
                map.into_iter().map(case).collect::<Result<Vec<_>>>()?
            }
            (None, None, Some(why)) => {
                ensure!(
                    !why.trim().is_empty(),
                    "refuse is the reason that whoever migrates the VM reads, and is empty"
                );
                vec![(from, Action::Refuse(why))]
            }
            (None, None, None) => {
                ensure!(row.may_go, "{} cannot be removed: what remains would not be whole", row.name);
                vec![(from, Action::Remove)]
            }
        };
        // A table of TOML has no order: what says most comes first.
        cases.sort_by_key(|(from, _)| (from.stars() > 0, usize::MAX - from.literal()));
        Ok(Rule { line, place, cases, when: when.read(place)?, must_exist, new_network })
    }
}

/// What a value that is written of a place is compared as.
fn normal(place: Place, value: String) -> Result<String> {
    if value.contains('*') {
        return Ok(value);
    }
    match place {
        Place::InterfaceAttachment => attachment::normal(&value),
        Place::DiskHosts => hosts::normal(&value),
        _ => Ok(value),
    }
}

fn action(place: Place, from: &Pattern, to: String) -> Result<Action> {
    ensure!(!to.is_empty(), "an empty new value; to take something out, a rule has remove = true");
    if to.contains("{{") || to.contains("{%") {
        return Ok(Action::Template(to));
    }
    let new = Pattern::new(&to);
    ensure!(new.stars() <= from.stars(), "{to:?} has more stars than the old value, whose parts they would stand for");
    if new.stars() == 0 {
        super::check(place, &to)?;
        return Ok(Action::Stars(Pattern::new(&normal(place, to)?)));
    }
    Ok(Action::Stars(new))
}

impl WhenText {
    fn read(self, place: Place) -> Result<When> {
        let WhenText { domain, uuid, reason, mac, target, serial, alias } = self;
        let group = place.group();
        for (given, key, groups) in [
            (mac.is_some(), "mac", &["interface"][..]),
            (target.is_some(), "target", &["interface", "disk"]),
            (serial.is_some(), "serial", &["disk"]),
            (alias.is_some(), "alias", &["interface", "disk", "filesystem", "graphics", "serial", "channel"]),
        ] {
            if given && !groups.contains(&group) {
                bail!("{} has no {key}, so when.{key} would never fit", place.row().name);
            }
        }
        let pattern = |text: Option<String>| text.map(|text| Pattern::new(&text));
        let mac = mac.map(|mac| Pattern::new(&mac.to_ascii_lowercase()));
        let uuid = uuid.map(|uuid| Pattern::new(&uuid.to_ascii_lowercase()));
        let reason = reason.map(|occasion| match occasion {
            Occasion::Migrate => Reason::Migrate,
            Occasion::Restore => Reason::Restore,
        });
        let (domain, target, serial, alias) = (pattern(domain), pattern(target), pattern(serial), pattern(alias));
        Ok(When { domain, uuid, reason, mac, target, serial, alias })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        format!("{:#}", RuleFile::parse("x", text).unwrap_err())
    }

    fn rule(text: &str) -> String {
        format!("[[rewrite]]\n{text}\n")
    }

    #[test]
    fn what_is_not_understood_is_told_with_its_line() {
        for (text, why) in [
            (
                rule("change = 'interface.mac'\nto = 'x'"),
                "line 2: change = \"interface.mac\" is no place that a rule can change; those are interface.attachment, ",
            ),
            (rule("change = 'interface.bridge'"), "line 1: a rule has exactly one of map, to, remove"),
            (rule("change = 'interface.bridge'\nto = 'a'\nrefuse = 'b'"), "exactly one"),
            (rule("change = 'interface.bridge'\nto = ''"), "an empty new value"),
            (rule("change = 'interface.bridge'\nfrom = 'a*'\nto = '*-*'"), "more stars than the old value"),
            (rule("change = 'interface.bridge'\nmap = { a = 'b' }\nfrom = 'a'"), "its keys"),
            (rule("change = 'interface.bridge'\nmap = {}"), "the map is empty"),
            (rule("change = 'interface.bridge'\nremove = true"), "interface.bridge cannot be removed"),
            (rule("change = 'interface.bridge'\nrefuse = ' '"), "is empty"),
            (rule("change = 'interface.bridge'\nto = 'a/b'"), "no network interface's name"),
            (rule("change = 'disk.file'\nto = '/a/../b'"), "\"..\""),
            (rule("change = 'interface.attachment'\nto = 'br0'"), "no attachment such as"),
            (rule("change = 'interface.attachment'\nto = 'bridge:br0 portgroup:x'"), "no attachment such as"),
            (rule("change = 'disk.hosts'\nto = 'a:b'"), "no list of servers"),
            (rule("change = 'disk.file'\nto = '/x'\nwhen = { mac = '*' }"), "disk.file has no mac"),
            (rule("change = 'disk.file'\nto = '/x'\nwhen = { reason = 'start' }"), "line 4"),
            (rule("change = 'disk.file'\nto = '/x'\nregex = 'y'"), "line 4: unknown field `regex`"),
            (rule("change = 'disk.file'\nto = '/x'\nnew_network = true"), "new_network is of an interface"),
            (rule("change = 'interface.bridge'\nrefuse = 'x'\nnew_network = true"), "comes to no new network"),
            (rule("change = 'interface.bridge'\nto = 'x'\nnew_network = 'link'"), "true, false or \"disc\""),
            ("vm = 'all'\n".to_owned(), "line 1: unknown field `vm`"),
            ("vms = 'some'\n".to_owned(), "line 1"),
            ("[[rewrite]\n".to_owned(), "line 1"),
        ] {
            assert!(fault(&text).contains(why), "{text}: {}", fault(&text));
        }
    }

    #[test]
    fn in_a_map_what_says_most_comes_first() {
        let map = "map = { 'br*' = 'a', '*' = 'b', 'br-prod' = 'c', 'br-*' = 'd', 'br-*-x' = 'e' }";
        let file = RuleFile::parse("x", &rule(&format!("change = 'interface.bridge'\n{map}"))).unwrap();
        let new = |old: &str| {
            let (from, action) = file.rules[0].cases.iter().find(|(from, _)| from.fit(old).is_some()).unwrap();
            let Action::Stars(new) = action else { panic!("{from:?}") };
            new.fill(&[])
        };
        assert_eq!(["br-prod", "br-a-x", "br-a", "br0", "x"].map(new), ["c", "e", "d", "a", "b"]);
    }
}
