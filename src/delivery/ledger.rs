//! What is written of a delivery: the VM's state, its job's end, and the line in the log.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, Result};

use super::outcome::Done;
use super::schedule::Action;
use crate::host::log::{Event, Log};
use crate::host::metrics::counters::{Became, count};
use crate::host::paths::Host;
use crate::host::vm::Vm;
use crate::host::vm::job::Job;
use crate::host::vm::state::{State, with_times};
use crate::libvirt::connection::Libvirt;
use crate::libvirt::saved;

/// What fails when a state cannot be written.
const NOTING: &str = "recording what became of a disc";

pub(super) struct Ledger<'a> {
    pub host: &'a Host,
    pub log: Log,
    /// Jobs that stay in the spool for another helper.
    pub given_up: HashSet<Job>,
    /// What was told of things that stay as they are.
    pub told: Vec<String>,
}

impl Ledger<'_> {
    /// Logs what stays as it is, unless that was just logged.
    pub(super) fn tell_once(&mut self, lines: Vec<String>) {
        if self.told != lines {
            lines.iter().for_each(|line| self.log.warning(format_args!("delivering: {line}")));
            self.told = lines;
        }
    }

    /// Writes down what became of a job. `grace` is how long a guest may hold its disc; `libvirt` is asked whether a snapshot
    /// or a saved state of a VM that is gone names its image. What cannot be written is one VM's trouble: its job is left for
    /// another helper.
    pub(super) fn write(&mut self, action: Action<Job>, grace: Option<Duration>, libvirt: &Libvirt) {
        let job = action.job().clone();
        if let Err(error) = self.try_write(action, grace, libvirt)
            && !self.given_up.contains(&job)
        {
            self.give_up(job, &format!("{error:#}"));
        }
    }

    fn try_write(&mut self, action: Action<Job>, grace: Option<Duration>, libvirt: &Libvirt) -> Result<()> {
        match action {
            Action::Done(job, done) => {
                if let Some(way) = done.way {
                    count(self.host, &mut self.log, &job, Became::Delivered(way));
                }
                self.done(&job, &done)
            }
            Action::AtNextStart(job, line) => self.at_next_start(&job, &line),
            // The state stays as well, so that it tells of the disc that is in the drive.
            Action::Unchanged(job) => of_newest(self.host, &job, |vm| over(&vm, &job)),
            Action::Waits(job, line) => self.note(&job, |vm| vm.waits(job.about(), None, &line)),
            Action::Held { job, first } => {
                let line = held_line(&job.name, grace);
                if first {
                    self.log.about(job.subject()).event(Event::Held).warning(format_args!("{}: {line}", job.name));
                }
                self.note(&job, |vm| vm.waits(job.about(), None, &line))
            }
            Action::Failed(job, message) => {
                count(self.host, &mut self.log, &job, Became::Failed);
                self.note(&job, |vm| vm.failed(job.about(), &message))?;
                self.give_up(job, &message);
                Ok(())
            }
            Action::Late(job) => {
                let message = State::of(self.host, &job.uuid)?.map(|state| state.message).unwrap_or_default();
                self.give_up(job, &message);
                Ok(())
            }
            Action::Gone(job) => self.gone(&job, libvirt),
        }
    }

    fn done(&mut self, job: &Job, done: &Done) -> Result<()> {
        let edition = State::of(self.host, &job.uuid)?.and_then(|state| state.edition);
        self.end(job, |vm| vm.delivered_in(job.about(), &done.line, &done.took))?;
        let generation = edition.map(|edition| edition.generation.0).unwrap_or_default();
        let told = self.log.about(edition.map_or(job.subject(), |edition| job.subject().disc(edition)));
        // A refresh may end well with nothing in any drive that was not there before.
        let told = if done.way.is_some() { told.event(Event::Delivered) } else { told };
        let line = with_times(&done.line, &done.took);
        told.info(format_args!("{}: {}: disc {generation}: {line}", job.name, job.reason));
        Ok(())
    }

    fn at_next_start(&mut self, job: &Job, line: &str) -> Result<()> {
        // Logged once: a timer may ask every few minutes.
        let is_logged = |state: State| state.until_next_start && state.message == line;
        let logged = State::of(self.host, &job.uuid)?.is_some_and(is_logged);
        self.end(job, |vm| vm.waits_until_next_start(job.about(), line))?;
        if !logged {
            let line = format_args!("{}: {}: {line}", job.name, job.reason);
            self.log.about(job.subject()).event(Event::NextStart).info(line);
        }
        Ok(())
    }

    /// Takes the job out of the spool, with this last step.
    fn end(&self, job: &Job, step: impl FnOnce(&Vm) -> Result<()>) -> Result<()> {
        of_newest(self.host, job, |vm| {
            step(&vm).context(NOTING)?;
            over(&vm, job)
        })
    }

    /// Takes a step of a job that stays; not of one that says nothing of a disc.
    fn note(&self, job: &Job, step: impl FnOnce(&Vm) -> Result<()>) -> Result<()> {
        if job.rules_alone {
            return Ok(());
        }
        of_newest(self.host, job, |vm| step(&vm).context(NOTING))
    }

    /// An attempt at `job` has not come back, and whoever was to make it is held by something.
    pub(super) fn stuck(&mut self, job: &Job) {
        self.log.about(job.subject()).event(Event::Stuck).error(format_args!(
            "{}: the attempt to deliver its disc does not end, as where a file system does not answer; this helper ends, \
             and the jobs are left for the next",
            job.name
        ));
    }

    fn give_up(&mut self, job: Job, message: &str) {
        let name = &job.name;
        let again = if job.rules_alone { "deliver".to_owned() } else { format!("refresh {name}") };
        let line = format_args!("{name}: {message}; given up for now; \"virt-recontext {again}\" tries again");
        self.log.about(job.subject()).event(Event::GivenUp).error(line);
        self.given_up.insert(job);
    }

    /// The VM does not run here and will not come: nothing is left to do here.
    fn gone(&mut self, job: &Job, libvirt: &Libvirt) -> Result<()> {
        let known = State::known(self.host, &job.uuid)?;
        if known.as_ref().and_then(|state| state.rules.as_ref()).is_some_and(|note| note.definition_due)
            && libvirt.domain(&job.uuid).is_ok_and(|domain| domain.is_persistent().unwrap_or_default())
        {
            let name = &job.name;
            self.log.about(job.subject()).event(Event::RulesUnfinished).warning(format_args!(
                "{name}: has ended before its definition could be changed as it was when it came: virt-recontext rewrite {name}"
            ));
        }
        let image = known.and_then(|state| state.image);
        if image.is_some_and(|image| saved::names(libvirt, &job.uuid, &image)) {
            return of_newest(self.host, job, |vm| vm.leave());
        }
        of_newest(self.host, job, |vm| {
            let disc = if job.rules_alone { "" } else { "; its disc is removed" };
            self.log.about(job.subject()).info(format_args!("{}: is not running here{disc}", job.name));
            vm.forget()
        })
    }
}

/// Takes the job of a disc out of the spool; another one takes its place if rules have something left to do.
fn over(vm: &Vm, job: &Job) -> Result<()> {
    let is_due = || vm.rules().map(|rules| rules.is_some_and(|rules| rules.is_due()));
    if job.rules_alone || !is_due()? {
        return vm.drop_job();
    }
    vm.note(&Job::new(job.uuid.clone(), &job.name, job.driver, job.reason, false).for_rules_alone())
}

/// Does something with the VM of a job, unless a newer job has come: what that one has written is not overwritten.
fn of_newest(host: &Host, job: &Job, then: impl FnOnce(Vm) -> Result<()>) -> Result<()> {
    let vm = Vm::hold(host, &job.uuid)?;
    if job.is_newest(host)? { then(vm) } else { vm.give_back() }
}

/// What there is to say of a guest that does not let go.
fn held_line(name: &str, grace: Option<Duration>) -> String {
    let then = match grace {
        Some(grace) => format!(", and after {} s the disc is changed by force", grace.as_secs()),
        None => format!("; \"virt-recontext refresh {name} --force\" takes it away at once"),
    };
    format!("the guest holds the old disc; it is asked again{then}")
}
