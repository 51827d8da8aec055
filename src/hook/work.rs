//! The work of one hook call, done in the supervised child: what each row of the table in hooks/README.md means.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::detach;
use super::fallback;
use super::operation::{HookCall, Operation};
use super::reply::{Reply, policy};
use super::supervise::{MEMORY, set_memory_limit};
use crate::context::disc::marker::Reason;
use crate::context::domain::Domain;
use crate::context::domain::drive::Drive;
use crate::context::domain::request::Request;
use crate::context::domain::rewrite;
use crate::context::uuid::Uuid;
use crate::host::config::{Config, OnError};
use crate::host::disc::{Sources, Subject};
use crate::host::log::Log;
use crate::host::paths::Host;
use crate::host::programs::NotRunYet;
use crate::host::vm::job::Job;
use crate::host::vm::results::Results;
use crate::host::vm::state::{About, Progress, State};
use crate::host::vm::{Disc, Vm, image};

/// For so long, in seconds, a job from `migrate` or `restore` explains the `prepare` that follows it in the same
/// arrival. One that is older is left over from an arrival that never came.
const ARRIVAL: u64 = 60;

/// The state of a VM whose disc has been made before it has come.
const ON_ITS_WAY: &str = "the disc is made; the VM is on its way";

/// Does the work of `call` and writes the reply to `out`. Every failure ends in the log, and in a reply with which the
/// VM goes on, unless the administrator wants a refusal.
pub fn work(host: &Host, call: &HookCall, xml: &str, out: &mut File) {
    let mut log = Log::open(host);
    let mut on_error = OnError::Continue;
    let mut policy_told = false;
    let mut afterwards = Afterwards::default();
    // What only tidies up, or starts the helper, does so under a broken configuration too.
    let needs_config =
        matches!(call.operation, Operation::Prepare | Operation::Migrate | Operation::Restore | Operation::Started);
    let config = if needs_config { Config::load(host) } else { Ok(Config::default()) };
    let done = match config {
        Ok(config) => tell_early(out, config.on_error).and_then(|told| {
            (on_error, policy_told) = (config.on_error, told);
            // The files and the answer, twice over.
            set_memory_limit(MEMORY.saturating_add(config.limits.disc_size.saturating_mul(2)));
            Call { host, config: &config, operation: call.operation, afterwards: &mut afterwards }.act(xml)
        }),
        Err(error) => {
            let (config, afterwards) = (&Config::default(), &mut afterwards);
            Call { host, config, operation: call.operation, afterwards }.cannot(xml, error)
        }
    };
    let reply = done.unwrap_or_else(|error| {
        let refuse = is_refused(on_error, call.operation, &error);
        let so = if refuse { "refused, as on_error wants" } else { "the VM goes on" };
        let line = format!("{}: {}: {error:#}; {so}", call.domain, call.operation);
        if is_only_early(&error) {
            log.info(line)
        } else {
            log.error(line)
        }
        if refuse {
            return Reply::Refuse(format!("{error:#}"));
        }
        fallback::let_go_on(host, call.operation, xml).unwrap_or_else(|error| {
            log.error(format_args!("{}: {}: letting the VM go on: {error:#}", call.domain, call.operation));
            Reply::Nothing
        })
    });
    let first = if policy_told { Vec::new() } else { policy(OnError::Continue).to_vec() };
    let _parent_gone = out.write_all(&reply.encode(&first));
    if let Some(line) = afterwards.news {
        log.info(line);
    }
    // Already here, because libvirt may refuse the VM after this call and never call us again: the helper then removes what
    // we have made for it.
    if afterwards.arrived.is_some_and(|uuid| Job::of(host, &uuid).is_ok_and(|job| job.is_some())) {
        // `started` tries again, and tells the reason if it cannot be started then either.
        let _told_later = detach::start_helper(host);
    }
}

/// Tells the parent what the administrator wants if the work does not come to its end. That the VM is to go on need not be
/// told: it does, and to wake the parent costs both of us time.
fn tell_early(out: &mut File, on_error: OnError) -> Result<bool> {
    let matters = on_error == OnError::Refuse;
    if matters {
        out.write_all(&policy(on_error)).context("reporting")?;
    }
    Ok(matters)
}

/// Whether all that is missing is what the helper, which runs programs, will find out.
fn is_only_early(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<NotRunYet>())
}

/// Whether the VM is refused for it.
fn is_refused(on_error: OnError, operation: Operation, error: &anyhow::Error) -> bool {
    on_error == OnError::Refuse && operation.may_refuse() && !is_only_early(error)
}

/// What is done after the reply, when nobody waits any more: to wake the log's reader and to make a process are a tenth of
/// the time that an arrival takes.
#[derive(Default)]
struct Afterwards {
    /// A line for the log.
    news: Option<String>,
    /// The VM that arrives. If a job waits for it, the helper is started.
    arrived: Option<Uuid>,
}

/// One call with what it needs.
struct Call<'a> {
    host: &'a Host,
    config: &'a Config,
    operation: Operation,
    afterwards: &'a mut Afterwards,
}

impl Call<'_> {
    fn act(&mut self, xml: &str) -> Result<Reply> {
        let domain = Domain::read(xml)?;
        if !domain.takes_part() {
            return Ok(Reply::Nothing);
        }
        match self.operation {
            Operation::Prepare => self.prepare(&domain).map(|()| Reply::Nothing),
            Operation::Migrate => self.arrive(&domain, Reason::Migrate),
            Operation::Restore => self.arrive(&domain, Reason::Restore),
            Operation::Started => self.started(&domain).map(|()| Reply::Nothing),
            Operation::Reconnect => self.reconnect(&domain).map(|()| Reply::Nothing),
            Operation::Stopped => self.stopped(&domain).map(|()| Reply::Nothing),
            Operation::Release => self.release(&domain).map(|()| Reply::Nothing),
            Operation::Leave => self.leave(&domain).map(|()| Reply::Nothing),
            Operation::Revert => self.revert(&domain).map(|()| Reply::Nothing),
        }
    }

    /// The configuration is broken. Of an arrival a job is noted all the same, for when it is mended.
    fn cannot(&mut self, xml: &str, error: anyhow::Error) -> Result<Reply> {
        let reason = match self.operation {
            Operation::Migrate => Reason::Migrate,
            Operation::Restore => Reason::Restore,
            _ => return Err(error),
        };
        let domain = Domain::read(xml)?;
        if !domain.takes_part() {
            return Ok(Reply::Nothing);
        }
        let vm = Vm::hold(self.host, &domain.uuid)?;
        vm.note(&self.job(&domain, reason))?;
        self.failed(about(&domain, reason), vm, error).map(|()| Reply::Nothing)
    }

    /// A first boot finds its disc in the drive.
    fn prepare(&mut self, domain: &Domain) -> Result<()> {
        let vm = Vm::hold(self.host, &domain.uuid)?;
        let arriving = Job::of(self.host, &domain.uuid)?
            .filter(|job| matches!(job.reason, Reason::Migrate | Reason::Restore) && job.age() < ARRIVAL)
            .map(|job| job.reason);
        match arriving {
            // Its disc is made, or cannot be, as its state tells: of a revert there is only the job yet.
            Some(_) if State::of(self.host, &domain.uuid)?.is_some() && self.can_open_its_drive(domain) => {
                return Ok(());
            }
            Some(_) => {}
            None => vm.drop_job()?,
        }
        let about = about(domain, arriving.unwrap_or(Reason::Start));
        let place = self.drive(domain).and_then(|(request, drive)| {
            let path =
                drive.image().map(Path::new).filter(|path| image::may_be_made_at(self.config, path, &domain.uuid));
            path.map(|path| self.check_that_nobody_else_has(path, domain).map(|()| (request, path))).transpose()
        });
        let made = match place {
            Ok(None) => return Ok(()),
            Ok(Some((request, path))) => self.make(&vm, domain, request, path, arriving.unwrap_or(Reason::Start)),
            Err(error) => Err(error),
        };
        match made {
            Ok(disc) if arriving.is_none() => vm.delivered(about, Some(&disc), "in the drive since the start"),
            Ok(disc) => vm.waits(about, Some(&disc), ON_ITS_WAY),
            Err(error) => self.failed(about, vm, error),
        }
    }

    /// A path that another VM's XML names as well would have them overwrite each other's discs.
    fn check_that_nobody_else_has(&self, path: &Path, domain: &Domain) -> Result<()> {
        if path == image::path(self.config, &domain.uuid) {
            return Ok(());
        }
        for other in State::all(self.host)?.iter().filter(|other| other.uuid != domain.uuid) {
            let has_it = other.image.as_deref() == Some(path);
            ensure!(
                !has_it,
                "{} is the disc of the VM {}: virt-recontext enable {}",
                path.display(),
                other.name,
                domain.name
            );
        }
        Ok(())
    }

    /// An arriving VM finds this host's disc in its drive; the helper tells it later.
    fn arrive(&mut self, domain: &Domain, reason: Reason) -> Result<Reply> {
        self.afterwards.arrived = Some(domain.uuid.clone());
        self.receive(domain, reason)
    }

    fn receive(&mut self, domain: &Domain, reason: Reason) -> Result<Reply> {
        let vm = Vm::hold(self.host, &domain.uuid)?;
        let about = about(domain, reason);
        let (request, drive) = match self.drive(domain) {
            Ok(found) => found,
            Err(error) => return self.failed(about, vm, error).map(|()| Reply::Nothing),
        };
        let path = image::path(self.config, &domain.uuid);
        let job = self.job(domain, reason);
        // Noted before the disc is made: even if we are stopped at that, the helper brings things right. Unless the VM is
        // then refused, and needs nothing.
        let strict = self.config.on_error == OnError::Refuse;
        if !strict {
            vm.note(&job)?;
        }
        let made = self.make(&vm, domain, request, &path, reason);
        if strict && made.as_ref().err().is_none_or(is_only_early) {
            vm.note(&job)?;
        }
        let disc = match made {
            Ok(disc) => disc,
            Err(error) => return self.failed(about, vm, error).map(|()| Reply::Nothing),
        };
        let answer = rewrite::with_disc(domain, drive, path.to_str().context("image_dir is not UTF-8")?)?;
        vm.waits(about, Some(&disc), ON_ITS_WAY)?;
        Ok(answer.map_or(Reply::Nothing, Reply::Answer))
    }

    /// The helper takes over where a medium has to be changed.
    fn started(&mut self, domain: &Domain) -> Result<()> {
        if Job::of(self.host, &domain.uuid)?.is_none() {
            // A faulty request or an unfit drive was told at `prepare`.
            let Ok((_, drive)) = self.drive(domain) else { return Ok(()) };
            let state = State::of(self.host, &domain.uuid)?;
            if state.as_ref().is_some_and(|state| self.is_delivered(state, drive)) {
                return Ok(());
            }
            let vm = Vm::hold(self.host, &domain.uuid)?;
            vm.note(&self.job(domain, Reason::Start))?;
            // Why there is no disc says more than that there is none.
            if state.is_none_or(|state| state.progress != Progress::Failed) {
                vm.waits(about(domain, Reason::Start), None, "the drive holds no context disc yet")?;
            }
        }
        self.start_helper()
    }

    /// Whether the drive holds the disc that was made for this start.
    fn is_delivered(&self, state: &State, drive: &Drive) -> bool {
        let image = state.image.as_deref().filter(|image| image::exists(self.host, image));
        state.progress == Progress::Delivered && image.is_some() && drive.path().map(Path::new) == image
    }

    fn reconnect(&mut self, domain: &Domain) -> Result<()> {
        match Job::of(self.host, &domain.uuid)? {
            Some(_) => self.start_helper(),
            None => Ok(()),
        }
    }

    fn stopped(&mut self, domain: &Domain) -> Result<()> {
        Vm::hold(self.host, &domain.uuid)?.drop_job()
    }

    fn release(&mut self, domain: &Domain) -> Result<()> {
        // A revert to one of them looks for the disc before it calls us.
        if self.host.has_snapshots(&domain.name) {
            return self.leave(domain);
        }
        Vm::hold(self.host, &domain.uuid)?.forget()
    }

    fn leave(&mut self, domain: &Domain) -> Result<()> {
        Vm::hold(self.host, &domain.uuid)?.leave()
    }

    /// The guest of a running VM's snapshot goes on from where it was, as a restored one does: `prepare` makes its disc, and
    /// the helper tells it. If the snapshot is of a VM that did not run, the helper finds that none comes.
    fn revert(&mut self, domain: &Domain) -> Result<()> {
        self.leave(domain)?;
        Vm::hold(self.host, &domain.uuid)?.note(&self.job(domain, Reason::Restore))?;
        self.start_helper()
    }

    /// A new job for the domain. By its own description: a script in hooks/libxl may call us by any name.
    fn job(&self, domain: &Domain, reason: Reason) -> Job {
        Job::new(domain.uuid.clone(), &domain.name, reason, false).with(domain.machine.driver())
    }

    /// Whether the domain can come with its drive as it is: its file is there, or may be missing.
    fn can_open_its_drive(&self, domain: &Domain) -> bool {
        let is_there = |drive: &Drive| drive.path().is_none_or(|path| image::exists(self.host, Path::new(path)));
        domain.machine.driver().may_start_without_disc() || self.drive(domain).is_ok_and(|(_, drive)| is_there(drive))
    }

    /// What the domain asks for, and the fit drive for it.
    fn drive<'d>(&self, domain: &'d Domain) -> Result<(&'d Request, &'d Drive)> {
        let request = domain.request()?.context("the domain asks for no context")?;
        let drive = domain.drive(request)?;
        drive.check()?;
        Ok((request, drive))
    }

    fn make<'p>(
        &mut self,
        vm: &Vm,
        domain: &Domain,
        request: &Request,
        path: &'p Path,
        reason: Reason,
    ) -> Result<Disc<'p>> {
        let begin = Instant::now();
        let subject = Subject { name: &domain.name, uuid: &domain.uuid, request };
        let mut programs = Results::of(self.host, &domain.uuid)?;
        let disc = Sources::gather(self.host, self.config, subject, &mut programs)?.make(vm, path, reason)?;
        let (generation, took) = (disc.edition.generation.0, begin.elapsed().as_secs_f64() * 1e3);
        let news = format!("{}: {}: disc {generation} made in {took:.1} ms", domain.name, self.operation);
        self.afterwards.news = Some(news);
        Ok(disc)
    }

    /// Writes down why there is no new disc, and hands the error on. Of a VM that is therefore refused nothing is written:
    /// what there is of it here is of one of the same UUID that runs here, and stays true.
    fn failed(&self, about: About, vm: Vm, error: anyhow::Error) -> Result<()> {
        if is_refused(self.config.on_error, self.operation, &error) {
            vm.give_back()?;
        } else if is_only_early(&error) {
            vm.waits(about, None, &format!("{error:#}"))?;
        } else {
            vm.failed(about, &format!("{error:#}"))?;
        }
        Err(error)
    }

    fn start_helper(&self) -> Result<()> {
        detach::start_helper(self.host).context("only the helper can put a disc in or tell the guest of it")
    }
}

/// A domain that comes for `reason`.
fn about<'d>(domain: &'d Domain, reason: Reason) -> About<'d> {
    About::coming(&domain.name, domain.machine.driver(), reason)
}
