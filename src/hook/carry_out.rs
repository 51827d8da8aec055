//! Carries out what was decided: the only place of the hook that writes anything of a VM.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

use super::decision::{Decision, DiscStep, HelperStep, JobStep};
use super::detach;
use super::operation::Operation;
use super::reply::Reply;
use crate::context::disc::marker::{Edition, Reason};
use crate::context::domain::Domain;
use crate::context::domain::drive::Drive;
use crate::context::domain::request::Request;
use crate::context::domain::rewrite;
use crate::host::config::{Config, OnError};
use crate::host::disc::Layers;
use crate::host::paths::Host;
use crate::host::programs::{NotRunYet, Printed};
use crate::host::signing::NotSigned;
use crate::host::vm::job::Job;
use crate::host::vm::state::{About, RulesNote, State};
use crate::host::vm::{Disc, Vm};

pub(super) struct CarryOut<'a> {
    pub host: &'a Host,
    pub config: &'a Config,
    pub operation: Operation,
    pub domain: &'a Domain<'a>,
    /// What rules did to it before.
    pub rules: Option<&'a RulesNote>,
}

/// What is done after the reply, when nobody waits any more: to wake the log's reader and to make a process are a tenth of
/// the time that an arrival takes.
#[derive(Default)]
pub(super) struct Afterwards {
    /// A line about a disc that was made.
    pub news: Option<(String, Edition)>,
    pub warning: Option<String>,
    /// Whether the helper is started, if a job waits for the VM then.
    pub helper: bool,
}

impl CarryOut<'_> {
    /// Does what `decision` says of the VM, which is `held` if that was needed to decide.
    ///
    /// # Errors
    /// When it cannot be done, or there is no disc; what there is to know of that is written down.
    pub(super) fn carry_out(&self, decision: Decision, held: Option<Vm>, afterwards: &mut Afterwards) -> Result<Reply> {
        let Decision { job, disc, answer, helper } = decision;
        afterwards.helper = helper == HelperStep::Afterwards;
        let hold = || held.map_or_else(|| Vm::hold(self.host, &self.domain.uuid), Ok);
        let mut reply = Reply::Nothing;
        match disc {
            DiscStep::Keep if job == JobStep::Keep => {}
            DiscStep::Keep => self.job(&hold()?, job)?,
            DiscStep::Leave => {
                hold()?.leave()?;
                if job != JobStep::Keep {
                    self.job(&Vm::hold(self.host, &self.domain.uuid)?, job)?;
                }
            }
            DiscStep::Forget => hold()?.forget()?,
            DiscStep::Await(why) => {
                let vm = hold()?;
                self.job(&vm, job)?;
                vm.waits(self.about(Reason::Start), None, why)?;
            }
            DiscStep::Fail { reason, because } => {
                let vm = hold()?;
                self.job(&vm, job)?;
                self.failed(vm, reason, anyhow!(because))?;
            }
            DiscStep::Make { request, place, reason } => {
                let vm = hold()?;
                let disc = self.make(&vm, job, (request, &place, reason), &mut afterwards.news);
                afterwards.warning = request.unknown.told();
                match disc {
                    Err(error) => self.failed(vm, reason, error)?,
                    Ok(disc) => reply = self.made(&vm, &disc, answer, afterwards.warning.as_deref())?,
                }
            }
        }
        if helper == HelperStep::Now {
            detach::start_helper(self.host).context("only the helper can put a disc in or notify the guest")?;
        }
        Ok(reply)
    }

    fn job(&self, vm: &Vm, job: JobStep) -> Result<()> {
        match job {
            JobStep::Keep => Ok(()),
            JobStep::Drop => vm.drop_job(),
            // By the VM's own description: a script in hooks/libxl may call us by any name.
            JobStep::Note(reason) => {
                let Domain { name, uuid, machine, .. } = self.domain;
                vm.note(&Job::new(uuid.clone(), name, machine.driver(), reason, false))
            }
        }
    }

    /// Makes the disc. The job is noted before: even if we are stopped at it, the helper brings things right. Unless the VM
    /// would then be refused, and need nothing.
    fn make<'p>(
        &self,
        vm: &Vm,
        job: JobStep,
        (request, place, reason): (&Request, &'p Path, Reason),
        news: &mut Option<(String, Edition)>,
    ) -> Result<Disc<'p>> {
        let begin = Instant::now();
        let late = self.config.on_error == OnError::Refuse && matches!(job, JobStep::Note(_));
        let (before, after) = if late { (JobStep::Keep, job) } else { (job, JobStep::Keep) };
        self.job(vm, before)?;
        let mut programs = Printed::known(self.host, &self.domain.uuid)?;
        let layers = Layers::none(self.host, self.config, self.domain, request);
        let layers = layers.telling(self.new_networks(reason)?).read(&mut programs);
        let made = layers.and_then(|layers| layers.make(vm, place, reason));
        if made.as_ref().err().is_none_or(is_only_early) {
            self.job(vm, after)?;
        }
        let disc = made?;
        let (generation, took) = (disc.edition.generation.0, begin.elapsed().as_secs_f64() * 1e3);
        let line = format!("{}: {}: disc {generation} made in {took:.1} ms", self.domain.name, self.operation);
        *news = Some((line, disc.edition));
        Ok(disc)
    }

    /// Writes down that there is a new disc, with what is to be known of it, and answers with the drive that is to hold it.
    fn made(&self, vm: &Vm, disc: &Disc, answer: Option<&Drive>, warning: Option<&str>) -> Result<Reply> {
        let path = || disc.path.to_str().context("image_dir is not UTF-8");
        let answer = answer.map(|drive| rewrite::with_disc(self.domain, drive, path()?)).transpose()?.flatten();
        let about = self.about(disc.edition.reason);
        let with = |line: &str| warning.map_or(line.to_owned(), |warning| format!("{line}; {warning}"));
        match disc.edition.reason {
            Reason::Start => vm.delivered(about, Some(disc), &with("in the drive since the start"))?,
            _ => vm.waits(about, Some(disc), &with("the disc is made; the VM is on its way"))?,
        }
        Ok(answer.map_or(Reply::Nothing, Reply::Answer))
    }

    /// Writes down why there is no new disc, and hands the error on. Of a VM that is therefore refused nothing is written:
    /// what there is of it here is of one of the same UUID that runs here, and stays true.
    fn failed(&self, vm: Vm, reason: Reason, error: anyhow::Error) -> Result<()> {
        let about = self.about(reason);
        if is_refused(self.config.on_error, self.operation, &error) {
            vm.give_back()?;
        } else if is_only_early(&error) {
            vm.waits(about, None, &format!("{error:#}"))?;
        } else {
            vm.failed(about, &format!("{error:#}"))?;
        }
        Err(error)
    }

    fn about(&self, reason: Reason) -> About<'_> {
        let about = About::coming(&self.domain.name, self.domain.machine.driver(), reason);
        if self.is_on_its_way(reason) { about.with_rules_as_before() } else { about.with_rules(self.rules) }
    }

    /// Whether this is the second call for a VM that comes, so that all there is to know of rules has been written at the first.
    fn is_on_its_way(&self, reason: Reason) -> bool {
        self.operation == Operation::Prepare && reason != Reason::Start
    }

    /// The interfaces of which the disc tells that they are on another network.
    fn new_networks(&self, reason: Reason) -> Result<Vec<String>> {
        match self.is_on_its_way(reason) {
            true => Ok(State::of(self.host, &self.domain.uuid)?.map(State::new_networks).unwrap_or_default()),
            false => Ok(self.rules.map(|note| note.new_networks.clone()).unwrap_or_default()),
        }
    }
}

/// Whether all that is missing is what the helper, which runs programs, will find out.
pub(super) fn is_only_early(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<NotRunYet>() || cause.is::<NotSigned>())
}

pub(super) fn is_refused(on_error: OnError, operation: Operation, error: &anyhow::Error) -> bool {
    on_error == OnError::Refuse && operation.row().may_refuse && !is_only_early(error)
}
