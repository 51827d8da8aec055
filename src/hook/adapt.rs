//! This host's rules, applied to the XML of a VM that comes, before anything is done about its disc: neither depends on how
//! the other comes out.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result};

use super::operation::Operation;
use super::reply::{self, Wish};
use super::supervise::{self, Broke, Stage};
use crate::context::disc::facts::Facts;
use crate::context::disc::marker::Reason;
use crate::context::domain::driver::Driver;
use crate::context::domain::request::NAMESPACE;
use crate::context::domain::rules::{Fault, Look, Moved, Rewritten, Site, To, told};
use crate::context::domain::{Domain, WithoutXml};
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

/// Does the work of a call for whose VM there may be rules. They are applied by the process that then does the rest, and if
/// they break that, another does the rest without them: what becomes of them harms no disc. `work` is given what the rules
/// have come to, if that is known.
///
/// Gives what was said of it, and what is wished should that be nothing.
pub(super) fn run(end: Instant, work: impl Fn(Option<Adapted>, &mut File)) -> (Result<Vec<u8>, Broke>, Wish) {
    let rules = Stage { end: end.min(Instant::now() + RULES), is_whole: reply::has_rules };
    let all = || Stage { end, is_whole: reply::is_whole };
    let broke = match supervise::run(&[rules, all()], |out| work(None, out)) {
        Err(broke) if !reply::has_rules(&broke.said) && Instant::now() < end => broke,
        said => return (said, Wish::GoOn),
    };
    let wish = reply::wished(&broke.said);
    let again = |out: &mut File| {
        let error = Error::msg(broke.how).context("applying the rules of rewrite.d");
        let is_required = wish == Wish::RefuseForRules;
        work(Some(if is_required { Adapted::Refused(error) } else { Adapted::Dropped(error) }), out);
    };
    (supervise::run(&[all()], again), wish)
}

/// Applies the rules to the VM, and tells the parent what counts should what follows break off: nothing is written before.
/// Gives as well what was read for that of the XML that it goes on with.
pub(super) fn adapt(
    host: &Host,
    config: &Config,
    reason: Reason,
    xml: &str,
    to_parent: &mut File,
) -> (Adapted, Option<WithoutXml>) {
    let domain = Domain::read_for_rules(xml).ok().filter(|domain| domain.machine.driver() == Driver::Qemu);
    let mut is_required = false;
    let (adapted, changed) = match &domain {
        Some(domain) => apply(&mut Here { host, config, domain, to_parent, is_required: &mut is_required }, reason),
        // Of one that cannot be read, what serves its disc will tell.
        None => (Adapted::AsItCame, None),
    };
    let domain = changed.or_else(|| domain.map(Domain::without_xml));
    if let Adapted::Refused(_) = adapted {
        // The whole reply follows.
        return (adapted, domain);
    }
    // At once: each time that the parent is woken costs both of us time.
    let mut told = Vec::new();
    if let Adapted::Applied { xml: Some(xml), .. } = &adapted {
        let _never_fails = reply::so_far(&mut told, xml);
    }
    if is_required {
        // The disc, whatever becomes of it, has no part in this.
        let wish = if xml.contains(NAMESPACE) { Wish::of(config.on_error) } else { Wish::GoOn };
        let _never_fails = reply::wish(&mut told, wish);
    }
    let _never_fails = reply::rules_done(&mut told);
    let _parent_gone = to_parent.write_all(&told);
    (adapted, domain)
}

/// What the rules come to, and what is read of the XML if they change it.
fn apply(here: &mut Here, reason: Reason) -> (Adapted, Option<WithoutXml>) {
    let Here { host, config, domain, .. } = *here;
    let files = match of_host::read(host, domain) {
        Ok(files) => files,
        Err(error) => return (Adapted::Dropped(error), None),
    };
    match of_host::apply(host, config, (domain, reason, To::coming(reason)), &files, here) {
        Err(Fault::Dropped(error)) => (Adapted::Dropped(error), None),
        Err(Fault::Refused(error)) => (Adapted::Refused(error), None),
        Ok(None) => (Adapted::AsItCame, None),
        Ok(Some(Rewritten { xml, domain, changes, moved })) => {
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
            (Adapted::Applied { xml: Some(xml).filter(|_| !changes.is_empty()), note: Box::new(note) }, domain)
        }
    }
}

struct Here<'a> {
    host: &'a Host,
    config: &'a Config,
    domain: &'a Domain<'a>,
    to_parent: &'a mut File,
    is_required: &'a mut bool,
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
        let stage = Stage { end: Instant::now() + LOOK, is_whole: |said| said.len() == 4 };
        let said = supervise::run(&[stage], look).map_err(|broke| Error::msg(broke.how));
        let said = said.context("looking whether what the new values name is on this host")?;
        let missing = said.try_into().map(u32::from_le_bytes).unwrap_or_default();
        of_host::check_there(looks, usize::try_from(missing).ok().filter(|_| missing != u32::MAX))
    }

    fn is_required(&mut self) {
        let _parent_gone = reply::wish(self.to_parent, Wish::RefuseForRules);
        *self.is_required = true;
    }
}
