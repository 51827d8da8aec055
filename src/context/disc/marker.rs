//! For whom, why and when a disc is made, and `/recontext.json`, which says so on the disc itself.

use std::fmt;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::format::Format;
use crate::context::moment::Moment;
use crate::context::uuid::Uuid;

pub(crate) const MARKER: &str = "recontext.json";

/// A disc's number: the hundredths of a second from 1970 to its making, and always more than the one before it on
/// the same host. Two hosts need not agree: a guest compares for *different*, not for *greater*.
///
/// Also the disc's volume date, and so its UUID for `blkid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Generation(pub u64);

impl Generation {
    /// The generation of a disc made `now` after `last`.
    pub(crate) fn next(last: Option<Generation>, now: Moment) -> Generation {
        Generation(last.map_or(now.0, |Generation(last)| now.0.max(last.saturating_add(1))))
    }

    /// The moment that it stands for; its making, unless the clock was set back.
    pub(crate) fn moment(self) -> Moment {
        Moment(self.0)
    }
}

/// What made us build a disc.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// The VM was started here.
    Start,
    /// The VM migrated in.
    Migrate,
    /// The VM was restored from a saved state.
    Restore,
    /// An administrator asked, or the host's data changed.
    Refresh,
}

#[cfg(feature = "libvirt")]
impl Reason {
    pub(crate) const ALL: [Reason; 4] = [Reason::Start, Reason::Migrate, Reason::Restore, Reason::Refresh];
}

impl fmt::Display for Reason {
    /// The word for it that is on the disc.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// What sets one disc apart from another with the same content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edition {
    /// Its number.
    pub generation: Generation,
    /// What it was made for.
    pub reason: Reason,
}

/// For whom, where, why and how a disc is made.
#[derive(Debug, Clone, Copy)]
pub struct Occasion<'a> {
    /// The VM's name.
    pub name: &'a str,
    /// The VM's UUID.
    pub uuid: &'a Uuid,
    /// This host's name, or what guests may know of it.
    pub host: Option<&'a str>,
    /// Number and reason.
    pub edition: Edition,
    /// What readers the disc is for.
    pub format: Format,
    /// Who signs it, if it is signed.
    pub signer: Option<&'a str>,
    /// The MACs of its interfaces that are on another network since it came.
    pub new_networks: &'a [String],
}

#[derive(Serialize)]
struct Marker<'a> {
    schema: u32,
    generation: Generation,
    reason: Reason,
    built_at: Moment,
    domain_uuid: &'a Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<&'a str>,
    /// Before the facts, which can say anything: a shell in a guest finds it without a reader of JSON.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    new_networks: &'a [String],
    facts: &'a Facts,
}

/// The bytes of `/recontext.json`: one line of JSON.
pub(crate) fn marker(occasion: &Occasion, facts: &Facts) -> Result<Vec<u8>> {
    let &Occasion { uuid, host, edition, signer, new_networks, .. } = occasion;
    let marker = Marker {
        schema: 1,
        generation: edition.generation,
        reason: edition.reason,
        built_at: edition.generation.moment(),
        domain_uuid: uuid,
        host_id: host,
        signer,
        new_networks,
        facts,
    };
    let mut bytes = serde_json::to_vec(&marker).context("writing /recontext.json")?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_grows_even_when_the_clock_is_set_back() {
        let first = Generation::next(None, Moment(500));
        assert_eq!(first, Generation(500));
        assert_eq!(Generation::next(Some(first), Moment(700)), Generation(700));
        assert_eq!(Generation::next(Some(first), Moment(500)), Generation(501));
        assert_eq!(Generation::next(Some(first), Moment(3)), Generation(501));
    }

    #[test]
    fn new_networks_stand_before_the_facts_and_only_where_there_are_any() {
        let uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f".parse().unwrap();
        let edition = Edition { generation: Generation(1), reason: Reason::Migrate };
        let told = |new_networks| {
            let occasion = Occasion {
                name: "vm",
                uuid: &uuid,
                host: None,
                edition,
                format: Format::Files,
                signer: None,
                new_networks,
            };
            String::from_utf8(marker(&occasion, &Facts::new()).unwrap()).unwrap()
        };
        let macs = ["52:54:00:aa:bb:cc".to_owned()];
        let list = "\"new_networks\":[\"52:54:00:aa:bb:cc\"],";
        let with = told(&macs);
        assert!(with.ends_with(&format!("{list}\"facts\":{{}}}}\n")), "{with}");
        assert_eq!(told(&[]), with.replace(list, ""));
    }
}
