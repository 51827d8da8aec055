//! The rules of `[[select]]`: which VMs each of them means.

use super::report::Report;
use crate::context::domain::Domain;
use crate::context::domain::driver::Driver;
use crate::context::domain::select::{Choice, Number};
use crate::host::config::Config;
use crate::host::paths::Host;
use crate::host::select::is_taken_out;
use crate::libvirt::survey::Vm;

/// So many VMs of a rule are told by name.
const SHOWN: usize = 5;

pub(super) fn check(host: &Host, config: &Config, vms: &[Vm], report: &mut Report) {
    if config.select.is_empty() {
        return;
    }
    let check = &mut report.check("select");
    if config.driver(host) == Driver::Xen {
        check.warning("[[select]] selects no VM of Xen, which takes no new drive while it runs", "remove it");
        return;
    }
    let fitting: Vec<Fitting> = vms.iter().filter_map(|vm| Fitting::of(config, vm)).collect();
    for (number, rule) in config.select.numbered() {
        let (out, rest): (Vec<_>, Vec<_>) = fitting
            .iter()
            .filter(|fitting| fitting.number == number)
            .partition(|fitting| is_taken_out(host, &fitting.vm.uuid));
        let (own, its): (Vec<&Fitting>, Vec<&Fitting>) = rest.into_iter().partition(|fitting| fitting.is_enabled);
        let verb = if rule.drive == Choice::None { "leaves out" } else { "selects" };
        let mut line = format!("{number} {verb} {}", names(&its));
        if its.is_empty() && out.is_empty() && own.is_empty() {
            line += "; \"virsh dumpxml\" shows the names, titles and namespaces of VMs";
        }
        if !out.is_empty() {
            line += &format!("; disable has taken out {}", names(&out));
        }
        if !own.is_empty() {
            line += &format!("; it does not count for {}, enabled by hand", names(&own));
        }
        check.good(line);
    }
}

/// A VM that a rule fits.
struct Fitting<'v> {
    number: Number,
    vm: &'v Vm,
    /// Whether its own definition asks for context, against which no rule counts.
    is_enabled: bool,
}

impl<'v> Fitting<'v> {
    fn of(config: &Config, vm: &'v Vm) -> Option<Fitting<'v>> {
        let [live, definition] = [&vm.live, &vm.definition].map(|xml| Domain::read(xml.as_deref()?).ok());
        let (number, _) = config.select.first_that_fits(live.as_ref().or(definition.as_ref())?).ok()??;
        Some(Fitting { number, vm, is_enabled: definition.is_some_and(|definition| definition.takes_part()) })
    }
}

fn names(all: &[&Fitting]) -> String {
    let shown: Vec<String> = all.iter().take(SHOWN).map(|fitting| fitting.vm.word()).collect();
    match all.len() {
        0 => "no VM of this host".to_owned(),
        number if number > SHOWN => format!("{} and {} more", shown.join(", "), number - SHOWN),
        _ => shown.join(", "),
    }
}
