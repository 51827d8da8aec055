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
use crate::context::domain::rules::{Fault, Look, Rewritten, Site};
use crate::host::config::Config;
use crate::host::paths::Host;
use crate::host::rules as of_host;

/// So long is looked for files of the new values: a server that is gone is a failed look, and no more.
const LOOK: Duration = Duration::from_secs(1);

/// What the rules came to.
pub(super) enum Adapted {
    /// None fits, or there is none.
    AsItCame,
    Rewritten(Rewritten),
    /// No rule was applied, and the VM goes on as it came.
    Dropped(Error),
    Refused(Error),
}

/// Why rules are asked, if they are in this operation.
pub(super) fn occasion(operation: Operation) -> Option<Reason> {
    match operation {
        Operation::Migrate => Some(Reason::Migrate),
        Operation::Restore => Some(Reason::Restore),
        _ => None,
    }
}

/// Applies the rules to the VM. `to_parent` is told before that if it is to be refused should this break off.
pub(super) fn adapt(host: &Host, config: &Config, reason: Reason, domain: &Domain, to_parent: &mut File) -> Adapted {
    if domain.machine.driver() != Driver::Qemu {
        return Adapted::AsItCame;
    }
    let files = match of_host::read(host, domain) {
        Ok(files) => files,
        Err(error) => return Adapted::Dropped(error),
    };
    let mut here = Here { host, config, domain, to_parent, is_required: false };
    let applied = of_host::apply(host, config, (domain, reason), &files, &mut here);
    let is_required = here.is_required;
    match applied {
        Err(Fault::Dropped(error)) => Adapted::Dropped(error),
        Err(Fault::Refused(error)) => Adapted::Refused(error),
        Ok(rewritten) => {
            // The disc, whatever becomes of it, has no part in this.
            let _parent_gone = rewritten.as_ref().map(|rewritten| reply::so_far(to_parent, &rewritten.xml));
            if is_required {
                let _parent_gone = reply::wish(to_parent, Wish::of(config.on_error));
            }
            rewritten.map_or(Adapted::AsItCame, Adapted::Rewritten)
        }
    }
}

struct Here<'a> {
    host: &'a Host,
    config: &'a Config,
    domain: &'a Domain<'a>,
    to_parent: &'a mut File,
    /// Whether the parent was told that the rules have to be applied.
    is_required: bool,
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
        self.is_required = reply::wish(self.to_parent, Wish::RefuseForRules).is_ok();
    }
}
