//! This host's rules for VMs that come: are they understood, is what they name here, does one hide another, or change what
//! another one gives?

use std::ffi::OsStr;
use std::path::PathBuf;

use super::report::{Check, Report};
use crate::context::domain::driver::Driver;
use crate::context::domain::rules::{self as domain_rules, Again, Of, RuleFile, Then, Whom};
use crate::host::judge::Strict;
use crate::host::paths::Host;
use crate::host::rules;

/// So many files that are for all VMs are told by name.
const SHOWN: usize = 5;

pub(super) fn check(host: &Host, driver: Driver, report: &mut Report) {
    let check = &mut report.check("rewrite");
    let dirs = match rules::dirs(host) {
        Ok(dirs) => dirs,
        Err(error) => return check.bad(format_args!("{error:#}; no rule counts"), "fix it"),
    };
    if driver == Driver::Xen && !dirs.is_empty() {
        check.warning("Xen's driver gives no XML of a VM that comes, so no rule counts here", "remove rewrite.d");
    }
    let mut read: Vec<(PathBuf, Vec<RuleFile>)> = Vec::new();
    for dir in dirs {
        match rules::read_in(host, &dir, &mut Strict) {
            Ok(files) => read.push((dir, files)),
            Err(error) => check.bad(
                format_args!("{error:#}; until that is mended VMs for which it is come as they are"),
                "mend it; see virt-recontext-rewrite(5)",
            ),
        }
    }
    summary(&read.iter().flat_map(|(_, files)| files).collect::<Vec<_>>(), check);
    let of_host = |dir: &PathBuf| *dir == host.config_dir();
    let for_all: Vec<&RuleFile> =
        read.iter().filter(|(dir, _)| of_host(dir)).flat_map(|(_, files)| files.iter()).collect();
    for (dir, files) in &read {
        missing(host, files, check);
        hidden(&domain_rules::of(&files.iter().collect::<Vec<_>>()), check);
        let vm = dir.file_name().and_then(OsStr::to_str).filter(|_| !of_host(dir));
        changed_again(vm, files, &for_all, check);
    }
}

/// Tells in one line what there is, whom it is for, and what needs no rule.
fn summary(files: &[&RuleFile], check: &mut Check) {
    let number = files.iter().map(|file| file.rules.len()).sum();
    if number == 0 {
        return;
    }
    let all: Vec<&str> = files.iter().filter(|file| file.vms == Whom::All).map(|file| file.name.as_str()).collect();
    let place = match files {
        [only] => only.name.clone(),
        _ => format!("{} files", files.len()),
    };
    let whom = match all.len() {
        0 => "for VMs that take part".to_owned(),
        number if number == files.len() && number == 1 => {
            "vms = \"all\": for all that arrive or are restored, whether they take part or not".to_owned()
        }
        number => {
            let more = number.saturating_sub(SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let shown = all.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
            format!("for VMs that take part, and with vms = \"all\" for all that arrive or are restored: {shown}{more}")
        }
    };
    check.good(format_args!("{} in {place}, {whom}", counted(number, "rule", "rules")));
    let own = domain_rules::own_names(&domain_rules::of(files));
    if !own.is_empty() {
        let own: Vec<String> = own.into_iter().map(|(place, instead)| format!("{instead} for {place}")).collect();
        check.good(format_args!(
            "libvirt has names that are the same on every host, and need no rule: {}; see virt-recontext-rewrite(5), \
             WITHOUT RULES",
            own.join(", ")
        ));
    }
}

/// Tells what rules give that is not on this host.
fn missing(host: &Host, files: &[RuleFile], check: &mut Check) {
    for file in files {
        let is_missing = |look: &_| rules::first_missing(host, std::slice::from_ref(look)).is_some();
        for (line, look) in file.looks().into_iter().filter(|(_, look)| is_missing(look)) {
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
}

/// Tells which of the rules is never asked.
fn hidden(rules: &[Of], check: &mut Check) {
    for (number, later) in rules.iter().enumerate() {
        let mut before = rules.iter().take(number);
        if let Some(first) = before.find(|before| domain_rules::hides(**before, *later)) {
            check.warning(
                format_args!("{}: it is never asked, since {}, fits whatever it would fit", name(*later), name(*first)),
                "put it first, or give that one a condition",
            );
        }
    }
}

/// Tells which rules would change what rules give: those of `vm` also what those for all give, and the reverse.
fn changed_again(vm: Option<&str>, files: &[RuleFile], for_all: &[&RuleFile], check: &mut Check) {
    let own = files.iter();
    let rules = match vm {
        None => domain_rules::of(&own.collect::<Vec<_>>()),
        Some(_) => domain_rules::of(&own.chain(for_all.iter().copied()).collect::<Vec<_>>()),
    };
    let may_be_for = |(_, rule): &Of| vm.is_none_or(|vm| rule.may_be_for(vm));
    let rules: Vec<Of> = rules.into_iter().filter(may_be_for).collect();
    let is_own = |(file, _): Of| files.iter().any(|own| std::ptr::eq(own, file));
    for Again { by, of, values, then } in domain_rules::changed_again(&rules) {
        // What those for all do to each other is told once.
        if !is_own(by) && !is_own(of) {
            continue;
        }
        let Some((first, others)) = values.split_first() else { continue };
        let more = if others.is_empty() { String::new() } else { format!(" (and {} more like it)", others.len()) };
        let giver = if std::ptr::eq(by.1, of.1) {
            "which it gives itself".to_owned()
        } else {
            format!("which {} gives", name(of))
        };
        let (what, remedy) = match then {
            Then::Stays => (
                "so a VM that is restored here with that keeps it",
                "if that is meant, when.reason = \"migrate\" says so; if it is to stay at an arrival too, map it to itself first",
            ),
            Then::Changes => (
                "so a VM that was adapted and saved here is changed a second time when it is restored",
                "map that to itself first, or take when.reason out",
            ),
            Then::Refuses => (
                "so a VM that was adapted and saved here is refused when it is restored",
                "map that to itself first, or take when.reason out",
            ),
        };
        let verb = if then == Then::Refuses { "it refuses" } else { "it would change" };
        check.warning(format_args!("{}: {verb} {first:?}{more}, {giver}; {what}", name(by)), remedy);
    }
}

fn name((file, rule): Of) -> String {
    format!("{}, line {}", file.name, rule.line)
}

fn counted(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}
