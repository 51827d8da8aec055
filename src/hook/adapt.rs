//! This host's rules, applied to the XML of a VM that comes, before anything is done about its disc: neither depends on how
//! the other comes out.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result};

use super::operation::Operation;
use super::reply::{self, Wish};
use super::supervise;
use crate::context::disc::facts::Facts;
use crate::context::disc::marker::Reason;
use crate::context::domain::Domain;
use crate::context::domain::driver::Driver;
use crate::context::domain::request::NAMESPACE;
use crate::context::domain::rules::{Fault, Look, Moved, Rewritten, Site, To, told};
use crate::host::config::Config;
use crate::host::paths::Host;
use crate::host::rules as of_host;
use crate::host::vm::state::RulesNote;

/// So long is looked for files of the new values: a server that is gone is a failed look, and no more.
const LOOK: Duration = Duration::from_secs(1);

/// So long rules may take: what is left is the disc's.
const RULES: Duration = Duration::from_secs(4);

/// What the rules came to.
pub(super) enum Adapted {
    /// None fits, or there is none.
    AsItCame,
    Applied {
        /// The VM's XML, if they changed it.
        xml: Option<String>,
        /// What they did, and what is to be done once the VM is here.
        note: Box<RulesNote>,
    },
    /// No rule was applied, and the VM goes on as it came.
    Dropped(Error),
    Refused(Error),
}

impl Adapted {
    /// What is written down of it.
    pub(super) fn note(&self) -> Option<RulesNote> {
        match self {
            Adapted::AsItCame | Adapted::Refused(_) => None,
            Adapted::Applied { note, .. } => Some(RulesNote::clone(note)),
            Adapted::Dropped(error) => Some(RulesNote { fault: format!("{error:#}"), ..RulesNote::default() }),
        }
    }
}

/// Why rules are asked, if they are in this operation.
pub(super) fn occasion(operation: Operation) -> Option<Reason> {
    match operation {
        Operation::Migrate => Some(Reason::Migrate),
        Operation::Restore => Some(Reason::Restore),
        _ => None,
    }
}

/// Applies the rules to the VM, in a process of their own: what becomes of that harms no disc. `to_parent` is told before that if
/// the VM is to be refused should this break off.
pub(super) fn adapt(host: &Host, config: &Config, reason: Reason, xml: &str, to_parent: &mut File) -> Adapted {
    let apply = |out: &mut File| {
        let domain = Domain::read_for_rules(xml).ok().filter(|domain| domain.machine.driver() == Driver::Qemu);
        // Of one that cannot be read, what serves its disc will tell.
        let applied = domain.as_ref().map(|domain| apply(host, config, (domain, reason), (to_parent, out)));
        let _parent_gone = out.write_all(&encode(&applied.unwrap_or(Adapted::AsItCame)));
    };
    let said = supervise::run(Instant::now() + RULES, |said| parts(said).is_some(), apply);
    let (said, how) = said.map_or_else(|broke| (broke.said, broke.how), |said| (said, String::new()));
    let is_required = said.first() == Some(&REQUIRED);
    let adapted = decode(&said).unwrap_or_else(|| {
        let error = Error::msg(how).context("applying the rules of rewrite.d");
        if is_required { Adapted::Refused(error) } else { Adapted::Dropped(error) }
    });
    if let Adapted::Applied { xml: Some(xml), .. } = &adapted {
        let _parent_gone = reply::so_far(to_parent, xml);
    }
    if is_required && !matches!(adapted, Adapted::Refused(_)) {
        // The disc, whatever becomes of it, has no part in this.
        let wish = if xml.contains(NAMESPACE) { Wish::of(config.on_error) } else { Wish::GoOn };
        let _parent_gone = reply::wish(to_parent, wish);
    }
    adapted
}

fn apply(
    host: &Host,
    config: &Config,
    (domain, reason): (&Domain, Reason),
    (to_parent, out): (&mut File, &mut File),
) -> Adapted {
    let files = match of_host::read(host, domain) {
        Ok(files) => files,
        Err(error) => return Adapted::Dropped(error),
    };
    let mut here = Here { host, config, domain, to_parent, out };
    match of_host::apply(host, config, (domain, reason, To::coming(reason)), &files, &mut here) {
        Err(Fault::Dropped(error)) => Adapted::Dropped(error),
        Err(Fault::Refused(error)) => Adapted::Refused(error),
        Ok(None) => Adapted::AsItCame,
        Ok(Some(Rewritten { xml, changes, moved })) => {
            let macs = |which: fn(&Moved) -> bool| -> Vec<String> {
                moved.iter().filter(|moved| which(moved)).map(|moved| moved.mac.clone()).collect()
            };
            let note = RulesNote {
                changed: told(&changes),
                new_networks: macs(|_| true),
                links_due: macs(|moved| moved.by_link),
                definition_due: changes.iter().any(|change| change.persist),
                ..RulesNote::default()
            };
            Adapted::Applied { xml: Some(xml).filter(|_| !changes.is_empty()), note: Box::new(note) }
        }
    }
}

// What the process of the rules writes: perhaps REQUIRED, and then one of the others with two texts.
const REQUIRED: u8 = b'#';
const AS_IT_CAME: u8 = b'0';
const APPLIED: u8 = b'<';
const DROPPED: u8 = b'.';
const REFUSED: u8 = b'R';

fn encode(adapted: &Adapted) -> Vec<u8> {
    let (kind, one, other) = match adapted {
        Adapted::AsItCame => (AS_IT_CAME, String::new(), ""),
        // What cannot be read again is no reply.
        Adapted::Applied { xml, note } => {
            (APPLIED, serde_json::to_string(note).unwrap_or_default(), xml.as_deref().unwrap_or_default())
        }
        Adapted::Dropped(error) => (DROPPED, format!("{error:#}"), ""),
        Adapted::Refused(error) => (REFUSED, format!("{error:#}"), ""),
    };
    let len = |text: &str| (text.len() as u64).to_le_bytes();
    [&[kind], len(&one).as_slice(), one.as_bytes(), &len(other), other.as_bytes()].concat()
}

fn decode(said: &[u8]) -> Option<Adapted> {
    let (kind, one, other) = parts(said)?;
    let (one, other) = (std::str::from_utf8(one).ok()?, std::str::from_utf8(other).ok()?);
    match kind {
        AS_IT_CAME => Some(Adapted::AsItCame),
        APPLIED => {
            let xml = Some(other.to_owned()).filter(|xml| !xml.is_empty());
            Some(Adapted::Applied { xml, note: serde_json::from_str(one).ok()? })
        }
        DROPPED => Some(Adapted::Dropped(Error::msg(one.to_owned()))),
        REFUSED => Some(Adapted::Refused(Error::msg(one.to_owned()))),
        _ => None,
    }
}

/// The kind and the two texts; `None` as long as that is not whole.
fn parts(said: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let said = said.strip_prefix(&[REQUIRED]).unwrap_or(said);
    let (kind, rest) = said.split_first()?;
    let (one, rest) = text(rest)?;
    let (other, _) = text(rest)?;
    Some((*kind, one, other))
}

fn text(said: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = said.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)
}

struct Here<'a> {
    host: &'a Host,
    config: &'a Config,
    domain: &'a Domain<'a>,
    to_parent: &'a mut File,
    out: &'a mut File,
}

impl Site for Here<'_> {
    fn facts(&mut self) -> Result<Facts> {
        of_host::facts(self.host, self.config, self.domain)
    }

    fn check(&mut self, looks: &[Look]) -> Result<()> {
        if looks.is_empty() {
            return Ok(());
        }
        let look = |out: &mut File| {
            let missing = of_host::first_missing(self.host, looks).and_then(|missing| u32::try_from(missing).ok());
            let _parent_gone = out.write_all(&missing.unwrap_or(u32::MAX).to_le_bytes());
        };
        let is_whole = |said: &[u8]| said.len() == 4;
        let said = supervise::run(Instant::now() + LOOK, is_whole, look).map_err(|broke| Error::msg(broke.how));
        let said = said.context("looking whether what the new values name is on this host")?;
        let missing = said.try_into().map(u32::from_le_bytes).unwrap_or_default();
        of_host::check_there(looks, usize::try_from(missing).ok().filter(|_| missing != u32::MAX))
    }

    fn is_required(&mut self) {
        let _parent_gone = reply::wish(self.to_parent, Wish::RefuseForRules);
        let _parent_gone = self.out.write_all(&[REQUIRED]);
    }
}
