//! Host-wide programs: what they printed, when, and whether they still do. Those of single VMs are run for each VM.

use super::report::Report;
use crate::host::results::Results;

pub(super) fn check(results: &Results, report: &mut Report) {
    for program in results.known() {
        let check = &mut report.check("programs");
        let line = results.line(program);
        match (results.failing(program), results.facts(program)) {
            (Some(_), None) => check.bad(format_args!("{line}; no disc is made"), "mend it, or remove it"),
            (Some(_), Some(_)) => check.warning(line, "mend it; the next refresh runs it again"),
            (None, _) if !results.lost(program).is_empty() => check
                .warning(line, "see why it prints less; if that is right: virt-recontext refresh --all --accept-loss"),
            (None, _) => check.good(line),
        }
    }
}
