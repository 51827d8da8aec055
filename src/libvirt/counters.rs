//! What the hypervisor has counted of the drives of running VMs. Nobody waits long for a VM that is worked on or does not answer.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::connection::Libvirt;
use super::domain::Handle;
use super::raw;
use crate::context::uuid::Uuid;
use crate::host::receipt::Count;

/// Longest wait for the next answer. It is then taken that the VM hangs, and who stands behind it is asked for anew.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longest wait for all answers.
const ALL: Duration = Duration::from_secs(8);

/// A running VM's drive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    /// libvirt's number of this run.
    pub run: u32,
    pub count: Count,
}

/// What is counted of a drive of each of these VMs, as far as that is told in time.
///
/// # Errors
/// When nothing is told at all.
pub(crate) fn of(uri: &str, drives: &[(Uuid, String)]) -> Result<Vec<Option<Counted>>> {
    let mut told = vec![None; drives.len()];
    let (answer, answers) = channel();
    let ask = |from: usize| {
        let (uri, drives, answer) = (uri.to_owned(), drives.to_vec(), answer.clone());
        // Whoever waits for us gives up by himself.
        thread::spawn(move || {
            Libvirt::connect(&uri, || thread::sleep(Duration::MAX)).map(|libvirt| all(&libvirt, &drives, from, &answer))
        })
    };
    let (end, mut next, mut heard) = (Instant::now() + ALL, 0, false);
    ask(next);
    while next < drives.len() && Instant::now() < end {
        match answers.recv_timeout(PATIENCE) {
            Ok((at, counted)) => {
                heard = true;
                if let Some(place) = told.get_mut(at) {
                    *place = counted;
                }
                next = next.max(at + 1);
            }
            Err(RecvTimeoutError::Timeout) => {
                next += 1;
                ask(next);
            }
            // We hold the other end, too.
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    ensure!(heard || drives.is_empty(), "libvirt at {uri} does not tell what guests have read");
    Ok(told)
}

fn all(libvirt: &Libvirt, drives: &[(Uuid, String)], from: usize, answer: &Sender<(usize, Option<Counted>)>) {
    for (at, (uuid, target)) in drives.iter().enumerate().skip(from) {
        let counted = libvirt.domain(uuid).ok().and_then(|handle| handle.counted(target));
        if answer.send((at, counted)).is_err() {
            return;
        }
    }
}

impl Handle<'_> {
    /// What is counted of the drive `target`; `None` where that is not known now, as of a VM whose hypervisor somebody is just
    /// talking to.
    ///
    /// The drive alone is asked for: what libvirt tells of all of a VM's disks makes QEMU look at each of their files, and a file
    /// system that does not answer then holds the VM.
    pub(crate) fn counted(&self, target: &str) -> Option<Counted> {
        let (run, free) = (self.id()?, raw::monitor_is_free(&self.domain));
        let stats = free.then(|| self.domain.get_block_stats(target).ok()).flatten()?;
        let (requests, bytes) = (u64::try_from(stats.rd_req).ok()?, u64::try_from(stats.rd_bytes).ok()?);
        Some(Counted { run, count: Count { requests, bytes } })
    }
}
