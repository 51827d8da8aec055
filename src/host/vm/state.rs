//! What became of a VM's disc on this host: written by the hook and the helper, shown by `status`. It changes by the steps
//! that are named here, and in no other way.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::image::{Disc, Identity};
use super::record;
use crate::context::disc::marker::{Edition, Generation, Reason};
use crate::context::domain::driver::Driver;
use crate::context::uuid::Uuid;
use crate::host::clock;
use crate::host::paths::Host;
use crate::host::receipt::Count;

/// Longest message, in characters: some quote what is faulty, and that may be as large as a VM's XML.
const MAX_MESSAGE: usize = 2_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Progress {
    /// The newest disc is in the drive and the guest was told, or found it there at its start.
    Delivered,
    /// The newest disc waits: for the VM to arrive, or for the guest to let go of the old one.
    Waiting,
    /// There is no new disc, or it cannot be put in; the message says why.
    Failed,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    pub uuid: Uuid,
    /// The VM's name at that time.
    pub(crate) name: String,
    /// The driver that runs the VM; not written for QEMU's.
    #[serde(default, skip_serializing_if = "Driver::is_qemu")]
    pub(crate) driver: Driver,
    pub(crate) progress: Progress,
    /// Whether it waits for the VM's next start, restore or arrival, so that nothing can be done before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) until_next_start: bool,
    /// Whether the VM has ended here and its disc is left, for a snapshot or a saved state that may name it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) left: bool,
    /// The disk that was taken from the running VM and is to be given back, if one is away just now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) detached: Option<String>,
    /// libvirt's number of the run in which the guest was last told of a disc by a media change, if it was in this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) told_in: Option<u32>,
    /// Whether the newest disc has a trail; those of versions up to 0.2.0 have none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) trail: bool,
    /// What had been read from the drive when that disc was put in, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) counted: Option<Count>,
    /// What the rules of this host did to the VM's XML when it came, if any fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rules: Option<RulesNote>,
    /// Since when, in hundredths of a second since 1970.
    pub(crate) since: u64,
    /// What the last attempt was for.
    pub(crate) reason: Reason,
    /// What there is to say, above all why it waits or failed.
    pub(crate) message: String,
    /// How long the parts of the delivery took, if it was one; nothing for the hook to keep.
    #[cfg(feature = "libvirt")]
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) took: String,
    /// The newest disc that was made, if any.
    pub edition: Option<Edition>,
    /// Its image, as the VM's XML names it.
    pub(crate) image: Option<PathBuf>,
    /// Its signature, where `sign_command` made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signature: Option<String>,
    /// The very file that was made, so that nobody else's is removed.
    pub(super) identity: Option<Identity>,
}

/// The newest disc of a VM.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Newest {
    pub edition: Edition,
    /// Where it lies, as the VM's XML names it.
    pub path: PathBuf,
    /// Its signature, where `sign_command` made it.
    pub signature: Option<String>,
}

/// What rules did to a VM's XML.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RulesNote {
    /// What they changed; empty if nothing.
    pub changed: String,
    /// Why none was applied; empty if they were.
    pub fault: String,
    /// Whether the VM takes part in nothing else.
    #[serde(default)]
    pub alone: bool,
    /// The MACs of its interfaces that are on another network since it came, which its disc tells until it next starts or comes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub new_networks: Vec<String>,
    /// Those of them whose link is still to go down and up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links_due: Vec<String>,
    /// Those whose link we have taken down, and not yet up again as far as is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links_down: Vec<String>,
    /// Whether its definition is still to be changed as it was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub definition_due: bool,
    /// The definition that was here before it came, which is none that it has brought along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defined_before: Option<Identity>,
    /// Why its definition could not be changed as it was; empty if it was, or nobody has tried.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub definition_trouble: String,
    /// The same of links that were to go down and up.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub links_trouble: String,
}

impl RulesNote {
    /// What they have done.
    pub(crate) fn done(&self) -> String {
        let moved = || format!("on a new network: {}", self.new_networks.join(", "));
        let moved = (!self.new_networks.is_empty()).then(moved);
        [Some(self.changed.clone()).filter(|changed| !changed.is_empty()), moved]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// The same of a VM that was saved before all was done that is `known` to be due.
    fn beside(self, known: RulesNote) -> RulesNote {
        let (mut new_networks, mut links_due) = (self.new_networks.clone(), self.links_due.clone());
        let is_new = |macs: &[String], mac: &String| !macs.contains(mac);
        new_networks.extend(known.new_networks.into_iter().filter(|mac| is_new(&self.new_networks, mac)));
        links_due.extend(known.links_due.into_iter().filter(|mac| is_new(&self.links_due, mac)));
        let changed = if self.changed.is_empty() { known.changed } else { self.changed };
        let (links_down, definition_due) = (known.links_down, self.definition_due || known.definition_due);
        let defined_before = if known.definition_due { known.defined_before } else { self.defined_before };
        RulesNote { changed, new_networks, links_due, links_down, definition_due, defined_before, ..self }
    }

    /// The same when no link is down any more, and `were_down` is what of them was. Of one that has not been down yet the guest has
    /// seen nothing.
    pub(crate) fn with_links_up(mut self, were_down: &[String]) -> RulesNote {
        self.links_due.retain(|mac| !were_down.contains(mac));
        RulesNote { links_down: Vec::new(), ..self }
    }

    /// Whether something of what rules were to do could not be done.
    #[cfg(feature = "libvirt")]
    pub(crate) fn has_fault(&self) -> bool {
        [&self.fault, &self.definition_trouble, &self.links_trouble].iter().any(|text| !text.is_empty())
    }

    /// Whether there is something to do for rules once the VM is here.
    pub(crate) fn is_due(&self) -> bool {
        self.definition_due || !self.links_due.is_empty() || !self.links_down.is_empty()
    }
}

/// Of whom and for what a step is told.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    name: &'a str,
    driver: Driver,
    reason: Reason,
    seen: Seen,
    rules: Rules<'a>,
}

/// What is to be known of what rules did to a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules<'a> {
    /// What was known.
    AsBefore,
    /// This, or nothing.
    Are(Option<&'a RulesNote>),
}

/// Where the name comes from, and what it means for what was known before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// From the XML of a VM that comes: nothing is taken out of it.
    Coming,
    /// From the XML of a VM that runs here.
    Running,
    /// From a job, whose name may be an old one.
    No,
}

impl<'a> About<'a> {
    pub fn coming(name: &'a str, driver: Driver, reason: Reason) -> About<'a> {
        About { name, driver, reason, seen: Seen::Coming, rules: Rules::Are(None) }
    }

    /// The same of a VM whose XML rules have changed, or were to.
    pub(crate) fn with_rules(self, rules: Option<&'a RulesNote>) -> About<'a> {
        About { rules: Rules::Are(rules), ..self }
    }

    /// The same of a VM that is on its way, of which what rules did is written already.
    pub(crate) fn with_rules_as_before(self) -> About<'a> {
        About { rules: Rules::AsBefore, ..self }
    }

    pub(crate) fn running(name: &'a str, driver: Driver, reason: Reason) -> About<'a> {
        About { name, driver, reason, seen: Seen::Running, rules: Rules::AsBefore }
    }

    /// A VM of which there is only a job.
    pub(super) fn unseen(name: &'a str, driver: Driver, reason: Reason) -> About<'a> {
        About { name, driver, reason, seen: Seen::No, rules: Rules::AsBefore }
    }
}

/// The edition of a disc that is made now for `reason`, after the one that `last` knows.
pub(crate) fn next_edition(last: Option<&State>, reason: Reason) -> Edition {
    let last = last.and_then(|state| state.edition).map(|edition| edition.generation);
    Edition { generation: Generation::next(last, clock::now()), reason }
}

/// What there is to say of a delivery, with how long its parts took.
#[cfg(feature = "libvirt")]
pub(crate) fn with_times(message: &str, took: &str) -> String {
    if took.is_empty() { message.to_owned() } else { format!("{message}; {took}") }
}

impl State {
    /// The VM's state; `None` when it has ended here, there is none, or its file is damaged (the next disc writes it anew).
    pub fn of(host: &Host, uuid: &Uuid) -> Result<Option<State>> {
        Ok(State::known(host, uuid)?.filter(|state| !state.left))
    }

    /// The same, also of a VM that has ended here.
    pub fn known(host: &Host, uuid: &Uuid) -> Result<Option<State>> {
        Ok(record::read(&host.state_file(uuid))?.and_then(Result::ok).filter(|state: &State| state.uuid == *uuid))
    }

    /// The states of all VMs that have not ended here, by name.
    pub fn all(host: &Host) -> Result<Vec<State>> {
        Ok(State::all_known(host)?.into_iter().filter(|state| !state.left).collect())
    }

    /// The same, also of VMs that have ended here.
    pub(crate) fn all_known(host: &Host) -> Result<Vec<State>> {
        let known = record::listed(&host.state_dir())?.into_iter().map(|uuid| State::known(host, &uuid));
        let mut states: Vec<State> = known.filter_map(Result::transpose).collect::<Result<_>>()?;
        states.sort_unstable_by(|a, b| (&a.name, &a.uuid).cmp(&(&b.name, &b.uuid)));
        Ok(states)
    }

    /// The newest disc of a VM that has not ended here, if it lies at `path`.
    pub(crate) fn disc_at(&self, path: &Path) -> Option<Newest> {
        let is_there = !self.left && self.image.as_deref() == Some(path);
        let (path, signature) = (path.to_owned(), self.signature.clone());
        self.edition.filter(|_| is_there).map(|edition| Newest { edition, path, signature })
    }

    /// The interfaces of which the VM's disc tells that they are on another network.
    pub(crate) fn new_networks(self) -> Vec<String> {
        self.rules.map(|note| note.new_networks).unwrap_or_default()
    }

    /// Whether it is of a VM that rules have changed, or were to, and that has no disc.
    pub(crate) fn is_of_rules_alone(&self) -> bool {
        self.rules.as_ref().is_some_and(|note| note.alone)
    }

    /// How long ago it was written, in seconds; 0 when the clock was set back.
    pub fn age(&self) -> u64 {
        clock::seconds_since(self.since)
    }

    /// Whether the guest, which goes on from a snapshot in the run of this number, has not been told of its disc since. Before
    /// libvirt 10.5 the hook sees such a run as any other start.
    pub(crate) fn is_untold_since_snapshot(&self, run: u32) -> bool {
        self.told_in != Some(run)
    }

    /// Whether a medium was changed since the VM came.
    pub(crate) fn tells_of_a_media_change(&self) -> bool {
        self.told_in.is_some()
    }

    pub(crate) fn has_trail(&self) -> bool {
        self.trail
    }

    /// What had been read from the drive in the run of this number when the disc came; `None` if that is not known. Where the disc was there from the beginning, that is nothing.
    pub(crate) fn counted_before(&self, run: u32) -> Option<Count> {
        match self.told_in {
            None => Some(Count::default()),
            Some(told_in) => self.counted.filter(|_| told_in == run),
        }
    }

    pub(super) fn new(uuid: &Uuid, about: About) -> State {
        State {
            uuid: uuid.clone(),
            name: about.name.to_owned(),
            driver: about.driver,
            progress: Progress::Waiting,
            until_next_start: false,
            left: false,
            detached: None,
            told_in: None,
            trail: false,
            counted: None,
            rules: None,
            since: 0,
            reason: about.reason,
            message: String::new(),
            #[cfg(feature = "libvirt")]
            took: String::new(),
            edition: None,
            image: None,
            signature: None,
            identity: None,
        }
    }

    /// What is known, with what `about` tells.
    pub(super) fn seen(mut self, about: About) -> State {
        if about.seen != Seen::No {
            about.name.clone_into(&mut self.name);
        }
        if about.seen == Seen::Coming {
            self.detached = None;
            self.told_in = None;
            self.counted = None;
        }
        if let Rules::Are(rules) = about.rules {
            let known = self.rules.take().filter(|known| about.reason == Reason::Restore && known.is_due());
            self.rules = match (rules.cloned(), known) {
                (rules, Some(known)) => Some(rules.unwrap_or_default().beside(known)),
                (rules, None) => rules,
            };
        }
        State { driver: about.driver, reason: about.reason, ..self }
    }

    pub(super) fn now(self, progress: Progress, message: &str) -> State {
        let message = message.chars().take(MAX_MESSAGE).collect();
        State {
            progress,
            message,
            #[cfg(feature = "libvirt")]
            took: String::new(),
            left: false,
            until_next_start: false,
            ..self
        }
    }

    pub(super) fn with(self, disc: Option<&Disc>) -> State {
        match disc {
            None => self,
            Some(disc) => {
                let (edition, signature) = (Some(disc.edition), disc.signature.clone());
                State { edition, signature, trail: true, counted: None, ..self.with_file(disc) }
            }
        }
    }

    /// The file of `disc`, which is no newer disc.
    pub(super) fn with_file(self, disc: &Disc) -> State {
        State { image: Some(disc.path.to_owned()), identity: Some(disc.identity), ..self }
    }
}
