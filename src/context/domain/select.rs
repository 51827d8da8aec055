//! The rules by which a host's administrator says which VMs take part: managers write a VM's XML anew, and lose our element.
//!
//! ```toml
//! [[select]]
//! element = { namespace = "http://openstack.org/xmlns/libvirt/nova/1.1", name = "extraSpec", attribute = { name = "recontext:*" } }
//! [[select]]
//! name = "one-*"
//! drive = "none"
//! ```
//!
//! All conditions of a rule must fit, and the first rule that fits wins. A VM with an element of ours is never asked about.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::str::FromStr;

use anyhow::{Context, Result};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use wildmatch::WildMatch;

use super::Domain;
use super::request::Request;
use super::xml::{self, Element};
use crate::context::disc::format::Format;
use crate::context::iso9660::label::Label;

/// A text in which `*` stands for any text and `?` for any character.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Glob(WildMatch);

impl Glob {
    pub(crate) fn new(pattern: &str) -> Glob {
        Glob(WildMatch::new(pattern))
    }

    pub(crate) fn fits(&self, text: &str) -> bool {
        self.0.matches(text)
    }

    /// Whether it surely fits every text that the other one fits.
    #[cfg(feature = "libvirt")]
    fn covers(&self, other: &Glob) -> bool {
        let pattern = other.0.pattern();
        self == other || (!self.0.pattern().contains('?') && self.fits(&pattern))
    }
}

impl<'de> Deserialize<'de> for Glob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Glob, D::Error> {
        String::deserialize(deserializer).map(|pattern| Glob::new(&pattern))
    }
}

/// One rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The domain's name.
    name: Option<Glob>,
    /// Its title.
    title: Option<Glob>,
    /// An element in its metadata.
    element: Option<Condition>,
    #[serde(default)]
    pub(crate) drive: Choice,
    format: Option<Format>,
    #[serde(default, deserialize_with = "label")]
    label: Option<Label>,
}

/// An element that has to be there, anywhere in the domain's metadata.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    namespace: String,
    name: String,
    /// Values of its attributes, by their names.
    #[serde(default)]
    attribute: BTreeMap<String, Glob>,
    text: Option<Glob>,
}

/// The drive of the VMs that a rule fits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    /// One of our own, which is plugged in.
    #[default]
    Plug,
    /// The one of this name.
    Named(String),
    /// They do not take part.
    None,
}

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Choice, D::Error> {
        Ok(match String::deserialize(deserializer)?.as_str() {
            "plug" => Choice::Plug,
            "none" => Choice::None,
            name if is_drives(name) => Choice::Named(name.to_owned()),
            other => {
                let error =
                    format!("drive = {other:?} is neither \"plug\", \"none\" nor a drive's name such as \"sda\"");
                return Err(D::Error::custom(error));
            }
        })
    }
}

fn label<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Label>, D::Error> {
    Label::from_str(&String::deserialize(deserializer)?).map(Some).map_err(D::Error::custom)
}

/// Whether libvirt calls drives so: one that is called otherwise is a slip.
fn is_drives(name: &str) -> bool {
    let letters = ["hd", "sd", "vd", "xvd"].iter().find_map(|prefix| name.strip_prefix(prefix));
    letters.is_some_and(|it| (1..=3).contains(&it.len()) && it.bytes().all(|letter| letter.is_ascii_lowercase()))
}

/// All rules of a host, in their order.
#[derive(Debug, Clone, Default)]
pub struct Rules(Vec<Rule>);

impl<'de> Deserialize<'de> for Rules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rules, D::Error> {
        let rules = deserializer.deserialize_any(List)?;
        match rules.iter().position(|rule| rule.name.is_none() && rule.title.is_none() && rule.element.is_none()) {
            Some(empty) => {
                let empty = Number(empty);
                let error = format!("{empty} has no condition: name, title or element; name = \"*\" fits every VM");
                Err(D::Error::custom(error))
            }
            None => Ok(Rules(rules)),
        }
    }
}

/// Reads a list of rules. The parser has no word for who wrote single brackets.
struct List;

impl<'de> Visitor<'de> for List {
    type Value = Vec<Rule>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("rules, each of which begins with [[select]]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, rules: A) -> Result<Vec<Rule>, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(rules))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Vec<Rule>, A::Error> {
        Err(A::Error::custom("[select] is no rule: each begins with [[select]], in double brackets"))
    }
}

/// Which rule it is, as a person counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(usize);

impl Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[[select]] rule {}", self.0 + 1)
    }
}

impl Rules {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (Number, &Rule)> {
        self.0.iter().enumerate().map(|(number, rule)| (Number(number), rule))
    }

    /// The rules that can fit no VM, each with one above it that fits all of its VMs.
    #[cfg(feature = "libvirt")]
    pub(crate) fn hidden(&self) -> impl Iterator<Item = (Number, Number)> {
        self.numbered().filter_map(|(number, rule)| {
            let mut above = self.numbered().take_while(move |(above, _)| *above < number);
            above.find(|(_, above)| above.covers(rule)).map(|(above, _)| (number, above))
        })
    }

    /// The first rule that fits the domain.
    ///
    /// # Errors
    /// When its XML cannot be read.
    pub(crate) fn first_that_fits(&self, domain: &Domain) -> Result<Option<(Number, &Rule)>> {
        let looks_inside = |rule: &Rule| rule.title.is_some() || rule.element.is_some();
        let root = match self.0.iter().any(looks_inside) {
            true => xml::read(domain.xml, title_and_metadata).context("reading the domain's XML")?,
            false => Element::default(),
        };
        let title = root.child("title").map(|title| title.text.trim()).unwrap_or_default();
        let metadata = root.child("metadata");
        let fits = |rule: &&Rule| {
            rule.name.as_ref().is_none_or(|name| name.fits(&domain.name))
                && rule.title.as_ref().is_none_or(|glob| glob.fits(title))
                && rule.element.as_ref().is_none_or(|element| metadata.is_some_and(|metadata| element.is_in(metadata)))
        };
        Ok(self.numbered().find(|(_, rule)| fits(rule)))
    }
}

impl Rule {
    /// Whether it surely fits every VM that the other one fits.
    #[cfg(feature = "libvirt")]
    fn covers(&self, other: &Rule) -> bool {
        let covers = |glob: &Option<Glob>, other: &Option<Glob>| match (glob, other) {
            (None, _) => true,
            (Some(glob), None) => glob.covers(&Glob::new("*")),
            (Some(glob), Some(other)) => glob.covers(other),
        };
        covers(&self.name, &other.name)
            && covers(&self.title, &other.title)
            && (self.element.is_none() || self.element == other.element)
    }

    /// What a VM asks for that takes part by this rule, with the drive `target` if it has one already.
    pub fn request(&self, target: Option<&str>) -> Request {
        Request {
            target: target.map(str::to_owned),
            format: self.format,
            label: self.label.clone(),
            ..Request::default()
        }
    }
}

impl Condition {
    fn is_in(&self, around: &Element) -> bool {
        around.children.iter().any(|element| self.fits(element) || self.is_in(element))
    }

    fn fits(&self, element: &Element) -> bool {
        let has = |(name, glob): (&String, &Glob)| element.value(name).is_some_and(|value| glob.fits(value));
        element.namespace == self.namespace
            && element.name == self.name
            && self.attribute.iter().all(has)
            && self.text.as_ref().is_none_or(|text| text.fits(element.text.trim()))
    }
}

fn title_and_metadata(around: &[Element], namespace: &str, name: &str) -> bool {
    match around {
        [_] => namespace.is_empty() && matches!(name, "title" | "metadata"),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::toml_fault::Fault;
    use crate::context::toml_reader;

    #[derive(Deserialize)]
    struct Written {
        select: Rules,
    }

    fn rules(text: &str) -> Result<Rules, Fault> {
        toml_reader::read_text::<Written>(text).map(|written| written.select)
    }

    /// The number of the rule that fits such a domain.
    fn fitting(rules: &Rules, name: &str, inside: &str) -> Option<usize> {
        let xml = format!(
            "<domain><name>{name}</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>{inside}<devices/></domain>"
        );
        let domain = Domain::read(&xml).unwrap();
        rules.first_that_fits(&domain).unwrap().map(|(Number(number), _)| number)
    }

    const NOVA: &str = "http://openstack.org/xmlns/libvirt/nova/1.1";

    #[test]
    fn the_first_rule_of_which_all_conditions_fit_wins() {
        let rules = rules(&format!(
            "[[select]]\nelement = {{ namespace = '{NOVA}', name = 'extraSpec', attribute = {{ name = 'recontext:*' }} }}\n\
             name = 'instance-*'\n[[select]]\ntitle = 'web ?'\n[[select]]\nelement = {{ namespace = 'urn:x', name = 'a', \
             text = 'yes' }}\n[[select]]\nname = 'one-*'\ndrive = 'none'\n[[select]]\nname = 'one-7'"
        ))
        .unwrap();
        let nova = |spec: &str| {
            format!(
                "<metadata><n:i xmlns:n='{NOVA}'><n:f><n:extraSpec name='{spec}'>x</n:extraSpec></n:f></n:i></metadata>"
            )
        };
        let x = "<metadata><a xmlns='urn:x'> yes </a></metadata>";
        for (name, inside, rule) in [
            ("instance-1", nova("recontext:files").as_str(), Some(0)),
            ("instance-1", &nova("hw:cpu"), None),
            ("other", &nova("recontext:files"), None),
            ("instance-1", &nova("recontext:files").replace(NOVA, "urn:n"), None),
            ("instance-1", "", None),
            ("vm", "<title>web 1</title>", Some(1)),
            ("vm", "<title>web 12</title>", None),
            ("vm", x, Some(2)),
            ("vm", &x.replace("yes", "no"), None),
            ("one-7", "", Some(3)),
            ("done-7", "", None),
        ] {
            assert_eq!(fitting(&rules, name, inside), rule, "{name} {inside}");
        }
    }

    #[test]
    fn a_rule_below_one_that_fits_all_of_its_vms_is_hidden() {
        let hidden = |text: &str| -> Vec<(usize, usize)> {
            rules(text).unwrap().hidden().map(|(Number(rule), Number(by))| (rule, by)).collect()
        };
        let element = "element = { namespace = 'urn:x', name = 'a' }";
        for (above, below, is_hidden) in [
            ("name = 'one-*'", "name = 'one-7*'", true),
            ("name = 'one-*'", &format!("name = 'one-*'\n{element}"), true),
            (element, &format!("name = 'a'\n{element}"), true),
            ("name = '*'", "title = 'x'", true),
            ("name = 'one-7*'", "name = 'one-*'", false),
            ("name = 'one-?'", "name = 'one-*'", false),
            (&format!("name = 'one-*'\n{element}"), "name = 'one-*'", false),
            ("title = 'x'", "name = 'x'", false),
        ] {
            let wanted = if is_hidden { vec![(1, 0)] } else { vec![] };
            assert_eq!(hidden(&format!("[[select]]\n{above}\n[[select]]\n{below}")), wanted, "{above} / {below}");
        }
    }

    #[test]
    fn a_rule_says_what_its_vms_ask_for() {
        let rules =
            rules("[[select]]\nname='a'\nformat='nocloud'\nlabel='X'\ndrive='sdb'\n[[select]]\nname='b'").unwrap();
        let [a, b] = rules.0.as_slice() else { panic!("two rules") };
        assert_eq!((&a.drive, &b.drive), (&Choice::Named("sdb".to_owned()), &Choice::Plug));
        assert_eq!(
            a.request(Some("sdb")).to_xml(),
            "<context target=\"sdb\" format=\"nocloud\" label=\"X\"></context>"
        );
        assert_eq!(b.request(None).to_xml(), "<context></context>");
    }

    #[test]
    fn a_rule_that_cannot_be_meant_is_an_error() {
        for (text, why) in [
            ("[[select]]\ndrive = 'plug'", "rule 1 has no condition"),
            ("[[select]]\nname = 'a'\ndrive = 'plgu'", "\"plgu\" is neither \"plug\""),
            ("[[select]]\nname = 'a'\nlabel = 'a b'", "\"a b\""),
            ("[[select]]\nname = 1", "string"),
            ("[[select]]\nelement = { name = 'a' }", "namespace"),
            ("select = 'x'", "each of which begins with [[select]]"),
            ("[select]\nname = 'a'", "[select] is no rule: each begins with [[select]]"),
        ] {
            let error = rules(text).err().unwrap().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
