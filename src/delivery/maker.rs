//! Makes a running VM's disc, where its content would not be the same: programs are run, a composer composes, and the VM is
//! held only for the moment in which the new image takes the place of the old.

use std::path::Path;

use anyhow::Result;

use super::outcome::Outcome;
use super::phases::Phases;
use crate::composer::{Answer, Composers, Fault, Order, Signed, Why};
use crate::context::disc::marker::Edition;
use crate::context::domain::Domain;
use crate::context::domain::drive::Drive;
use crate::context::domain::driver::MediaChange;
use crate::host::config::Config;
use crate::host::gather::gather;
use crate::host::host_wide;
use crate::host::paths::Host;
use crate::host::programs::Printed;
use crate::host::programs::run::{Runner, Runs};
use crate::host::signing::command;
use crate::host::vm::Vm;
use crate::host::vm::image::{Kept, New};
use crate::host::vm::job::Job;
use crate::host::vm::results;
use crate::host::vm::state::{About, State, next_edition};

/// Discs that are made in vain because somebody else makes one at the same time, before that is told.
const TRIES: u32 = 5;

#[derive(Clone, Copy)]
pub(crate) struct Maker<'a> {
    pub host: &'a Host,
    pub composers: &'a Composers,
}

/// What bringing a disc up to date came to.
pub(super) struct UpToDate {
    pub rebuilt: bool,
    pub last: Last,
    /// What went wrong with programs, and what is used instead.
    pub warnings: Vec<String>,
}

/// The disc before the newest, with what was known of it, where it may be needed.
type Last = Option<(Kept, State)>;

impl Maker<'_> {
    /// Makes the disc anew if its content is not what it would be now.
    pub(super) fn bring_up_to_date(
        &self,
        config: &Config,
        job: &Job,
        domain: &Domain,
        (drive, path): (&Drive, &str),
        phases: &mut Phases,
    ) -> Result<UpToDate, Outcome> {
        let path = Path::new(path);
        let (mut order, warnings) = self.order(config, job, domain)?;
        phases.end("gather");
        for _ in 0..TRIES {
            let known = State::known(self.host, &domain.uuid).map_err(Outcome::hosts_fault)?;
            let edition = next_edition(known.as_ref(), job.reason);
            let new = New::begin(self.host, path).map_err(Outcome::hosts_fault)?;
            order.newest = known.as_ref().and_then(|state| state.disc_at(path));
            order.new = Some((edition, Some(new.path().to_owned())));
            order.signed = None;
            let mut answer = self.compose(&order)?;
            if let Answer::ToSign(sums) = answer {
                phases.end("build");
                let signature = command::ask(self.host, config, &sums).map_err(Outcome::hosts_fault)?;
                order.signed = Some(Signed { sums, signature });
                phases.end("sign");
                answer = self.compose(&order)?;
            }
            // What the disc is made of has changed meanwhile.
            if matches!(answer, Answer::ToSign(_)) {
                continue;
            }
            if answer == Answer::Same {
                phases.end("compare");
                return Ok(UpToDate { rebuilt: false, last: None, warnings });
            }
            phases.end("build");
            let signature = order.signed.take().map(|signed| signed.signature);
            let published = self.publish(config, job, domain, drive, (known, edition, new, path), signature);
            if let Some(last) = published.map_err(Outcome::hosts_fault)? {
                return Ok(UpToDate { rebuilt: true, last, warnings });
            }
        }
        Err(Outcome::Failed(
            "its disc is made anew all the time, by the hook or by hand, or what it is made of changes".to_owned(),
        ))
    }

    /// Puts a new image into its place; `None` when another disc has been made since the VM's state was `known`, and this one is
    /// of no use. Only now is the VM held, for which the hook may wait.
    fn publish(
        &self,
        config: &Config,
        job: &Job,
        domain: &Domain,
        drive: &Drive,
        (known, edition, new, path): (Option<State>, Edition, New, &Path),
        signature: Option<String>,
    ) -> Result<Option<Last>> {
        let vm = Vm::hold(self.host, &domain.uuid)?;
        let newest = |state: Option<State>| state.and_then(|state| state.edition);
        if newest(State::known(self.host, &domain.uuid)?) != newest(known) {
            return Ok(None);
        }
        let last = match drive.media_change() {
            MediaChange::Update | MediaChange::DetachAndAttach => vm.keep()?,
            MediaChange::EjectAndInsert | MediaChange::Never => None,
        };
        let disc = vm.publish(config, path, edition, new)?.signed(signature);
        let about = About::running(&domain.name, domain.machine.driver(), job.reason);
        vm.waits(about, Some(&disc), "the disc is made, and is not in its drive yet")?;
        Ok(Some(last))
    }

    /// An order for the VM's disc, which says not yet of which edition, and what there is to say of programs. They take their
    /// time: nobody is kept waiting meanwhile.
    fn order(&self, config: &Config, job: &Job, domain: &Domain) -> Result<(Order, Vec<String>), Outcome> {
        let Domain { name, uuid, .. } = domain;
        let gathered = || {
            let printed = Printed { host: host_wide::make_sure(self.host, config)?, vm: results::of(self.host, uuid)? };
            let runs = Runs { accept_loss: job.accept_loss, ..Runs::of_vm(config, name, uuid) };
            let mut programs = Runner::new(runs, printed);
            let gathered = gather(self.host, domain, &mut programs);
            // For the hook.
            Vm::hold(self.host, uuid)?.remember(&programs.printed.vm)?;
            gathered.map(|()| programs)
        };
        let Runner { printed, warnings, .. } = gathered().map_err(Outcome::hosts_fault)?;
        let known = State::of(self.host, uuid).map_err(Outcome::hosts_fault)?;
        let new_networks = known.map(State::new_networks).unwrap_or_default();
        Ok((Order::of(domain, new_networks, printed), warnings))
    }

    fn compose(&self, order: &Order) -> Result<Answer, Outcome> {
        match self.composers.compose(order) {
            Ok(Answer::Impossible(Why::Host(message))) => Err(Outcome::HostsFault(message)),
            Ok(Answer::Impossible(Why::Vm(message))) | Err(Fault::Order(message)) => Err(Outcome::Hopeless(message)),
            Err(Fault::Composer(message)) => Err(Outcome::Failed(message)),
            Ok(answer) => Ok(answer),
        }
    }

    /// Whether a disc made now would have the content of the newest one, which is `known` and lies at `path`; and what went
    /// wrong with programs.
    pub(super) fn is_newest(
        &self,
        config: &Config,
        job: &Job,
        domain: &Domain,
        (known, path): (Option<&State>, &Path),
    ) -> Result<(bool, Vec<String>), Outcome> {
        let (order, warnings) = self.order(config, job, domain)?;
        let newest = known.and_then(|state| state.disc_at(path));
        Ok((self.compose(&Order { newest, ..order })? == Answer::Same, warnings))
    }
}
