//! How a VM of this host stands: what is recorded of its disc, and what libvirt tells of the VM.

use std::path::PathBuf;

use serde::Serialize;

use crate::context::disc::marker::Reason;
use crate::context::domain::Domain;
use crate::context::domain::request::NAMESPACE;
use crate::context::domain::select::Number;
use crate::context::moment::Moment;
use crate::context::uuid::Uuid;
use crate::delivery::outcome::ASKS_FOR_NONE;
use crate::host::clock;
use crate::host::receipt::judge::Receipt;
use crate::host::vm::job::{Job, NEVER_CAME};
use crate::host::vm::state::{Progress, RulesNote, State};
use crate::libvirt::domain::Situation;
use crate::libvirt::survey::Vm;

/// In seconds: a guest looks for a new disc every two or so, and may still be booting.
const TIME_TO_READ: u64 = 60;

/// The names of the fields and of the words are promised: programs read them. The manual page tells of each.
#[derive(Debug, Serialize)]
pub(super) struct Standing {
    pub name: String,
    pub uuid: Uuid,
    pub state: Word,
    /// What the last attempt was for; as the two that follow, `None` as long as nothing has been tried.
    pub reason: Option<Reason>,
    pub generation: Option<u64>,
    pub since: Option<Moment>,
    pub message: String,
    /// How long the parts of the delivery took, if its disc was delivered to it.
    pub took: Option<String>,
    /// What rules did to its XML when it came, or why none was applied.
    pub rules: Option<String>,
    /// What of that is a fault, or still to be done.
    #[serde(skip)]
    pub rules_trouble: Option<String>,
    /// Whether there is a fault.
    #[serde(skip)]
    pub rules_failed: bool,
    pub image: Option<PathBuf>,
    pub job_waiting: bool,
    /// Whether what it waits for cannot come before its next start, restore or arrival.
    pub until_next_start: bool,
    /// Whether the helper has still to do something, or has not begun.
    #[serde(skip)]
    pub pending: bool,
    /// Whether the hook was called for its arrival a moment ago, so that it may be here when libvirt does not tell of it yet.
    #[serde(skip)]
    pub may_come: bool,
    /// Whether it asks for context, now or at its next start; `None` where libvirt does not tell.
    pub takes_part: Option<bool>,
    /// Whether it runs here; `None` where libvirt does not tell.
    pub running: Option<bool>,
    /// Whether the newest disc is in the drive of the running VM, and its guest was told; `None` where that cannot be told.
    pub disc: Option<Disc>,
    /// Whether the guest has read that; `None` where it has not come to it.
    pub read: Option<Receipt>,
    /// How much it has read from the drive since the disc came, in bytes.
    pub read_bytes: Option<u64>,
    /// When it was first seen to have read the disc.
    pub read_seen: Option<Moment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Disc {
    Current,
    /// The guest has an older one, or none.
    Stale,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Word {
    Delivered,
    Waiting,
    Failed,
    /// It gets its first disc here when it starts.
    NextStart,
    /// It runs, and no disc was made for it yet.
    None,
    /// It takes part in rules alone.
    Rules,
}

impl Word {
    pub(super) fn text(self) -> &'static str {
        match self {
            Word::Delivered => "delivered",
            Word::Waiting => "waiting",
            Word::Failed => "failed",
            Word::NextStart => "no disc until its next start",
            Word::None => "no disc yet",
            Word::Rules => "rules alone",
        }
    }
}

/// Whether and how its XML asks for context.
enum Asks {
    No,
    /// Only its definition does.
    Later,
    Yes,
    /// It does, and in a way that gives no disc, for this reason.
    Faultily(String),
    /// It does, for a drive that only its definition has.
    Drive(String),
    /// It has no element of ours yet, and this rule selects it.
    ByRule(Number),
}

impl Standing {
    /// What is recorded.
    fn recorded(state: State, job: Option<&Job>) -> Standing {
        let alone = state.is_of_rules_alone();
        let pending = is_pending(&state, job);
        let rules = state.rules.unwrap_or_default();
        let rules_failed =
            [&rules.fault, &rules.definition_trouble, &rules.links_trouble].iter().any(|text| !text.is_empty());
        let told = |parts: &[String]| Some(parts.join("; ")).filter(|told| !told.is_empty());
        let trouble = trouble(&rules, &state.name);
        let (fault, due) = trouble.split_at(usize::from(!rules.fault.is_empty()));
        let done = Some(rules.done()).filter(|done| !done.is_empty());
        Standing {
            rules: told(&[fault, done.as_slice(), due].concat()),
            rules_trouble: told(&trouble),
            name: state.name,
            uuid: state.uuid,
            rules_failed,
            state: match state.progress {
                _ if alone => Word::Rules,
                Progress::Delivered => Word::Delivered,
                Progress::Waiting => Word::Waiting,
                Progress::Failed => Word::Failed,
            },
            reason: Some(state.reason),
            generation: state.edition.map(|edition| edition.generation.0),
            since: Some(Moment(state.since)),
            message: state.message,
            took: Some(state.took).filter(|took| !took.is_empty()),
            image: state.image,
            job_waiting: job.is_some(),
            until_next_start: state.until_next_start,
            pending,
            may_come: may_come(job),
            takes_part: None,
            running: None,
            disc: None,
            read: None,
            read_bytes: None,
            read_seen: None,
        }
    }

    /// What is recorded of a VM of which libvirt tells no more than whether it runs, if that.
    pub(super) fn without_libvirt(state: State, job: Option<&Job>, running: Option<bool>) -> Standing {
        Standing { running, ..Standing::recorded(state, job) }.judged()
    }

    /// What there is to say of a VM that libvirt knows, and that this rule selects if there is one; `None` of one that takes no
    /// part.
    pub(super) fn of(vm: &Vm, rule: Option<Number>, recorded: Option<State>, job: Option<&Job>) -> Option<Standing> {
        let is_untold = |run: u32| recorded.as_ref().is_some_and(|state| state.is_untold_since_snapshot(run));
        let is_untold = vm.run_from_snapshot.is_some_and(is_untold);
        let recorded = recorded.map(|state| Standing::recorded(state, job));
        if vm.error.is_some() {
            return recorded.map(Standing::judged);
        }
        let running = Some(vm.situation != Situation::Gone);
        let first = |state, message: String| Standing::first(vm, state, message, job);
        if vm.situation == Situation::Arriving {
            // What is in its drive is known when it is here.
            let coming = || job.map(|_| first(Word::None, "it is just arriving".to_owned()));
            return recorded.or_else(coming).map(|standing| Standing { running, pending: true, ..standing });
        }
        let asks = asks(vm, rule);
        // Of a VM that a rule had selected, and that got nothing, there is nothing to tell.
        let is_past = |standing: &Standing| match standing.state {
            Word::Rules => !matches!(asks, Asks::No) || running == Some(false),
            _ => matches!(asks, Asks::No) && standing.image.is_none() && job.is_none(),
        };
        if let Some(standing) = recorded.filter(|standing| !is_past(standing)) {
            let message = match &asks {
                Asks::No if standing.message == ASKS_FOR_NONE || standing.state == Word::Rules => standing.message,
                Asks::No => format!("{}; but {ASKS_FOR_NONE}", standing.message),
                Asks::Later if running == Some(true) => {
                    format!("{}; but the VM runs without the opt-in, which only its definition has", standing.message)
                }
                _ if is_untold => format!(
                    "{}; but the guest goes on from a snapshot and has not been told since: virt-recontext refresh {}",
                    standing.message,
                    vm.word()
                ),
                _ => standing.message,
            };
            let takes_part = Some(!matches!(asks, Asks::No));
            let standing = Standing { message, takes_part, running, ..standing }.judged();
            let is_in_doubt = matches!(asks, Asks::Later) || job.is_some_and(|job| !job.rules_alone);
            let disc = match standing.disc {
                Some(Disc::Current) if is_untold => Some(Disc::Stale),
                Some(Disc::Current) if is_in_doubt => None,
                disc => disc,
            };
            return Some(Standing { disc, ..standing });
        }
        let make = format!("to have it made: virt-recontext refresh {}", vm.word());
        let (state, message) = match asks {
            Asks::No => return None,
            Asks::Faultily(why) => (Word::Failed, why),
            _ if running == Some(false) => (Word::NextStart, "it is not running".to_owned()),
            Asks::Later => (Word::NextStart, "it runs without the opt-in, which only its definition has".to_owned()),
            Asks::Drive(target) => {
                (Word::NextStart, format!("it runs without the drive {target}, which its definition has"))
            }
            Asks::Yes => (Word::None, format!("nothing has been made for it here; {make}")),
            Asks::ByRule(number) => {
                (Word::None, format!("{number} selects it, and nothing has been made for it here; {make}"))
            }
        };
        Some(Standing { takes_part: Some(true), running, ..first(state, message) }.judged())
    }

    /// Of a VM of which nothing is recorded.
    fn first(vm: &Vm, state: Word, message: String, job: Option<&Job>) -> Standing {
        Standing {
            name: vm.name.clone(),
            uuid: vm.uuid.clone(),
            state,
            reason: None,
            generation: None,
            since: None,
            message,
            took: None,
            rules: None,
            rules_trouble: None,
            rules_failed: false,
            image: None,
            job_waiting: job.is_some(),
            until_next_start: false,
            pending: job.is_some() || state == Word::None,
            may_come: may_come(job),
            takes_part: None,
            running: None,
            disc: None,
            read: None,
            read_bytes: None,
            read_seen: None,
        }
    }

    /// The same with what its state says of its disc, where it has one to have here.
    fn judged(self) -> Standing {
        let disc = match self.state {
            _ if !self.has_disc_to_have() => None,
            Word::Delivered if self.running.is_none() => None,
            Word::Delivered => Some(Disc::Current),
            Word::Waiting | Word::Failed | Word::None | Word::NextStart => Some(Disc::Stale),
            Word::Rules => None,
        };
        Standing { disc, ..self }
    }

    fn has_disc_to_have(&self) -> bool {
        self.running != Some(false) && self.takes_part != Some(false) && self.state != Word::Rules
    }

    /// What a person reads of its disc; a dash where there is none to have.
    pub(super) fn disc_word(&self) -> &'static str {
        match self.disc {
            Some(Disc::Current) => "current",
            Some(Disc::Stale) => "stale",
            None if self.has_disc_to_have() => "unknown",
            None => "-",
        }
    }

    /// Whether its guest has had the time to read it, and has not.
    pub(super) fn is_unread(&self) -> bool {
        let has_had_time = |since: Moment| clock::seconds_since(since.0) >= TIME_TO_READ;
        self.read == Some(Receipt::NotRead) && self.since.is_some_and(has_had_time)
    }

    pub(super) fn is_stale(&self) -> bool {
        self.disc == Some(Disc::Stale)
    }

    /// Whether it should have a disc, or what rules give, and has not got it. One that asks for none any more lacks nothing.
    pub(super) fn is_bad(&self) -> bool {
        self.rules_failed || (self.state == Word::Failed && self.takes_part != Some(false))
    }
}

/// Whether the helper has still to do something for the VM before its next start, restore or arrival.
pub(super) fn is_pending(state: &State, job: Option<&Job>) -> bool {
    // A job that has failed stays for whoever tries again.
    let has_failed = |job: &Job| state.progress == Progress::Failed && state.since >= job.noted;
    let waits = state.progress == Progress::Waiting && !state.until_next_start && !state.is_of_rules_alone();
    waits || job.is_some_and(|job| !has_failed(job))
}

fn may_come(job: Option<&Job>) -> bool {
    job.is_some_and(|job| job.is_arrival() && job.age() < NEVER_CAME)
}

/// What went wrong with what rules did to the VM, and what they have still to do.
fn trouble(rules: &RulesNote, name: &str) -> Vec<String> {
    let RulesNote { fault, definition_trouble, links_trouble, links_due, links_down, definition_due, .. } = rules;
    let due =
        |macs: &[String], line: &str| (!macs.is_empty()).then(|| format!("the link of {} {line}", macs.join(", ")));
    let lines = [
        (!fault.is_empty()).then(|| format!("no rule was applied: {fault}")),
        definition_due.then(|| "its definition is still to be changed like that".to_owned()),
        due(links_due, "is still to go down and up").filter(|_| links_down.is_empty()),
        due(links_down, "is down, and is still to go up again"),
        (!definition_trouble.is_empty())
            .then(|| format!("{definition_trouble}; once that is mended: virt-recontext rewrite {name}")),
        Some(links_trouble.clone()).filter(|line| !line.is_empty()),
    ];
    lines.into_iter().flatten().collect()
}

fn asks(vm: &Vm, rule: Option<Number>) -> Asks {
    if let Some(rule) = rule {
        return Asks::ByRule(rule);
    }
    let (live, definition) = (asks_in(vm.live.as_deref()), asks_in(vm.definition.as_deref()));
    let (now, later) = match (live, definition) {
        (Err(why), _) | (_, Err(why)) => return Asks::Faultily(why),
        (Ok(now), Ok(later)) => (now, later),
    };
    let Some(domain) = now.as_ref().or(later.as_ref()) else { return Asks::No };
    if let Err(error) = domain.request() {
        return Asks::Faultily(format!("{error:#}"));
    }
    match now {
        None => Asks::Later,
        Some(now) => {
            let is_defined = |target: &&str| later.iter().flat_map(|later| &later.targets).any(|one| one == target);
            let target = now.missing_target().filter(is_defined);
            target.map_or(Asks::Yes, |target| Asks::Drive(target.to_owned()))
        }
    }
}

/// The domain of `xml`, if it takes part. Of one that does not concern us nothing can be wrong.
fn asks_in(xml: Option<&str>) -> Result<Option<Domain<'_>>, String> {
    let Some(xml) = xml.filter(|xml| xml.contains(NAMESPACE)) else { return Ok(None) };
    let domain = Domain::read(xml).map_err(|error| format!("{error:#}"))?;
    Ok(domain.takes_part().then_some(domain))
}
