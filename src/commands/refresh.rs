//! `refresh`: brings the discs of running VMs up to date. The helper does the work; this only asks and watches.

use std::fs::DirEntry;
use std::io::{self, IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{ArgGroup, Args};

use super::exit::{DONE, FAILED, WAITING, worse};
use super::settle::{Settle, Turn};
use super::vm;
use crate::context::disc::marker::Reason;
use crate::context::domain::Domain;
use crate::context::domain::request::NAMESPACE;
use crate::delivery::attempt::SAME;
use crate::host::config::Config;
use crate::host::file;
use crate::host::host_wide;
use crate::host::log::Log;
use crate::host::metrics;
use crate::host::off;
use crate::host::paths::Host;
use crate::host::select::selected;
use crate::host::vm::Vm;
use crate::host::vm::job::Job;
use crate::host::vm::state::{Progress, State, with_times};
use crate::host::vm::sweep;
use crate::libvirt::domain::{Handle, Scope, Situation};
use crate::libvirt::trouble::Trouble;

/// Bring the discs of running VMs up to date, if their content changed.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["vms", "all"])))]
pub(super) struct Refresh {
    /// Names or UUIDs.
    #[arg(value_name = "VM")]
    pub vms: Vec<String>,
    /// All running VMs that take part, or that a rule selects.
    #[arg(long)]
    pub all: bool,
    /// Change the disc even if it is the same, or held.
    #[arg(long)]
    pub force: bool,
    /// Let go at once of facts that are not printed any more.
    #[arg(long)]
    pub accept_loss: bool,
    #[command(flatten)]
    pub settle: Settle,
}

/// Between two looks at what the helper has done, at the beginning and later.
const LOOK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));

/// So long is watched beyond the time that a guest is given.
const WATCH: Duration = Duration::from_secs(30);

/// What is to be done about one VM.
enum Found {
    Job(Job),
    /// It gets its disc when it comes or starts.
    Later(String),
    TakesNoPart,
}

/// Asks for the discs of `options.vms`, or of all running VMs that take part, and tells how each came out.
///
/// # Errors
/// When a VM of `options.vms` does not exist or takes no part, before anything is asked for.
pub(super) fn refresh(host: &Host, options: &Refresh, out: &mut impl Write) -> Result<u8> {
    let Turn::Mine(settled) = options.settle.wait(host)? else {
        writeln!(out, "another refresh is about to begin, and does this as well")?;
        return Ok(DONE);
    };
    // Where all is switched off nobody is to wait. Whoever switches it on again and comes while this settles is served too.
    let turn = (!off::is_off(host)).then(|| host_wide::Turn::wait(host));
    drop(settled);
    if let Some(off) = off::told(host) {
        writeln!(out, "virt-recontext: {off}")?;
        return Ok(WAITING);
    }
    let done = bring_up_to_date(host, options, turn, out);
    if options.all && done.is_ok() {
        metrics::refreshed::now(host);
    }
    metrics::export(host);
    done
}

/// The same, when it is time to.
fn bring_up_to_date(
    host: &Host,
    options: &Refresh,
    turn: Option<Result<host_wide::Turn>>,
    out: &mut impl Write,
) -> Result<u8> {
    let config = Config::load(host)?;
    vm::tell_unknown_keys(&config);
    // Also for the VMs that are to come.
    let turn = turn.unwrap_or_else(|| host_wide::Turn::wait(host));
    let code = host_wide(host, &config, options.accept_loss, turn);
    if options.all && runs_no_vm(host, &config) {
        return deliver_and_watch(host, &config, Vec::new(), Told { out, code });
    }
    let libvirt = vm::connect(host, &config)?;
    let handles: Vec<Handle> = match options.all {
        true => libvirt.running()?,
        false => options.vms.iter().map(|name| libvirt.find(name)).collect::<Result<_>>()?,
    };
    let mut all = Told { out, code };
    let (mut jobs, mut nobody) = (Vec::new(), true);
    for handle in &handles {
        let name = handle.name().or_else(|_| handle.uuid().map(|uuid| uuid.to_string())).unwrap_or_default();
        match look_at(host, &config, handle, &name, options) {
            Ok(Found::TakesNoPart) if options.all => continue,
            Ok(Found::Job(job)) => jobs.push(job),
            Ok(Found::Later(line)) => all.tell(&name, DONE, &line)?,
            Ok(Found::TakesNoPart) => {
                bail!("the VM {name} does not take part yet; run: virt-recontext enable {name}")
            }
            // It has ended meanwhile.
            Err(error) if options.all && matches!(error.downcast_ref(), Some(Trouble::Gone)) => {}
            Err(error) if options.all => all.tell(&name, FAILED, &format!("{error:#}"))?,
            Err(error) => return Err(error),
        }
        nobody = false;
    }
    drop(handles);
    drop(libvirt);
    // A timer that asks each few minutes is not to fill the journal with it.
    if options.all && nobody && io::stderr().is_terminal() {
        vm::tell_that_none_takes_part("no VM that is running here");
    }
    deliver_and_watch(host, &config, jobs, all)
}

/// Runs the host-wide programs. One that fails costs no VM the disc that it has.
fn host_wide(host: &Host, config: &Config, accept_loss: bool, turn: Result<host_wide::Turn>) -> u8 {
    let tell = |line: &str| {
        let _nobody_reads = writeln!(io::stderr(), "virt-recontext: {}", vm::on_one_line(line));
    };
    let refreshed = match turn.and_then(|turn| host_wide::refresh(host, config, accept_loss, turn)) {
        Ok(refreshed) => refreshed,
        Err(error) => {
            tell(&format!("running host-wide programs: {error:#}"));
            return FAILED;
        }
    };
    let mut log = Log::open(host);
    for said in refreshed.said.iter().chain(&refreshed.failed) {
        tell(&said.line);
        // Each time would be each five minutes.
        if !said.again {
            log.event(said.event).warning(&said.line);
        }
    }
    if refreshed.failed.is_empty() { DONE } else { FAILED }
}

/// Whether libvirt surely runs no VM here, by what it has written down: to ask would start a daemon that starts on demand, each
/// time that a timer asks.
fn runs_no_vm(host: &Host, config: &Config) -> bool {
    let driver = config.driver(host);
    // Only of its usual place is it known where that lies. Before its first start there is nothing.
    let dir = host.running_vms_dir(driver);
    let is_file_of_vm = |entry: &DirEntry| entry.path().extension().is_some_and(|end| end == "xml");
    config.uri_of(driver) == driver.default_uri()
        && dir.is_dir()
        && file::entries(&dir).is_ok_and(|entries| !entries.iter().any(is_file_of_vm))
}

fn look_at(host: &Host, config: &Config, handle: &Handle, name: &str, options: &Refresh) -> Result<Found> {
    // Its XML would come only when it has arrived.
    if handle.situation()? == Situation::Arriving {
        return Ok(Found::Later("is just arriving, and gets its disc then".to_owned()));
    }
    let xml = handle.xml(Scope::Live)?;
    let uuid = handle.uuid()?;
    let is_due = State::of(host, &uuid)?.and_then(|state| state.rules).is_some_and(|rules| rules.is_due());
    // Of a VM that does not concern us nothing can be wrong.
    if !xml.contains(NAMESPACE) && config.select.is_empty() && !is_due {
        return Ok(Found::TakesNoPart);
    }
    let domain = Domain::read(&xml)?;
    let takes_part = domain.takes_part() || selected(host, config, &domain)?.is_some();
    Ok(match handle.situation()? {
        Situation::Running | Situation::Paused if !takes_part && is_due => {
            let job = Job::new(uuid, name, domain.machine.driver(), Reason::Refresh, false);
            Found::Job(job.for_rules_alone())
        }
        _ if !takes_part => Found::TakesNoPart,
        Situation::Gone => Found::Later("is not running; its disc is made when it starts".to_owned()),
        _ => {
            let mut job = Job::new(domain.uuid, name, domain.machine.driver(), Reason::Refresh, options.force);
            job.accept_loss = options.accept_loss;
            Found::Job(job)
        }
    })
}

/// How all came out so far.
pub(super) struct Told<'o, W> {
    pub out: &'o mut W,
    pub code: u8,
}

impl<W: Write> Told<'_, W> {
    fn tell(&mut self, name: &str, code: u8, line: &str) -> io::Result<()> {
        self.code = worse(self.code, code);
        let line = vm::on_one_line(&format!("{name}: {line}"));
        match code {
            FAILED => writeln!(io::stderr(), "{line}"),
            _ => writeln!(self.out, "{line}"),
        }
    }
}

/// Gives the jobs to the helper and watches until each is done, has failed, or waits for a guest for longer than it should.
pub(super) fn deliver_and_watch<W: Write>(
    host: &Host,
    config: &Config,
    jobs: Vec<Job>,
    mut all: Told<W>,
) -> Result<u8> {
    if let Some(off) = off::told(host) {
        jobs.iter().try_for_each(|job| all.tell(&job.name, WAITING, &off))?;
        return Ok(all.code);
    }
    let mut left = Vec::new();
    for job in jobs {
        let name = job.name.clone();
        match note(host, job) {
            Ok(job) => left.push(job),
            Err(error) => all.tell(&name, FAILED, &format!("{error:#}"))?,
        }
    }
    // Also for jobs that an earlier helper left, and for discs that were left when their VMs or the machine ended.
    if !Job::all(host)?.is_empty() || sweep::is_due(host, config)? {
        start_helper()?;
    }
    let mut progress = ProgressLine { begin: Instant::now(), shown: false };
    let patience = config.force_after.unwrap_or_default() + WATCH;
    let end = Instant::now() + patience + Duration::from_secs(5) * u32::try_from(left.len()).unwrap_or(u32::MAX);
    while !left.is_empty() {
        let mut still = Vec::new();
        let total = left.len();
        for job in left {
            let outcome = outcome(host, &job, Instant::now() >= end).unwrap_or_else(|error| {
                let line = format!("{error:#}");
                Came::To(FAILED, line)
            });
            match outcome {
                Came::NotYet => still.push(job),
                Came::ToNothing => {
                    progress.clear();
                    all.tell(&job.name, DONE, nothing_left(host, config, &job))?;
                }
                Came::To(code, line) => {
                    progress.clear();
                    all.tell(&job.name, code, &line)?;
                }
            }
        }
        left = still;
        if let Some(first) = left.first() {
            let message = State::of(host, &first.uuid)?.map(|state| state.message).unwrap_or_default();
            progress.show(format_args!("{} of {total} left; {}: {message}", left.len(), first.name));
            thread::sleep((progress.begin.elapsed() / 10).clamp(LOOK.0, LOOK.1));
        }
    }
    progress.clear();
    Ok(all.code)
}

/// Notes a job. What another one waits for is not forgotten.
fn note(host: &Host, job: Job) -> Result<Job> {
    let vm = Vm::hold(host, &job.uuid)?;
    let job = match Job::of(host, &job.uuid)? {
        Some(waiting) => job.instead_of(&waiting),
        None => job,
    };
    vm.note(&job).map(|()| job)
}

/// What became of a job.
enum Came {
    /// To this, or it waits for this and will not be watched any longer.
    To(u8, String),
    /// Nothing is recorded of the VM any more.
    ToNothing,
    NotYet,
}

fn outcome(host: &Host, job: &Job, time_is_up: bool) -> Result<Came> {
    // One that somebody has asked for since does this one's work as well.
    let newest = Job::of(host, &job.uuid)?;
    let waits = newest.is_some();
    let noted = newest.as_ref().unwrap_or(job).noted;
    let state = match waits {
        true => State::of(host, &job.uuid)?.filter(|state| state.since >= noted),
        false => settled_state(host, job)?,
    };
    Ok(match (waits, state) {
        (false, Some(state)) if state.since < job.noted => Came::To(DONE, SAME.to_owned()),
        (false, Some(state)) => Came::To(code(&state), with_times(&state.message, &state.took)),
        (false, None) => Came::ToNothing,
        (true, Some(state)) if state.progress == Progress::Failed => Came::To(FAILED, state.message),
        (true, state) if time_is_up => {
            let message = state.map_or("the helper has not started on it yet".to_owned(), |state| state.message);
            Came::To(WAITING, format!("waiting: {message}"))
        }
        (true, _) => Came::NotYet,
    })
}

/// The VM's state, when whoever has taken its job away is done with the rest.
fn settled_state(host: &Host, job: &Job) -> Result<Option<State>> {
    let vm = Vm::hold(host, &job.uuid)?;
    let state = State::of(host, &job.uuid)?;
    vm.give_back().map(|()| state)
}

/// Why nothing is recorded of a VM any more for which there was a job.
fn nothing_left(host: &Host, config: &Config, job: &Job) -> &'static str {
    let runs = || vm::runs(&vm::connect(host, config)?.find(&job.uuid.to_string())?);
    match runs() {
        Ok(true) => "was disabled meanwhile, and takes part no more",
        _ => "is no longer running here",
    }
}

fn code(state: &State) -> u8 {
    match state.progress {
        // Nothing is left to do, nor to wait for.
        _ if state.until_next_start => DONE,
        Progress::Delivered => DONE,
        Progress::Waiting => WAITING,
        Progress::Failed => FAILED,
    }
}

/// Starts the helper so that it goes on when the terminal or this command goes away.
fn start_helper() -> Result<()> {
    let program = std::env::current_exe().context("finding this program")?;
    let mut command = Command::new(&program);
    command.arg("deliver").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command.spawn().with_context(|| format!("starting {} deliver", program.display())).map(drop)
}

/// One line on the terminal that tells what is waited for, from the first second on.
struct ProgressLine {
    begin: Instant,
    shown: bool,
}

impl ProgressLine {
    fn show(&mut self, line: std::fmt::Arguments) {
        let seconds = self.begin.elapsed().as_secs();
        if seconds >= 1 && io::stderr().is_terminal() {
            let _nobody_reads = write!(io::stderr(), "\r\x1b[K{seconds} s: {}", vm::on_one_line(&line.to_string()));
            self.shown = true;
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _nobody_reads = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_libvirt_itself_has_written_down_tells_that_no_vm_runs() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::new(root.path().to_owned(), "host".to_owned());
        let no_vm = |uri: Option<&str>| runs_no_vm(&host, &Config { uri: uri.map(str::to_owned), ..Config::default() });
        assert!(!no_vm(None), "it has not run yet, or elsewhere");
        let dir = root.path().join("run/libvirt/qemu");
        file::make_dir(&dir, 0o755).unwrap();
        file::replace_text(&dir.join("driver.pid"), "1").unwrap();
        assert!(no_vm(None) && no_vm(Some("qemu:///system")));
        assert!(!no_vm(Some("xen:///system")) && !no_vm(Some("qemu+unix:///system?socket=/x")));
        file::replace_text(&dir.join("web.xml"), "").unwrap();
        assert!(!no_vm(None));
    }
}
