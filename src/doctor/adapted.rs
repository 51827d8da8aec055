//! What this host's rules came to for the VMs that have come: were they applied, and is done what had to be done afterwards?

use super::report::Report;
use crate::host::paths::Host;
use crate::host::vm::job::Job;
use crate::host::vm::state::{RulesNote, State};
use crate::libvirt::domain::Situation;
use crate::libvirt::survey::Vm;

pub(super) fn check(host: &Host, vms: &[Vm], report: &mut Report) {
    for vm in vms.iter().filter(|vm| vm.situation != Situation::Gone) {
        // What cannot be read is told of the VM itself.
        let Some(note) = State::of(host, &vm.uuid).ok().flatten().and_then(|state| state.rules) else { continue };
        let RulesNote { fault, definition_trouble, links_trouble, links_down, .. } = &note;
        let check = &mut report.of_vm("rewrite", &vm.name);
        if !fault.is_empty() {
            let again = "mend the rules; they count when it next comes here";
            check.warning(format_args!("it runs as it came, since no rule was applied: {fault}"), again);
        }
        if !definition_trouble.is_empty() {
            check.warning(definition_trouble, format_args!("mend that, then: virt-recontext rewrite {}", vm.word()));
        }
        if !links_trouble.is_empty() {
            check.warning(links_trouble, "have the guest ask for an address anew");
        }
        if note.is_due() && !Job::of(host, &vm.uuid).is_ok_and(|job| job.is_some()) {
            let what = if links_down.is_empty() { "what rules have left to do" } else { "its link to be put up again" };
            check.bad(
                format_args!("nothing waits for {what}, as if its job had been removed"),
                format_args!("virt-recontext refresh {}", vm.word()),
            );
        }
    }
}
