//! The work of one hook call, done in the supervised child: it reads, decides, and carries out.

use std::fs::File;
use std::io::Write;

use anyhow::Result;

use super::adapt::{self, Adapted};
use super::carry_out::{Afterwards, CarryOut, is_only_early, is_refused};
use super::decision::Decision;
use super::operation::{HookCall, Operation};
use super::reply::{self, Reply, Wish};
use super::supervise::MEMORY;
use super::{arrive, detach, fallback, gone, noted, prepare, started};
use crate::context::disc::marker::Reason;
use crate::context::domain::request::NAMESPACE;
use crate::context::domain::{Domain, WithoutXml};
use crate::context::uuid::Uuid;
use crate::host::child::limit_memory;
use crate::host::config::Config;
use crate::host::log::{Event, Log, Subject};
use crate::host::paths::Host;
use crate::host::select::selected;
use crate::host::vm::Vm;
use crate::host::vm::image::Identity;
use crate::host::vm::job::Job;
use crate::host::vm::state::{RulesNote, State};

/// Does the work of `call` and writes the reply to `out`. The rules are applied first, unless it is known what they have
/// come to. Every failure ends in the log, and in a reply with which the
/// VM goes on, unless the administrator wants a refusal.
pub(super) fn work(host: &Host, call: &HookCall, xml: &str, adapted: Option<Adapted>, out: &mut File) {
    let subject = Subject { reason: adapt::occasion(call.operation), ..Subject::called(&call.domain) };
    let mut log = Log::of(host, subject);
    let mut afterwards = Afterwards::default();
    let read = if call.operation.row().needs_config { Config::load(host) } else { Ok(Config::default()) };
    let (config, broken) = read.map_or_else(|error| (Config::default(), Some(error)), |config| (config, None));
    // What the parent does if the work does not come to its end. That the VM is to go on need not be told: it does, and to
    // wake the parent costs both of us time.
    // Of a VM that takes no part, and is here for rules alone, there is no disc that could be missing.
    let wish = if xml.contains(NAMESPACE) { Wish::of(config.on_error) } else { Wish::GoOn };
    if wish != Wish::GoOn {
        let _parent_gone = reply::wish(out, wish);
    }
    let mut work = Work { host, config: &config, call, log: &mut log };
    // What rules have left in memory is not taken from the disc's.
    let ((adapted, domain), memory) = match adapted {
        Some(adapted) => ((adapted, None), MEMORY),
        None => (work.adapt(xml, out), MEMORY.saturating_mul(2)),
    };
    if broken.is_none() {
        // The files and the answer, twice over.
        let _as_it_was = limit_memory(memory.saturating_add(config.limits.disc_size.saturating_mul(2)));
    }
    let note = adapted.note();
    let (reply, taking_part) = match &adapted {
        Adapted::Refused(error) => (Reply::Refuse(format!("{error:#}")), None),
        _ => {
            let xml = if let Adapted::Applied { xml: Some(xml), .. } = &adapted { xml } else { xml };
            let domain = domain.map_or_else(|| Domain::read(xml), |domain| Ok(domain.with(xml)));
            work.serve((domain, note.as_ref()), broken, &mut afterwards)
        }
    };
    let is_refused = matches!(reply, Reply::Refuse(_));
    let _parent_gone = out.write_all(&reply.encode());
    work.tell(&adapted, is_refused);
    let rules_wait = !is_refused && noted::rules(host, call, (note, xml), &mut log);
    let links_wait = !is_refused && noted::links(host, call, xml, &mut log);
    if let Some((line, edition)) = afterwards.news {
        log.about(log.subject.clone().disc(edition)).info(line);
    }
    if let Some(line) = afterwards.warning {
        log.warning(format_args!("{}: {}: {line}", call.domain, call.operation));
    }
    for line in &config.unknown {
        log.warning(format_args!("{}: {}: {line}", call.domain, call.operation));
    }
    // Already here, because libvirt may refuse the VM after this call and never call us again: the helper then removes what
    // we have made for it.
    let waits = |uuid: Uuid| Job::of(host, &uuid).is_ok_and(|job| job.is_some());
    if rules_wait || links_wait || (afterwards.helper && taking_part.is_some_and(waits)) {
        // `started` tries again, and tells the reason if it cannot be started then either.
        let _told_later = detach::start_helper(host);
    }
}

struct Work<'a> {
    host: &'a Host,
    config: &'a Config,
    call: &'a HookCall,
    log: &'a mut Log,
}

impl Work<'_> {
    /// Applies this host's rules, if any are for VMs that come like this one.
    fn adapt(&mut self, xml: &str, out: &mut File) -> (Adapted, Option<WithoutXml>) {
        let Some(reason) = adapt::occasion(self.call.operation) else { return (Adapted::AsItCame, None) };
        let (adapted, domain) = adapt::adapt(self.host, self.config, reason, xml, out);
        let adapted = match adapted {
            Adapted::Applied { xml, note } if note.definition_due => {
                let defined_before = Identity::of_definition(self.host, &self.call.domain);
                Adapted::Applied { xml, note: Box::new(RulesNote { defined_before, ..*note }) }
            }
            adapted => adapted,
        };
        (adapted, domain)
    }

    /// Does what there is to do about the VM's disc; gives the VM if it takes part.
    fn serve(
        &mut self,
        (domain, rules): (Result<Domain>, Option<&RulesNote>),
        broken: Option<anyhow::Error>,
        afterwards: &mut Afterwards,
    ) -> (Reply, Option<Uuid>) {
        let Work { host, config, call, log } = self;
        let (domain, done) = match domain {
            Err(error) => (None, Err(error)),
            Ok(domain) => {
                log.subject.uuid = Some(domain.uuid.clone());
                let to_do = CarryOut { host, config, operation: call.operation, domain: &domain, rules };
                match domain.takes_part() {
                    true => {
                        let done = handle(&to_do, broken, afterwards);
                        (Some(domain), done)
                    }
                    false => (None, select(&to_do, afterwards)),
                }
            }
        };
        let reply = done.unwrap_or_else(|error| {
            let refuse = is_refused(config.on_error, call.operation, &error);
            let so = if refuse { "refused, as on_error wants" } else { "the VM goes on" };
            let line = format!("{}: {}: {error:#}; {so}", call.domain, call.operation);
            if is_only_early(&error) {
                log.info(line)
            } else {
                log.event(if refuse { Event::Refused } else { Event::HookFailed }).error(line)
            }
            if refuse {
                return Reply::Refuse(format!("{error:#}"));
            }
            let fallen_back = domain.as_ref().map(|domain| fallback::fall_back(host, config, call.operation, domain));
            fallen_back.unwrap_or(Ok(Reply::Nothing)).unwrap_or_else(|error| {
                log.error(format_args!("{}: {}: falling back: {error:#}", call.domain, call.operation));
                Reply::Nothing
            })
        });
        (reply, domain.map(|domain| domain.uuid))
    }

    /// Tells the log what the rules have come to.
    fn tell(&mut self, adapted: &Adapted, is_refused: bool) {
        let HookCall { domain: name, operation } = self.call;
        match adapted {
            Adapted::Applied { note, .. } if !is_refused => {
                let what = if note.changed.is_empty() { "rules" } else { "rewritten" };
                self.log.info(format_args!("{name}: {operation}: {what}: {}", note.done()));
            }
            Adapted::AsItCame | Adapted::Applied { .. } => {}
            Adapted::Dropped(error) => {
                let line = format_args!("{name}: {operation}: no rule was applied: {error:#}; the VM goes on");
                self.log.event(Event::RulesDropped).error(line);
            }
            Adapted::Refused(error) => {
                let line = format_args!("{name}: {operation}: {error:#}; refused, as rewrite.d wants");
                self.log.event(Event::Refused).error(line);
            }
        }
    }
}

/// Has the helper let a VM take part that has no element of ours, if it starts here and a rule selects it; and do for it what
/// rules of rewrite.d have left to do.
fn select(to_do: &CarryOut, afterwards: &mut Afterwards) -> Result<Reply> {
    let CarryOut { host, config, operation, domain, .. } = *to_do;
    match operation {
        Operation::Started | Operation::Reconnect => {}
        _ => return Ok(Reply::Nothing),
    }
    if operation == Operation::Started && selected(host, config, domain)?.is_some() {
        return to_do.carry_out(started::selected(), None, afterwards);
    }
    to_do.carry_out(started::reconnect(host, domain)?, None, afterwards)
}

/// Decides what to do about a VM that takes part, and does it.
fn handle(to_do: &CarryOut, broken: Option<anyhow::Error>, afterwards: &mut Afterwards) -> Result<Reply> {
    let CarryOut { host, config, operation, domain, .. } = *to_do;
    let (decision, held) = match (broken, operation) {
        (None, _) => {
            let held = operation.row().holds.then(|| Vm::hold(host, &domain.uuid)).transpose()?;
            (decide(operation, host, config, domain)?, held)
        }
        (Some(error), Operation::Migrate) => (arrive::without_configuration(&error, Reason::Migrate), None),
        (Some(error), Operation::Restore) => (arrive::without_configuration(&error, Reason::Restore), None),
        (Some(error), _) => {
            if operation == Operation::Prepare && State::known(host, &domain.uuid)?.is_some_and(|state| state.left) {
                Vm::hold(host, &domain.uuid)?.is_back()?;
            }
            return Err(error);
        }
    };
    to_do.carry_out(decision, held, afterwards)
}

fn decide<'d>(operation: Operation, host: &Host, config: &Config, domain: &'d Domain) -> Result<Decision<'d>> {
    match operation {
        Operation::Prepare => prepare::decide(host, config, domain),
        Operation::Migrate => Ok(arrive::decide(config, domain, Reason::Migrate)),
        Operation::Restore => Ok(arrive::decide(config, domain, Reason::Restore)),
        Operation::Started => started::started(host, domain),
        Operation::Reconnect => started::reconnect(host, domain),
        Operation::Stopped => Ok(gone::stopped()),
        Operation::Release => Ok(gone::release(host, domain)),
        Operation::Leave => Ok(gone::leave()),
        Operation::Revert => Ok(gone::revert()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use tempfile::{TempDir, tempdir};

    use super::*;
    use crate::context::domain::driver::Driver;
    use crate::context::uuid::Uuid;
    use crate::hook::decision::{DiscStep, HelperStep, JobStep};

    const UUID: &str = "6695eb01-f6a4-8304-79aa-97f2502e193f";
    const OTHER: &str = "11111111-2222-4333-8444-555555555555";

    /// A host of which a test says what there is.
    #[derive(Default)]
    struct Said {
        job: Option<Reason>,
        state: Option<&'static str>,
        image: bool,
        snapshots: bool,
    }

    impl Said {
        /// A host on which there is that, and another VM's disc in `shared.iso`.
        fn host(&self) -> (TempDir, Host) {
            let root = tempdir().unwrap();
            let host = Host::new(root.path().to_owned(), "host".to_owned());
            let write = |path: &Path, text: &str| {
                let path = host.under_root(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            };
            let state = |uuid: &str, name: &str, progress: &str, image: &str| {
                let state = format!(
                    "{{\"uuid\":\"{uuid}\",\"name\":\"{name}\",\"progress\":\"{progress}\",\"since\":1,\"reason\":\"start\",\
                     \"message\":\"\",\"image\":\"/var/lib/libvirt/recontext/{image}.iso\"}}"
                );
                write(&host.seen_inside(&host.state_file(&uuid.parse().unwrap())), &state);
            };
            let uuid: Uuid = UUID.parse().unwrap();
            if let Some(reason) = self.job {
                let job = Job::new(uuid.clone(), "vm", Driver::Qemu, reason, false);
                write(&host.seen_inside(&host.job_file(&uuid)), &serde_json::to_string(&job).unwrap());
            }
            if let Some(progress) = self.state {
                state(UUID, "vm", progress, UUID);
            }
            state(OTHER, "other", "delivered", "shared");
            if self.image {
                write(Path::new(&format!("/var/lib/libvirt/recontext/{UUID}.iso")), "disc");
            }
            if self.snapshots {
                write(Path::new("/var/lib/libvirt/qemu/snapshot/vm/one.xml"), "<domainsnapshot/>");
            }
            (root, host)
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
        let (_root, host) = said.host();
        let Decision { job, disc, answer, helper } = decide(operation, &host, &Config::default(), &domain).unwrap();
        let job = match job {
            JobStep::Keep => "keep".to_owned(),
            JobStep::Drop => "drop".to_owned(),
            JobStep::Note(reason) => format!("note {reason}"),
        };
        let disc = match disc {
            DiscStep::Make { place, reason, .. } => format!("make {} for {reason}", place.display()),
            DiscStep::Fail { reason, because } => format!("none for {reason}: {because}"),
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
        let awaited = "note start; Await(\"the drive holds no context disc yet\"), helper";
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
            (Operation::Started, ours, state("delivered", false), awaited),
            (Operation::Started, foreign, state("delivered", true), awaited),
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
        let (_root, host) = Said::default().host();
        let decision = decide(Operation::Migrate, &host, &Config::default(), &domain).unwrap();
        assert_eq!((decision.job, decision.answer), (JobStep::Keep, None));
        assert!(matches!(decision.disc, DiscStep::Fail { reason: Reason::Migrate, .. }), "{:?}", decision.disc);
    }
}
