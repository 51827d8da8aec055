//! The persistent definition of a VM that has come: libvirt takes it as it was at the source, and shows it to no hook. Changed by
//! the rules by which the VM was changed, it can be started here too.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Error, Result, bail, ensure};

use crate::context::disc::facts::Facts;
use crate::context::disc::marker::Reason;
use crate::context::domain::Domain;
use crate::context::domain::rules::{Cause, Fault, Look, Rewritten, Site, To, is_same, told};
use crate::host::config::Config;
use crate::host::paths::Host;
use crate::host::rules::{self, Looking, context_drives};
use crate::libvirt::domain::Handle;

/// So long is looked for files of the new values.
const LOOK: Duration = Duration::from_secs(1);

/// Somebody else may be changing it as well.
const TRIES: u32 = 3;

/// A definition that is to be changed.
pub(crate) struct Definition<'a> {
    pub host: &'a Host,
    pub config: &'a Config,
    pub handle: &'a Handle<'a>,
    /// The XML of the VM, if it runs.
    pub live: Option<&'a str>,
    pub cause: Cause,
}

/// How it would be changed.
pub(crate) struct Planned {
    /// With what is secret in it.
    pub before: String,
    pub rewritten: Rewritten,
}

impl Definition<'_> {
    /// `None` where the rules change nothing.
    ///
    /// # Errors
    /// When a rule that fits cannot be applied, or libvirt gives no definition.
    pub(crate) fn plan(&self) -> Result<Option<Planned>> {
        let before = self.handle.definition_with_secrets()?;
        let domain = Domain::read(&before)?;
        let runs_with_it =
            || -> Result<bool> { Ok(self.live.map(Domain::read).transpose()?.is_some_and(|live| live.takes_part())) };
        let takes_part = domain.takes_part() || runs_with_it()?;
        let files = rules::read_for(self.host, &domain, takes_part)?;
        let to = To::Definition { live: self.live, cause: self.cause };
        let reason = if self.cause == Cause::Restored { Reason::Restore } else { Reason::Migrate };
        let mut site = InTime(Looking { host: self.host, config: self.config, domain: &domain });
        let applied = rules::apply(self.host, self.config, (&domain, reason, to), &files, &mut site);
        let rewritten = applied.map_err(|(Fault::Dropped(error) | Fault::Refused(error))| error)?;
        Ok(rewritten.filter(|rewritten| !rewritten.changes.is_empty()).map(|rewritten| Planned { before, rewritten }))
    }

    /// Changes it, and sees that nothing else has changed; gives what was changed.
    ///
    /// # Errors
    /// As of [`Definition::plan`]; when libvirt does not take it; when it is not as meant afterwards.
    pub(crate) fn rewrite(&self) -> Result<Option<String>> {
        for _ in 0..TRIES {
            let Some(Planned { before, rewritten }) = self.plan()? else { return Ok(None) };
            // libvirt knows no "change it if it is still this", so the time between is made as short as can be.
            if self.handle.definition_with_secrets()? != before {
                continue;
            }
            self.handle.define(&rewritten.xml)?;
            let after = self.handle.definition_with_secrets()?;
            let drives = context_drives(&Domain::read(&after)?);
            ensure!(
                after == rewritten.xml || is_same(&rewritten.xml, &after, &drives)?,
                "libvirt has made something else of it, or somebody has changed it at the same time; look at it with \"virsh \
                 dumpxml --inactive\""
            );
            return Ok(Some(told(&rewritten.changes)));
        }
        bail!("something else is changing it all the time")
    }
}

/// Looks no longer than it may: a file system that does not answer is a failed look.
struct InTime<'a>(Looking<'a>);

impl Site for InTime<'_> {
    fn facts(&mut self) -> Result<Facts> {
        self.0.facts()
    }

    fn check(&mut self, looks: &[Look]) -> Result<()> {
        if looks.is_empty() {
            return Ok(());
        }
        let (to_us, answer) = channel();
        let (host, looked_for) = (self.0.host.clone(), looks.to_vec());
        thread::spawn(move || {
            let _waited_no_longer = to_us.send(rules::first_missing(&host, &looked_for));
        });
        let missing = answer.recv_timeout(LOOK).map_err(Error::from);
        rules::check_there(looks, missing.context("looking whether what the new values name is on this host")?)
    }

    fn is_required(&mut self) {}
}
