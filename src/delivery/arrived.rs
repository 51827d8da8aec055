//! What this host's rules have left to do for a VM that has come and is here: its definition, which never passed the hook, and
//! the links of its interfaces on a new network. What cannot be done is told, and keeps no disc from its VM.

mod definition;
pub mod guard;
mod links;

pub(crate) use self::definition::{Definition, Planned};
use self::guard::Guard;

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Error, Result};

use super::outcome::Outcome;
use crate::context::disc::marker::Reason;
use crate::context::domain::rules::Cause;
use crate::host::config::Config;
use crate::host::log::{Event, Log};
use crate::host::paths::Host;
use crate::host::vm::Vm;
use crate::host::vm::image::Identity;
use crate::host::vm::job::Job;
use crate::host::vm::state::{RulesNote, State};
use crate::libvirt::domain::{Handle, Situation};
use crate::libvirt::trouble::Trouble;

/// A VM that is here and for which something is left to do.
pub(super) struct Here<'a> {
    host: &'a Host,
    handle: &'a Handle<'a>,
    job: &'a Job,
    note: RulesNote,
}

impl<'a> Here<'a> {
    /// The VM, if anything is left.
    ///
    /// # Errors
    /// When what is known of it cannot be read.
    pub(super) fn find(host: &'a Host, handle: &'a Handle, job: &'a Job) -> Result<Option<Here<'a>>> {
        let known = State::known(host, &job.uuid)?.and_then(|state| state.rules).filter(RulesNote::is_due);
        Ok(known.map(|note| Here { host, handle, job, note }))
    }

    /// Puts the links up that a helper which has ended meanwhile has taken down.
    ///
    /// # Errors
    /// What has to be tried again.
    pub(super) fn put_up(&mut self) -> Result<(), Outcome> {
        if self.note.links_down.is_empty() {
            return Ok(());
        }
        let were_down = links::put_up(self.handle, &self.note.links_down)?;
        self.now(self.note.clone().with_links_up(&were_down))?;
        if !were_down.is_empty() {
            let line = format!("the link of {} is up again", were_down.join(", "));
            self.log().info(format_args!("{}: {}: {line}", self.job.name, self.job.reason));
        }
        Ok(())
    }

    /// Does what is left for a VM in this `situation`; behind the disc, which none of it is to hold up.
    ///
    /// # Errors
    /// What has to be tried again.
    pub(super) fn settle(&mut self, situation: Situation) -> Result<(), Outcome> {
        let defined = self.define();
        // Nobody at a guest that stands still would see its link go down and up.
        if situation == Situation::Paused && !self.note.links_due.is_empty() {
            return Err(Outcome::StandsStill("its links go down and up when it runs again".to_owned()));
        }
        self.flap()?;
        defined
    }

    /// Changes the definition as the VM was changed.
    fn define(&mut self) -> Result<(), Outcome> {
        if !self.note.definition_due {
            return Ok(());
        }
        let config = Config::load(self.host).map_err(Outcome::hosts_fault)?;
        // A fault in what changes it must not keep the disc from the VM.
        let defined = catch_unwind(AssertUnwindSafe(|| self.defined(&config)));
        let done = defined.unwrap_or_else(|_| Err(Error::msg("a fault in virt-recontext; please report it")));
        let trouble = match done {
            Ok(changed) => {
                if let Some(told) = changed {
                    self.log().info(format_args!("{}: {}: its definition too: {told}", self.job.name, self.job.reason));
                }
                String::new()
            }
            Err(error) => match error.downcast::<Trouble>() {
                Ok(trouble @ (Trouble::Gone | Trouble::Lost | Trouble::Busy(_))) => return Err(trouble.into()),
                Ok(trouble) => trouble.to_string(),
                Err(error) => format!("{error:#}"),
            },
        };
        let definition_trouble = if trouble.is_empty() {
            trouble
        } else {
            let trouble = format!("its definition has not been changed like that: {trouble}");
            let Job { name, reason, .. } = self.job;
            self.log()
                .event(Event::RulesUnfinished)
                .error(format_args!("{name}: {reason}: {trouble}; once that is mended: virt-recontext rewrite {name}"));
            trouble
        };
        self.now(RulesNote { definition_due: false, definition_trouble, ..self.note.clone() })
    }

    /// What was changed, if anything.
    fn defined(&self, config: &Config) -> Result<Option<String>> {
        let before = self.note.defined_before;
        let is_as_before = before.is_some() && before == Identity::of_definition(self.host, &self.handle.name()?);
        if is_as_before || !self.handle.is_persistent()? {
            return Ok(None);
        }
        let live = self.handle.migratable_xml()?;
        let cause = if self.job.reason == Reason::Restore { Cause::Restored } else { Cause::Arrived };
        let definition = Definition { host: self.host, config, handle: self.handle, live: Some(&live), cause };
        definition.rewrite()
    }

    /// Takes the links down and up of which that is due.
    fn flap(&mut self) -> Result<(), Outcome> {
        if self.note.links_due.is_empty() {
            return Ok(());
        }
        let xml = self.handle.migratable_xml()?;
        let down = links::of_those(&xml, &self.note.links_due).map_err(Outcome::hopeless)?;
        let mut links_trouble = String::new();
        if !down.is_empty() {
            let guard = Guard::begin().map_err(Outcome::hosts_fault)?;
            let macs: Vec<String> = down.iter().map(|interface| interface.mac.clone()).collect();
            // Who stands by goes on if this does not come to its end.
            self.now(RulesNote { links_down: macs, ..self.note.clone() })?;
            let (seen, fault) = links::flap(self.handle, &down)?;
            guard.end();
            if !seen.is_empty() {
                let line = format!("the link of {} went down and up, for its new network", seen.join(", "));
                self.log().info(format_args!("{}: {}: {line}", self.job.name, self.job.reason));
            }
            if let Some(fault) = fault {
                links_trouble = fault;
                let line = format_args!("{}: {}: {links_trouble}", self.job.name, self.job.reason);
                self.log().event(Event::RulesUnfinished).error(line);
            }
        }
        self.now(RulesNote { links_down: Vec::new(), links_due: Vec::new(), links_trouble, ..self.note.clone() })
    }

    /// Writes down what is to be known from now on; unless the VM has come anew meanwhile, which begins from the beginning.
    fn now(&mut self, note: RulesNote) -> Result<(), Outcome> {
        let written = || -> Result<bool> {
            let vm = Vm::hold(self.host, &self.job.uuid)?;
            let is_same =
                State::known(self.host, &self.job.uuid)?.and_then(|state| state.rules).as_ref() == Some(&self.note);
            if is_same {
                vm.rules_are(&note)?;
            } else {
                vm.give_back()?;
            }
            Ok(is_same)
        };
        if !written().map_err(Outcome::hosts_fault)? {
            return Err(Outcome::NotYet);
        }
        self.note = note;
        Ok(())
    }

    fn log(&self) -> Log {
        Log::of(self.host, self.job.subject())
    }
}
