//! One VM that takes part: its drive, now and at its next start, what became of its disc, and whether one could be made.

use anyhow::{Result, bail};

use super::jobs::{SOON, helper_is_at_work};
use super::report::{Check, Report};
use crate::composer::{Answer, Composers, Fault, Order};
use crate::context::domain::Domain;
use crate::context::domain::driver::MediaChange;
use crate::context::domain::plug;
use crate::context::domain::request::NAMESPACE;
use crate::context::domain::request::Request;
use crate::context::domain::select::Choice;
use crate::context::moment::Moment;
use crate::host::config::Config;
use crate::host::disc::first_edition;
use crate::host::gather::gather;
use crate::host::medium;
use crate::host::paths::Host;
use crate::host::programs::Printed;
use crate::host::programs::run::{Runner, Runs};
use crate::host::results::Results;
use crate::host::select::{self, Selected};
use crate::host::vm::image;
use crate::host::vm::results;
use crate::host::vm::state::{Progress, State};
use crate::libvirt::domain::{Scope, Situation};
use crate::libvirt::survey::Vm;

/// `told` is what is known to be wrong with this host's data, and `host_wide` is what host-wide programs printed.
pub(super) fn check_all(
    (host, config): (&Host, &Config),
    vms: &[Vm],
    told: &[String],
    host_wide: &Results,
    report: &mut Report,
) {
    let composers = Composers::new();
    let mut taking_part = 0;
    for vm in vms {
        let look = Look { host, config, vm, composers: &composers, told, host_wide };
        taking_part += usize::from(look.at(&mut report.vm(&vm.name)));
    }
    if taking_part == 0 {
        report.check("vm").good(format_args!(
            "none of this host's VMs ({}) takes part; \"virt-recontext enable VM\" lets one take part",
            vms.len()
        ));
    }
}

struct Look<'a> {
    host: &'a Host,
    config: &'a Config,
    vm: &'a Vm,
    composers: &'a Composers,
    told: &'a [String],
    host_wide: &'a Results,
}

impl Look<'_> {
    /// Says what there is to say, if it takes part.
    fn at(&self, check: &mut Check) -> bool {
        if let Some(error) = &self.vm.error {
            check.warning(format_args!("asking libvirt about it: {error}"), "try again in a moment");
            return true;
        }
        let enable = self.enable();
        if self.vm.situation == Situation::Arriving {
            let known = State::of(self.host, &self.vm.uuid).ok().flatten().is_some();
            if known {
                check.good("is just arriving; not checked");
            }
            return known;
        }
        let (live, definition) = (self.vm.live.as_deref(), self.vm.definition.as_deref());
        let rule = select::rule_of(self.host, self.config, live, definition);
        if let Some(rule) = rule {
            self.selected(rule, check);
            return true;
        }
        // Of a VM that does not concern us nothing can be wrong.
        if ![live, definition].into_iter().flatten().any(|xml| xml.contains(NAMESPACE)) {
            return false;
        }
        let unread = [live, definition].into_iter().flatten().find_map(|xml| Domain::read(xml).err());
        if let Some(error) = unread {
            check.bad(format_args!("{error:#}"), format_args!("virsh edit {}", self.vm.word()));
            return true;
        }
        let [live, definition] = [live, definition].map(|xml| xml.and_then(|xml| Domain::read(xml).ok()));
        let takes_part = |domain: &&Domain| domain.takes_part();
        let (now, later) = (live.as_ref().filter(takes_part), definition.as_ref().filter(takes_part));
        let Some(domain) = now.or(later) else { return false };
        let request = match domain.request() {
            Ok(request) => request.cloned().unwrap_or_default(),
            Err(error) => {
                check.bad(format_args!("{error:#}"), self.edit());
                return true;
            }
        };
        if let Some(told) = request.unknown.told() {
            check.warning(told, format_args!("install the version that knows it, or correct it: {}", self.edit()));
        }
        if live.is_some() && now.is_none() {
            check.warning("it is running without the opt-in, which only its definition has", &enable);
        }
        if definition.is_some() && later.is_none() && !self.is_by_rule(domain) {
            let message = "it takes part only until it stops: its definition has no opt-in, and no rule selects it";
            let has_rules = !self.config.select.is_empty() || !self.config.unknown.is_empty();
            let rule =
                "correct the rule of [[select]] that is to select it; enable it only if no manager writes its XML";
            check.warning(message, if has_rules { rule } else { &enable });
        }
        let is_defined =
            |target: &&str| later.is_some_and(|later| later.drives.iter().any(|drive| drive.target == **target));
        let coming = now.and_then(Domain::missing_target).filter(is_defined);
        let mut failure = None;
        if let Some(now) = now.filter(|_| coming.is_none()) {
            self.drive(now, Scope::Live, check);
            failure = self.state(check);
        }
        if let Some(later) = later {
            self.drive(later, Scope::Config, check);
        }
        self.twins(domain, &request, check);
        self.content(domain, failure.as_deref(), check);
        match coming {
            _ if !check.is_clean() => {}
            Some(target) => check.warning(
                format_args!("it runs without the drive {target}, which its definition has: no disc reaches it"),
                "shut it down and start it again; a restart from within does not do",
            ),
            None => check.good(self.all_well(domain, &request)),
        }
        true
    }

    /// Whether it takes part in its live XML alone because a rule of this host says so, as it will when it next starts.
    fn is_by_rule(&self, domain: &Domain) -> bool {
        let rule = select::fitting(self.config, domain).ok().flatten();
        rule.is_some() && !select::is_taken_out(self.host, &domain.uuid)
    }

    /// What there is to say of a VM that the rule selects and that has no element of ours yet.
    fn selected(&self, Selected { number, rule }: Selected, check: &mut Check) {
        let Some(domain) = self.vm.live.as_deref().and_then(|live| Domain::read(live).ok()) else {
            return check.good(format_args!("{number} selects it; it gets its disc when it starts"));
        };
        let known = State::of(self.host, &self.vm.uuid).ok().flatten();
        let room = match &rule.drive {
            Choice::Named(target) if domain.drive_called(target).is_some() => Ok(()),
            _ => plug::plan(&domain, None, None, "/").and_then(|plug| plug.check_room(&domain)),
        };
        match (known, room) {
            (Some(state), _) if state.until_next_start => {
                let since = Moment(state.since);
                check.warning(format_args!("since {since}: {}", state.message), ROOM);
            }
            (None, Err(error)) => {
                check.warning(format_args!("{number} selects it, but {error:#}"), ROOM);
            }
            (Some(state), _) if state.progress == Progress::Failed => {
                check.bad(
                    format_args!("{number} selects it, and it got no disc: {}", state.message),
                    format_args!("fix that, then {}", self.refresh()),
                );
            }
            _ => {
                check.warning(format_args!("{number} selects it, and it has no drive for its disc yet"), self.refresh())
            }
        }
    }

    /// Other discs that its guest may take for ours.
    fn twins(&self, domain: &Domain, request: &Request, check: &mut Check) {
        let target = domain.drive(request).map(|drive| drive.target.as_str()).unwrap_or_default();
        for twin in medium::twins(self.host, domain, target, &request.label_on(self.config.format)) {
            let choice = format!("{} --label LABEL, or --format files", self.enable());
            check.warning(
                format_args!("{twin}: its guest may take one for the other"),
                format_args!("take one out, or {choice}"),
            );
        }
    }

    /// How the metadata element is edited, which is one in the running VM and another in the definition.
    fn edit(&self) -> String {
        let edit = format!("virsh metadata {} urn:virt-recontext:1 --key recontext --edit", self.vm.word());
        match (&self.vm.live, &self.vm.definition) {
            (Some(_), Some(_)) => format!("{edit} --live, and again with --config"),
            (Some(_), None) => format!("{edit} --live"),
            _ => format!("{edit} --config"),
        }
    }

    fn enable(&self) -> String {
        format!("virt-recontext enable {}", self.vm.word())
    }

    fn refresh(&self) -> String {
        format!("virt-recontext refresh {}", self.vm.word())
    }

    fn drive(&self, domain: &Domain, scope: Scope, check: &mut Check) {
        let when = match scope {
            Scope::Live => "",
            Scope::Config => "at its next start, ",
        };
        let drive = match domain.request_and_drive() {
            Ok((_, drive)) => drive,
            Err(error) => {
                let enable = self.enable();
                return check.bad(
                    format_args!("{when}{error:#}"),
                    format_args!("{enable} --target DEV, where DEV is a new name such as sdz, adds a suitable drive"),
                );
            }
        };
        let (uuid, target) = (&domain.uuid, &drive.target);
        let place = image::path(self.config, uuid);
        let fix = match scope {
            Scope::Live if drive.media_change() == MediaChange::Never => {
                format!("{}, then shut it down and start it again: its disc cannot change while it runs", self.enable())
            }
            Scope::Live => self.refresh(),
            Scope::Config => self.enable(),
        };
        match drive.path() {
            Some(path) if place.to_str() == Some(path) => {
                if scope == Scope::Live && !image::exists(self.host, &place) {
                    check.bad(format_args!("its image {path} is missing"), &fix);
                }
            }
            Some(path) if image::is_called_ours(path, uuid) => {
                let place = place.display();
                check.warning(
                    format_args!("{when}the drive {target} holds {path}, but on this host its image is {place}"),
                    &fix,
                );
            }
            None if drive.is_empty() => check.warning(format_args!("{when}the drive {target} is empty"), &fix),
            other => check.bad(
                format_args!(
                    "{when}the drive {target} holds {}, not its context",
                    other.unwrap_or("a medium that is not a file")
                ),
                match scope {
                    Scope::Live => format!("{fix}, which puts its context there instead"),
                    Scope::Config => format!("{fix} --replace, which puts its context there instead"),
                },
            ),
        }
        if !drive.is_empty() && !drive.may_be_missing() && domain.machine.driver().may_start_without_disc() {
            check.warning(
                format_args!(
                    "{when}the drive {target} has no startupPolicy='optional': without the image the VM would not start \
                     or arrive"
                ),
                match scope {
                    Scope::Live => format!("{fix} --force"),
                    Scope::Config => format!("add it with virsh edit {}", self.vm.word()),
                },
            );
        }
        if !drive.read_only {
            check.warning(
                format_args!("{when}the drive {target} is not marked <readonly/>"),
                format_args!("add it with virsh edit {}", self.vm.word()),
            );
        }
    }

    /// Tells what became of its disc; gives what that failed of.
    fn state(&self, check: &mut Check) -> Option<String> {
        let state = match State::of(self.host, &self.vm.uuid) {
            Ok(Some(state)) => state,
            Ok(None) => {
                let message =
                    "nothing is recorded about its disc here, as if the hook had not been called when it came";
                check.warning(message, self.refresh());
                return None;
            }
            Err(error) => {
                check.bad(format_args!("{error:#}"), "fix or remove it");
                return None;
            }
        };
        let since = Moment(state.since);
        match state.progress {
            Progress::Delivered if self.vm.run_from_snapshot.is_some_and(|run| state.is_untold_since_snapshot(run)) => {
                check.warning(
                    "its guest goes on from a snapshot, and has not been told of its disc since",
                    self.refresh(),
                );
            }
            Progress::Delivered => {}
            Progress::Waiting if state.until_next_start => check
                .warning(format_args!("since {since}: {}", state.message), "save and restore, migrate or restart it"),
            Progress::Waiting if state.age() <= SOON && helper_is_at_work(self.host) => {}
            Progress::Waiting => check.warning(
                format_args!("its new disc has been waiting since {since}: {}", state.message),
                format_args!("{} tries again; with --force a guest that holds its disc is not asked", self.refresh()),
            ),
            Progress::Failed => {
                let why = if self.told.contains(&state.message) { "for what is told above" } else { &state.message };
                check.bad(
                    format_args!("it got no new disc at {since}: {why}"),
                    format_args!("fix that, then {}", self.refresh()),
                );
                return Some(state.message);
            }
        }
        None
    }

    /// Tells whether a disc could be made, unless what is wrong has been told, as of this host's data or by its state.
    fn content(&self, domain: &Domain, failure: Option<&str>, check: &mut Check) {
        match compose(self, domain) {
            Ok(warnings) => {
                for warning in &warnings {
                    check.warning(warning, "fix that program");
                }
            }
            Err(error) if self.told.contains(&format!("{error:#}")) || failure == Some(&format!("{error:#}")) => {}
            Err(error) => {
                let remedy = format!("fix that; \"virt-recontext preview {}\" tries again", self.vm.word());
                check.bad(format_args!("no disc can be made for it now: {error:#}"), remedy);
            }
        }
    }

    fn all_well(&self, domain: &Domain, request: &Request) -> String {
        let target = domain.drive(request).map(|drive| drive.target.clone()).unwrap_or_default();
        if self.vm.live.is_none() {
            return format!("is not running; the drive {target} holds its disc from its next start on");
        }
        match State::of(self.host, &self.vm.uuid) {
            Ok(Some(state)) if state.progress == Progress::Delivered => {
                let (reason, since) = (state.reason, Moment(state.since));
                format!("its disc is in the drive {target}, delivered ({reason}, {since})")
            }
            _ => format!("its new disc is on its way into the drive {target}"),
        }
    }
}

/// What helps a VM that a rule selects and that can have no drive of our own.
const ROOM: &str = "give it a free PCIe root port, and start it anew; or name its own empty CD-ROM drive in a rule for it, \
                    such as drive = \"sda\"; or leave it out with drive = \"none\"";

/// Has the disc composed; gives what went wrong with programs and was got over.
fn compose(look: &Look, domain: &Domain) -> Result<Vec<String>> {
    let printed = Printed { host: look.host_wide.clone(), vm: results::of(look.host, &domain.uuid)? };
    let mut programs = Runner::new(Runs::of_vm(look.config, &domain.name, &domain.uuid), printed);
    gather(look.host, domain, &mut programs)?;
    let Runner { printed, warnings, .. } = programs;
    let order = Order { new: Some((first_edition(), None)), ..Order::of(domain, Vec::new(), printed) };
    match look.composers.compose(&order) {
        Ok(Answer::Impossible(why)) => bail!(why.message()),
        Err(Fault::Order(message) | Fault::Composer(message)) => bail!(message),
        Ok(Answer::Same | Answer::Differs | Answer::Made(_) | Answer::ToSign(_)) => Ok(warnings),
    }
}
