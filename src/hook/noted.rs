//! What is written down of a VM that comes besides what is done about its disc: what rules did to it, and that links of it are to
//! be put up. A job that is theirs alone waits for what is due once the VM is here.

use super::adapt;
use super::operation::{HookCall, Operation};
use crate::context::disc::marker::Reason;
use crate::context::domain::Domain;
use crate::context::domain::driver::Driver;
use crate::context::domain::link_mark::{LINKS, marked};
use crate::context::domain::request::NAMESPACE;
use crate::host::log::Log;
use crate::host::paths::Host;
use crate::host::vm::Vm;
use crate::host::vm::job::Job;
use crate::host::vm::state::{About, RulesNote, State};

/// Writes down what the rules did, where what was done about the disc has not done so. Whether a job waits for the VM that is
/// theirs alone.
pub(super) fn rules(host: &Host, call: &HookCall, (note, xml): (Option<RulesNote>, &str), log: &mut Log) -> bool {
    let HookCall { domain: name, operation } = call;
    let Some(reason) = adapt::occasion(*operation) else { return false };
    // Of most VMs that come there is nothing to write down, and nothing to take back.
    if note.is_none() && xml.contains(NAMESPACE) {
        return false;
    }
    let noted = Domain::read(xml).and_then(|domain| {
        let Domain { name, uuid, machine, .. } = &domain;
        let known = State::known(host, uuid)?.and_then(|state| state.rules);
        // What was due when it was saved here is due still.
        let is_still_due = |known: &RulesNote| known.alone && reason == Reason::Restore && known.is_due();
        let Some(note) = note.or_else(|| known.clone().filter(is_still_due)) else {
            if known.is_some_and(|known| known.alone) {
                Vm::hold(host, uuid)?.forget()?;
            }
            return Ok(false);
        };
        let (is_due, is_noted) = (note.is_due(), domain.takes_part() && known.as_ref() == Some(&note));
        if is_noted && !is_due {
            return Ok(false);
        }
        let vm = Vm::hold(host, uuid)?;
        if !is_noted {
            vm.rules_did(About::coming(name, machine.driver(), reason), note, domain.takes_part())?;
        }
        // That of its disc does for the rules as well.
        if !is_due || Job::of(host, uuid)?.is_some_and(|job| !job.rules_alone) {
            return Ok(false);
        }
        vm.note(&Job::new(uuid.clone(), name, machine.driver(), reason, false).for_rules_alone())?;
        Ok(true)
    });
    noted.unwrap_or_else(|error| {
        log.warning(format_args!("{name}: {operation}: noting what the rules did: {error:#}"));
        false
    })
}

/// Writes down that links of a VM that goes on here are to be put up, which a helper had taken down for a moment just when it
/// was migrated, saved or its snapshot taken. Whether a job waits for it that is theirs alone.
pub(super) fn links(host: &Host, call: &HookCall, xml: &str, log: &mut Log) -> bool {
    let HookCall { domain: name, operation } = call;
    let reason = match operation {
        Operation::Started => Reason::Restore,
        _ => match adapt::occasion(*operation) {
            Some(reason) => reason,
            None => return false,
        },
    };
    if !xml.contains(LINKS) {
        return false;
    }
    let noted = marked(xml).and_then(|macs| {
        let domain = Domain::read(xml)?;
        let Domain { name, uuid, machine, .. } = &domain;
        if macs.is_empty() || machine.driver() != Driver::Qemu {
            return Ok(false);
        }
        let vm = Vm::hold(host, uuid)?;
        let known = vm.rules()?;
        let links_down = macs.clone();
        if known.as_ref().is_none_or(|known| known.links_down != macs) {
            let note = RulesNote { links_down, ..known.unwrap_or_default() };
            vm.rules_did(About::coming(name, machine.driver(), reason), note, domain.takes_part())?;
        }
        // If it waits already, what there is to do at `started` is done.
        let waits = Job::of(host, uuid)?.is_some();
        if !waits {
            vm.note(&Job::new(uuid.clone(), name, machine.driver(), reason, false).for_rules_alone())?;
        }
        Ok(!waits || *operation != Operation::Started)
    });
    noted.unwrap_or_else(|error| {
        log.warning(format_args!("{name}: {operation}: noting that its link is to be put up: {error:#}"));
        false
    })
}
