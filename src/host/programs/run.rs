//! Runs the executables in `facts.d`: as a child with a clean environment and no terminal, for a limited time, with a
//! limited output. A program that fails keeps its last good result.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, setsid};

use super::ProgramFacts;
use crate::context::disc::facts::{self, Facts};
use crate::context::uuid::Uuid;
use crate::host::config::Limits;
use crate::host::paths::Host;
use crate::host::vm::Vm;
use crate::host::vm::results::Results;

/// How much of a failing program's complaint is kept, in bytes.
const MAX_COMPLAINT: usize = 500;

/// Runs programs for one VM, and remembers their results.
pub struct Runner<'a> {
    name: &'a str,
    uuid: &'a Uuid,
    limits: &'a Limits,
    results: Results,
    warnings: Vec<String>,
}

impl<'a> Runner<'a> {
    /// A runner for the VM called `name`.
    ///
    /// # Errors
    /// When the last results cannot be read.
    pub fn new(host: &'a Host, name: &'a str, uuid: &'a Uuid, limits: &'a Limits) -> Result<Runner<'a>> {
        Ok(Runner { name, uuid, limits, results: Results::of(host, uuid)?, warnings: Vec::new() })
    }

    /// Writes the results down for the hook, as those of `vm`; gives what went wrong, and what is used instead.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn remember(self, vm: &Vm) -> Result<Vec<String>> {
        vm.remember(&self.results)?;
        Ok(self.warnings)
    }

    /// What went wrong, and what is used instead.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn run(&self, program: &Path) -> Result<Facts> {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C");
        command.env("VIRT_RECONTEXT_DOMAIN_NAME", self.name).env("VIRT_RECONTEXT_DOMAIN_UUID", self.uuid.to_string());
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // SAFETY: setsid is a plain system call, allowed between fork and exec. It takes the terminal away and makes a
        // process group, so that the program's own children end with it.
        unsafe { command.pre_exec(|| setsid().map(drop).map_err(io::Error::from)) };
        let mut child = command.spawn().context("starting it")?;
        let group = Pid::from_raw(i32::try_from(child.id())?);
        let outcome = self.attend(&mut child);
        // Whatever it left running; of a group that is gone nothing is left.
        let _gone_already = killpg(group, Signal::SIGKILL);
        let _reaped = child.wait();
        facts::from_json(&String::from_utf8(outcome?).context("what it printed is not UTF-8")?)
    }

    /// What the child prints until its end.
    fn attend(&self, child: &mut Child) -> Result<Vec<u8>> {
        let end = Instant::now() + self.limits.program_time;
        let max = usize::try_from(self.limits.program_output).unwrap_or(usize::MAX);
        let stdout = OwnedFd::from(child.stdout.take().context("its output is not there")?);
        let stderr = OwnedFd::from(child.stderr.take().context("its error output is not there")?);
        // One byte more than is allowed tells that there was more.
        let mut streams = [Stream::new(stdout, max.saturating_add(1)), Stream::new(stderr, MAX_COMPLAINT)];
        loop {
            let too_slow =
                || format!("it took longer than limits.program_time = {} s", self.limits.program_time.as_secs());
            let left = end.checked_duration_since(Instant::now()).with_context(too_slow)?;
            if !listen(&mut streams, left)? {
                break;
            }
            let [out, _] = &streams;
            ensure!(out.said.len() <= max, "it printed more than limits.program_output = {max} bytes");
        }
        let status = loop {
            match child.try_wait().context("waiting for its end")? {
                Some(status) => break status,
                None if Instant::now() >= end => bail!("it closed its output and did not end"),
                None => sleep(Duration::from_millis(1)),
            }
        };
        let [out, complaint] = streams;
        ensure!(status.success(), "it failed ({status}): {}", complaint.line());
        Ok(out.said)
    }
}

impl ProgramFacts for Runner<'_> {
    fn facts_of(&mut self, program: &Path) -> Result<Facts> {
        let shown = program.display();
        match self.run(program).with_context(|| format!("running {shown}")) {
            Ok(facts) => {
                self.results.note(program, facts.clone());
                Ok(facts)
            }
            Err(error) => {
                let (last, age) = self.results.last(program).ok_or_else(|| anyhow!("{error:#}"))?;
                self.warnings.push(format!("{error:#}; its facts from {age} s ago are used"));
                Ok(last.clone())
            }
        }
    }
}

/// One of a child's outputs.
struct Stream {
    from: Option<File>,
    said: Vec<u8>,
    /// No more than this is kept.
    max: usize,
}

impl Stream {
    fn new(from: OwnedFd, max: usize) -> Stream {
        Stream { from: Some(File::from(from)), said: Vec::new(), max }
    }

    fn take(&mut self, more: &[u8]) {
        let room = self.max.saturating_sub(self.said.len()).min(more.len());
        self.said.extend(more.iter().take(room));
    }

    /// What was said, as one line.
    fn line(&self) -> String {
        String::from_utf8_lossy(&self.said).split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// Waits until one of the streams has something, and takes it; `false` when all have ended.
fn listen(streams: &mut [Stream], left: Duration) -> Result<bool> {
    let mut open: Vec<PollFd> = streams
        .iter()
        .filter_map(|stream| stream.from.as_ref())
        .map(|from| PollFd::new(from.as_fd(), PollFlags::POLLIN))
        .collect();
    if open.is_empty() {
        return Ok(false);
    }
    match poll(&mut open, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error).context("waiting for its output"),
    }
    let mut ready = open.iter().map(|fd| fd.any().unwrap_or(false)).collect::<Vec<_>>().into_iter();
    for stream in streams.iter_mut().filter(|stream| stream.from.is_some()) {
        if ready.next() != Some(true) {
            continue;
        }
        let Some(from) = &mut stream.from else { continue };
        let mut chunk = [0; 1 << 14];
        let read = from.read(&mut chunk).context("reading its output")?;
        match chunk.get(..read) {
            None | Some([]) => stream.from = None,
            Some(more) => stream.take(more),
        }
    }
    Ok(true)
}
