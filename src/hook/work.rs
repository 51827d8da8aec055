//! The work of one hook call, done in the supervised child: it reads, decides, and carries out.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::Result;

use super::carry_out::{Afterwards, CarryOut, is_only_early, is_refused};
use super::decision::{Decision, Look};
use super::operation::{HookCall, Operation};
use super::reply::{Reply, policy};
use super::supervise::MEMORY;
use super::{arrive, detach, fallback, gone, prepare, started};
use crate::context::disc::marker::Reason;
use crate::context::domain::Domain;
use crate::host::child::limit_memory;
use crate::host::config::{Config, OnError};
use crate::host::log::Log;
use crate::host::paths::Host;
use crate::host::vm::job::Job;
use crate::host::vm::state::State;
use crate::host::vm::{Vm, image};

/// Does the work of `call` and writes the reply to `out`. Every failure ends in the log, and in a reply with which the
/// VM goes on, unless the administrator wants a refusal.
pub(super) fn work(host: &Host, call: &HookCall, xml: &str, out: &mut File) {
    let mut log = Log::open(host);
    let mut afterwards = Afterwards::default();
    let read = if call.operation.row().needs_config { Config::load(host) } else { Ok(Config::default()) };
    let (config, broken) = match read {
        Ok(config) => (config, None),
        Err(error) => (Config::default(), Some(error)),
    };
    // What the parent does if the work does not come to its end. That the VM is to go on need not be told: it does, and to
    // wake the parent costs both of us time.
    let policy_written = config.on_error == OnError::Refuse && out.write_all(&policy(config.on_error)).is_ok();
    if broken.is_none() {
        // The files and the answer, twice over.
        let _as_it_was = limit_memory(MEMORY.saturating_add(config.limits.disc_size.saturating_mul(2)));
    }
    let (domain, done) = match Domain::read(xml) {
        Err(error) => (None, Err(error)),
        Ok(domain) if !domain.takes_part() => (None, Ok(Reply::Nothing)),
        Ok(domain) => {
            let to_do = CarryOut { host, config: &config, operation: call.operation, domain: &domain };
            let done = handle(&to_do, broken, &mut afterwards);
            (Some(domain), done)
        }
    };
    let reply = done.unwrap_or_else(|error| {
        let refuse = is_refused(config.on_error, call.operation, &error);
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
        let fallen_back = domain.as_ref().map(|domain| fallback::fall_back(host, &config, call.operation, domain));
        fallen_back.unwrap_or(Ok(Reply::Nothing)).unwrap_or_else(|error| {
            log.error(format_args!("{}: {}: falling back: {error:#}", call.domain, call.operation));
            Reply::Nothing
        })
    });
    let first = if policy_written { Vec::new() } else { policy(OnError::Continue).to_vec() };
    let _parent_gone = out.write_all(&reply.encode(&first));
    if let Some(line) = afterwards.news {
        log.info(line);
    }
    // Already here, because libvirt may refuse the VM after this call and never call us again: the helper then removes what
    // we have made for it.
    let waits = |domain: Domain| Job::of(host, &domain.uuid).is_ok_and(|job| job.is_some());
    if afterwards.helper && domain.is_some_and(waits) {
        // `started` tries again, and tells the reason if it cannot be started then either.
        let _told_later = detach::start_helper(host);
    }
}

/// Decides what to do about a VM that takes part, and does it.
fn handle(to_do: &CarryOut, broken: Option<anyhow::Error>, afterwards: &mut Afterwards) -> Result<Reply> {
    let CarryOut { host, config, operation, domain } = *to_do;
    let row = operation.row();
    let without = match (broken, row.reason) {
        (None, _) => None,
        (Some(error), Some(reason @ (Reason::Migrate | Reason::Restore))) => Some((error, reason)),
        (Some(error), _) => {
            if operation == Operation::Prepare && State::known(host, &domain.uuid)?.is_some_and(|state| state.left) {
                Vm::hold(host, &domain.uuid)?.is_back()?;
            }
            return Err(error);
        }
    };
    let held = if row.holds { Some(Vm::hold(host, &domain.uuid)?) } else { None };
    let decision = match without {
        Some((error, reason)) => arrive::without_configuration(format!("{error:#}"), reason),
        None => decide(operation, domain, config, &OnThisHost { host, domain })?,
    };
    to_do.carry_out(decision, held, afterwards)
}

fn decide<'d>(operation: Operation, domain: &'d Domain, config: &Config, look: &impl Look) -> Result<Decision<'d>> {
    match operation {
        Operation::Prepare => prepare::decide(domain, config, look),
        Operation::Migrate => Ok(arrive::decide(domain, config, Reason::Migrate)),
        Operation::Restore => Ok(arrive::decide(domain, config, Reason::Restore)),
        Operation::Started => started::started(domain, look),
        Operation::Reconnect => started::reconnect(look),
        Operation::Stopped => Ok(gone::stopped()),
        Operation::Release => Ok(gone::release(look)),
        Operation::Leave => Ok(gone::leave()),
        Operation::Revert => Ok(gone::revert()),
    }
}

/// What there is of a VM on this host.
struct OnThisHost<'a> {
    host: &'a Host,
    domain: &'a Domain<'a>,
}

impl Look for OnThisHost<'_> {
    fn job(&self) -> Result<Option<Job>> {
        Job::of(self.host, &self.domain.uuid)
    }

    fn state(&self) -> Result<Option<State>> {
        State::of(self.host, &self.domain.uuid)
    }

    fn is_there(&self, path: &Path) -> bool {
        image::exists(self.host, path)
    }

    fn other_at(&self, path: &Path) -> Result<Option<String>> {
        let is_there = |other: &State| other.uuid != self.domain.uuid && other.image.as_deref() == Some(path);
        Ok(State::all(self.host)?.into_iter().find(is_there).map(|other| other.name))
    }

    fn has_snapshots(&self) -> bool {
        self.host.has_snapshots(&self.domain.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::domain::driver::Driver;
    use crate::hook::decision::{DiscStep, HelperStep, JobStep};

    const UUID: &str = "6695eb01-f6a4-8304-79aa-97f2502e193f";

    /// A host of which a test says what there is.
    #[derive(Default)]
    struct Said {
        job: Option<Reason>,
        state: Option<&'static str>,
        image: bool,
        snapshots: bool,
    }

    impl Look for Said {
        fn job(&self) -> Result<Option<Job>> {
            Ok(self.job.map(|reason| Job::new(UUID.parse().unwrap(), "vm", Driver::Qemu, reason, false)))
        }

        fn state(&self) -> Result<Option<State>> {
            Ok(self.state.map(|progress| {
                let state = format!(
                    "{{\"uuid\":\"{UUID}\",\"name\":\"vm\",\"progress\":\"{progress}\",\"since\":1,\"reason\":\"start\",\
                     \"message\":\"\",\"image\":\"/var/lib/libvirt/recontext/{UUID}.iso\"}}"
                );
                serde_json::from_str(&state).unwrap()
            }))
        }

        fn is_there(&self, _: &Path) -> bool {
            self.image
        }

        fn other_at(&self, path: &Path) -> Result<Option<String>> {
            Ok(path.ends_with("shared.iso").then(|| "other".to_owned()))
        }

        fn has_snapshots(&self) -> bool {
            self.snapshots
        }
    }

    /// What is decided, in short: about the job, the disc, the answer, the helper.
    fn decided(operation: Operation, medium: &str, said: Said) -> String {
        let xml = format!(
            "<domain><name>vm</name><uuid>{UUID}</uuid><metadata><c:context xmlns:c='urn:virt-recontext:1' target='sda'/>\
             </metadata><devices><disk type='file' device='cdrom'><source file='{medium}'/>\
             <target dev='sda' bus='sata'/></disk></devices></domain>"
        );
        let domain = Domain::read(&xml).unwrap();
        let Decision { job, disc, answer, helper } = decide(operation, &domain, &Config::default(), &said).unwrap();
        let job = match job {
            JobStep::Keep => "keep".to_owned(),
            JobStep::Drop => "drop".to_owned(),
            JobStep::Note(reason) => format!("note {}", reason.as_str()),
        };
        let disc = match disc {
            DiscStep::Make { place, reason, .. } => format!("make {} for {}", place.display(), reason.as_str()),
            DiscStep::Fail { reason, because } => format!("none for {}: {because}", reason.as_str()),
            other => format!("{other:?}"),
        };
        let answer = answer.map_or(String::new(), |drive| format!(", answer {}", drive.target));
        let helper = match helper {
            HelperStep::No => "",
            HelperStep::Now => ", helper",
            HelperStep::Afterwards => ", helper afterwards",
        };
        format!("{job}; {disc}{answer}{helper}").replace(UUID, "UUID").replace("/var/lib/libvirt/recontext/", "")
    }

    #[test]
    fn each_operation_decides_by_what_there_is() {
        let ours = &format!("/var/lib/libvirt/recontext/{UUID}.iso");
        let (shared, foreign) = ("/var/lib/libvirt/recontext/shared.iso", "/srv/install.iso");
        let said = Said::default;
        let job = |reason| Said { job: Some(reason), ..said() };
        let state = |progress, image| Said { state: Some(progress), image, ..said() };
        for (operation, medium, said, wanted) in [
            (Operation::Prepare, ours.as_str(), said(), "drop; make UUID.iso for start"),
            (Operation::Prepare, ours, job(Reason::Refresh), "drop; make UUID.iso for start"),
            (Operation::Prepare, ours, job(Reason::Restore), "keep; make UUID.iso for restore"),
            (Operation::Prepare, foreign, said(), "drop; Keep"),
            (
                Operation::Prepare,
                shared,
                said(),
                "drop; none for start: shared.iso is the disc of the VM other; \"virt-recontext enable vm\" gives this VM \
                 its own",
            ),
            (
                Operation::Prepare,
                ours,
                Said { state: Some("waiting"), image: true, ..job(Reason::Migrate) },
                "keep; Keep",
            ),
            (
                Operation::Migrate,
                foreign,
                said(),
                "note migrate; make UUID.iso for migrate, answer sda, helper afterwards",
            ),
            (
                Operation::Restore,
                ours,
                said(),
                "note restore; make UUID.iso for restore, answer sda, helper afterwards",
            ),
            (Operation::Started, ours, state("delivered", true), "keep; Keep"),
            (Operation::Started, ours, state("delivered", false), "note start; Await, helper"),
            (Operation::Started, foreign, state("delivered", true), "note start; Await, helper"),
            (Operation::Started, ours, state("failed", false), "note start; Keep, helper"),
            (Operation::Started, ours, job(Reason::Migrate), "keep; Keep, helper"),
            (Operation::Reconnect, ours, said(), "keep; Keep"),
            (Operation::Reconnect, ours, job(Reason::Start), "keep; Keep, helper"),
            (Operation::Stopped, ours, job(Reason::Start), "drop; Keep"),
            (Operation::Release, ours, said(), "keep; Forget"),
            (Operation::Release, ours, Said { snapshots: true, ..said() }, "keep; Leave"),
            (Operation::Leave, ours, said(), "keep; Leave"),
            (Operation::Revert, ours, said(), "note restore; Leave, helper"),
        ] {
            assert_eq!(decided(operation, medium, said), wanted, "{operation:?} {medium}");
        }
    }

    #[test]
    fn an_arrival_without_a_fit_drive_notes_no_job() {
        let xml = format!(
            "<domain><name>vm</name><uuid>{UUID}</uuid><metadata><c:context xmlns:c='urn:virt-recontext:1' target='sdb'/>\
             </metadata></domain>"
        );
        let domain = Domain::read(&xml).unwrap();
        let decision = decide(Operation::Migrate, &domain, &Config::default(), &Said::default()).unwrap();
        assert_eq!((decision.job, decision.answer), (JobStep::Keep, None));
        assert!(matches!(decision.disc, DiscStep::Fail { reason: Reason::Migrate, .. }), "{:?}", decision.disc);
    }
}
