//! This host's rules for VMs that come: are they understood, is what they name here, does one hide another?

use super::report::{Check, Report};
use crate::context::domain::driver::Driver;
use crate::context::domain::rules::{RuleFile, Whom};
use crate::host::judge::Strict;
use crate::host::paths::Host;
use crate::host::rules;

pub(super) fn check(host: &Host, driver: Driver, report: &mut Report) {
    let check = &mut report.check("rewrite");
    let dirs = match rules::dirs(host) {
        Ok(dirs) => dirs,
        Err(error) => return check.bad(format_args!("{error:#}; no rule counts"), "fix it"),
    };
    if driver == Driver::Xen && !dirs.is_empty() {
        check.warning("Xen's driver gives no XML of a VM that comes, so no rule counts here", "remove rewrite.d");
    }
    for dir in dirs {
        match rules::read_in(host, &dir, &mut Strict) {
            Ok(files) => look(host, &files, check),
            Err(error) => check.bad(
                format_args!("{error:#}; until that is mended VMs for which it is come as they are"),
                "mend it; see virt-recontext-rewrite(5)",
            ),
        }
    }
}

/// Looks at the rules of one directory.
fn look(host: &Host, files: &[RuleFile], check: &mut Check) {
    for file in files {
        let number = file.rules.len();
        let rules = if number == 1 { "1 rule".to_owned() } else { format!("{number} rules") };
        let whom = match file.vms {
            Whom::All => "all VMs that arrive or are restored, whether they take part or not",
            Whom::Enabled => "VMs that take part",
        };
        check.good(format_args!("{}: {rules} for {whom}", file.name));
        for (line, look) in file
            .looks()
            .into_iter()
            .filter(|(_, look)| rules::first_missing(host, std::slice::from_ref(look)).is_some())
        {
            let missing = rules::missing(&look);
            check.warning(
                format_args!(
                    "{}, line {line}: it gives {:?}, and this host has {missing}",
                    file.name,
                    look.what.display().to_string()
                ),
                "correct the value; where it is right all the same, must_exist = false",
            );
        }
    }
    let rules: Vec<_> = files.iter().flat_map(|file| file.rules.iter().map(move |rule| (file, rule))).collect();
    for (number, (file, rule)) in rules.iter().enumerate() {
        let mut before = rules.iter().take(number);
        if let Some((other, first)) = before.find(|(_, before)| before.hides(rule)) {
            check.warning(
                format_args!(
                    "{}, line {}: it is never asked, since {}, line {}, fits whatever it would fit",
                    file.name, rule.line, other.name, first.line
                ),
                "put it first, or give that one a condition",
            );
        }
    }
}
