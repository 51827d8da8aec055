//! What the hypervisor has counted of the drives of running VMs. Nobody waits for a VM that is worked on or does not answer.

use std::collections::HashMap;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};

use super::connection::Libvirt;
use super::domain::Handle;
use super::raw::{self, Counted};
use crate::context::uuid::Uuid;
use crate::host::receipt::Count;

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often they are asked for. libvirt answers at once about a VM whose hypervisor an earlier question waits for, and about the
/// others; so each question finds one more that hangs.
const QUESTIONS: usize = 4;

/// A running VM's drives.
#[derive(Debug, Default)]
pub(crate) struct Drives {
    /// libvirt's number of this run.
    pub run: u32,
    counts: HashMap<String, Count>,
}

impl Drives {
    /// What is counted of the drive `target`, if that is known.
    pub(crate) fn count(&self, target: &str) -> Option<Count> {
        self.counts.get(target).copied()
    }
}

/// The drives of these VMs, as far as they run here. Of one that is worked on, or hangs, no drive is known.
///
/// # Errors
/// When the daemon does not answer within 4 seconds.
pub(crate) fn of(uri: &str, vms: &[Uuid]) -> Result<HashMap<Uuid, Drives>> {
    for _ in 0..QUESTIONS {
        let (answer, answers) = channel();
        let (uri, vms) = (uri.to_owned(), vms.to_owned());
        thread::spawn(move || {
            let wait = || thread::sleep(Duration::MAX);
            let counted = Libvirt::connect(&uri, wait).and_then(|libvirt| ask(&libvirt, &vms));
            let _given_up = answer.send(counted);
        });
        if let Ok(counted) = answers.recv_timeout(PATIENCE) {
            return Ok(counted?.into_iter().map(|counted| (counted.uuid.clone(), drives(counted))).collect());
        }
    }
    bail!("libvirt at {uri} did not tell within {} s what guests have read", PATIENCE.as_secs() * QUESTIONS as u64)
}

fn ask(libvirt: &Libvirt, vms: &[Uuid]) -> Result<Vec<Counted>> {
    // One that has ended meanwhile has read nothing.
    let handles: Vec<Handle> = vms.iter().filter_map(|uuid| libvirt.domain(uuid).ok()).collect();
    let domains: Vec<_> = handles.iter().map(|handle| &handle.domain).collect();
    Ok(raw::counted(&domains)?)
}

impl Handle<'_> {
    /// What is counted of the drive `target`; `None` where that is not known now.
    pub(crate) fn count(&self, target: &str) -> Option<Count> {
        let counted = raw::counted(&[&self.domain]).ok()?;
        counted.into_iter().next().and_then(|counted| drives(counted).count(target))
    }
}

fn drives(counted: Counted) -> Drives {
    let Counted { run, numbers, texts, .. } = counted;
    let numbers: HashMap<String, u64> = numbers.into_iter().collect();
    let count = |drive: &str| {
        let number = |what| numbers.get(&format!("{drive}.rd.{what}")).copied();
        Some(Count { requests: number("reqs")?, bytes: number("bytes")? })
    };
    let named = texts.iter().filter_map(|(name, target)| Some((target.clone(), count(name.strip_suffix(".name")?)?)));
    Drives { run, counts: named.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_is_known_by_its_name_and_one_that_is_not_counted_is_not_known() {
        let number = |name: &str, value| (name.to_owned(), value);
        let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let drives = drives(Counted {
            uuid: "6695eb01-f6a4-8304-79aa-97f2502e193f".parse().unwrap(),
            run: 7,
            numbers: vec![number("block.count", 2), number("block.1.rd.reqs", 3), number("block.1.rd.bytes", 6144)],
            texts: vec![text("block.0.name", "vda"), text("block.1.name", "sda"), text("block.1.path", "/a.iso")],
        });
        assert_eq!((drives.run, drives.count("sda")), (7, Some(Count { requests: 3, bytes: 6144 })));
        assert_eq!((drives.count("vda"), drives.count("/a.iso")), (None, None));
    }
}
