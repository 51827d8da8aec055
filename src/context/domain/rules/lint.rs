//! What can be said of rules before a VM comes.

use super::file::{Action, Rule, RuleFile, When, Whom};
use super::pattern::Pattern;
use super::place::Place;
use super::{Look, look_for};
use crate::context::disc::marker::Reason;

impl RuleFile {
    /// What has to be on this host for the values that its rules give, whatever VM comes, with the lines of those.
    pub(crate) fn looks(&self) -> Vec<(usize, Look)> {
        let mut looks = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.must_exist) {
            for (_, action) in &rule.cases {
                let Action::Stars(new) = action else { continue };
                let constant = (new.stars() == 0).then(|| new.fill(&[]));
                looks.extend(constant.and_then(|new| look_for(rule.place, &new)).map(|look| (rule.line, look)));
            }
        }
        looks
    }
}

/// A rule with its file.
pub(crate) type Of<'r> = (&'r RuleFile, &'r Rule);

/// The rules of files, which come in their order.
pub(crate) fn of<'r>(files: &[&'r RuleFile]) -> Vec<Of<'r>> {
    files.iter().flat_map(|file| file.rules.iter().map(move |rule| (*file, rule))).collect()
}

/// Whether no value that `later` would fit gets past `first`, of whatever VM `later` is for.
pub(crate) fn hides((file, first): Of, (later_file, later): Of) -> bool {
    let is_for_all = file.vms == Whom::All || later_file.vms == Whom::Enabled;
    let fits_all = first.cases.iter().any(|(from, _)| from.stars() > 0 && from.literal() == 0);
    first.place == later.place && fits_all && is_for_all && first.when.is_empty()
}

/// What libvirt itself has of one name on all hosts, instead of what rules of these places give, each with its place.
pub(crate) fn own_names(rules: &[Of]) -> Vec<(&'static str, &'static str)> {
    let gives = |place: Place| {
        let new = |(from, action): &(Pattern, Action)| match action {
            Action::Stars(new) => new != from,
            Action::Template(_) => true,
            Action::Remove | Action::Refuse(_) => false,
        };
        rules.iter().any(|(_, rule)| rule.place == place && rule.cases.iter().any(new))
    };
    [
        (Place::InterfaceAttachment, "a <network>"),
        (Place::InterfaceBridge, "a <network>"),
        (Place::InterfaceDev, "a <network>"),
        (Place::DiskFile, "a pool's volume"),
        (Place::DiskDev, "a pool's volume"),
        (Place::DiskSecret, "the secret's usage"),
        (Place::GraphicsListen, "<listen type='network'>"),
        (Place::GraphicsPort, "autoport='yes'"),
    ]
    .into_iter()
    .filter(|(place, _)| gives(*place))
    .map(|(place, instead)| (place.row().name, instead))
    .collect()
}

/// A rule that would change what rules give.
pub(crate) struct Again<'r> {
    pub by: Of<'r>,
    /// The first of those that give it.
    pub of: Of<'r>,
    /// What they give, with stars where it may be anything.
    pub values: Vec<String>,
    pub then: Then,
}

/// What that comes to when a VM that was adapted and saved here is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// The value is left as it is, and so is that of any other VM.
    Stays,
    Changes,
    Refuses,
}

/// The rules that would change again what one of `rules` gives, or they themselves; of constants and stars alone, since what a
/// template gives is known only when a VM comes. One that is for arrivals alone, by its `when.reason`, is none: it says so.
pub(crate) fn changed_again<'r>(rules: &[Of<'r>]) -> Vec<Again<'r>> {
    let of_rule = |of: &Of<'r>| {
        let (file, rule) = *of;
        rule.cases.iter().map(move |(from, action)| Case { file, rule, from, action })
    };
    let cases: Vec<Case> = rules.iter().flat_map(of_rule).collect();
    let mut found: Vec<Again> = Vec::new();
    for (number, changing) in cases.iter().enumerate() {
        let before = cases.get(..number).unwrap_or_default();
        for (giver, giving) in cases.iter().enumerate() {
            let before_giver = cases.get(..giver).unwrap_or_default();
            if changing.rule.place != giving.rule.place {
                continue;
            }
            let Some(then) = changing.then(giving) else { continue };
            let Some(value) = changing.value(giving, before, before_giver) else { continue };
            let (by, of) = ((changing.file, changing.rule), (giving.file, giving.rule));
            match found.iter_mut().rev().find(|again| std::ptr::eq(again.by.1, by.1) && again.then == then) {
                Some(again) if again.values.contains(&value) => {}
                Some(again) => again.values.push(value),
                None => found.push(Again { by, of, values: vec![value], then }),
            }
        }
    }
    found
}

/// One old value of a rule, and what is done about it.
struct Case<'r> {
    file: &'r RuleFile,
    rule: &'r Rule,
    from: &'r Pattern,
    action: &'r Action,
}

impl Case<'_> {
    /// What becomes at a restore of what `giving` gives, if this may be asked about it.
    fn then(&self, giving: &Case) -> Option<Then> {
        let reason = self.rule.when.reason;
        if reason == Some(Reason::Migrate) || !self.rule.when.may_hold_with(&giving.rule.when) {
            return None;
        }
        match self.action {
            Action::Template(_) => None,
            Action::Refuse(_) => reason.is_some().then_some(Then::Refuses),
            // What is known to be of this host is what a rule gives at an arrival.
            _ if reason.is_none() && giving.rule.when.reason != Some(Reason::Restore) => Some(Then::Stays),
            _ => Some(Then::Changes),
        }
    }

    /// What `giving` gives that this one would change, if anything: what no other rule or case takes first.
    fn value(&self, giving: &Case, before: &[Case], before_giver: &[Case]) -> Option<String> {
        let Action::Stars(new) = giving.action else { return None };
        // Most are two names, and there may be many of them.
        let are_others = new.stars() == 0 && self.from.stars() == 0 && new != self.from;
        // What stays as it was had to get past this one already.
        if are_others || new == giving.from || !meets(self.from, new) {
            return None;
        }
        // Of many values only the one that this is for.
        let (old, value) = match (new.stars(), self.from.stars()) {
            (1.., 0) => {
                let value = text(self.from);
                let stars = new.fit(&value)?;
                let old = if stars.len() == giving.from.stars() { giving.from.fill(&stars) } else { text(giving.from) };
                (old, value)
            }
            _ => (text(giving.from), text(new)),
        };
        let stays = match self.action {
            Action::Stars(to) if value.contains('*') => to == self.from,
            Action::Stars(to) => self.from.fit(&value).is_none_or(|stars| to.fill(&stars) == value),
            _ => false,
        };
        let is_taken = |case: &Case, what: &str, others: &[&Case]| {
            case.rule.place == self.rule.place && case.from.fit(what).is_some() && case.counts_with(others)
        };
        let is_given = !before_giver.iter().any(|case| is_taken(case, &old, &[giving]));
        let is_asked = !before.iter().any(|case| is_taken(case, &value, &[self, giving]));
        (!stays && is_given && is_asked).then_some(value)
    }

    /// Whether it is surely asked of whatever these are asked of.
    fn counts_with(&self, others: &[&Case]) -> bool {
        let is_for_all = self.file.vms == Whom::All || others.iter().any(|case| case.file.vms == Whom::Enabled);
        let reason = self.rule.when.reason;
        let reasons = reason.is_none() || others.iter().any(|case| case.rule.when.reason == reason);
        let holds = |(number, own): (usize, Option<&Pattern>)| {
            own.is_none_or(|own| {
                let theirs = others.iter().filter_map(|case| *case.rule.when.patterns().get(number)?);
                theirs.into_iter().any(|their| own.fit(&text(their)).is_some())
            })
        };
        is_for_all && reasons && self.rule.when.patterns().into_iter().enumerate().all(holds)
    }
}

impl When {
    fn is_empty(&self) -> bool {
        self.reason.is_none() && self.patterns().iter().all(Option::is_none)
    }

    fn patterns(&self) -> [Option<&Pattern>; 6] {
        let When { domain, uuid, reason: _, mac, target, serial, alias } = self;
        [domain, uuid, mac, target, serial, alias].map(Option::as_ref)
    }

    /// Whether a device of a VM may be one for both, on one occasion or on several.
    fn may_hold_with(&self, other: &When) -> bool {
        let both = self.patterns().into_iter().zip(other.patterns());
        both.into_iter().all(|pair| match pair {
            (Some(one), Some(other)) => meets(one, other),
            _ => true,
        })
    }
}

impl Rule {
    /// Whether its condition may hold for the VM whose name or UUID a directory in `domains` has.
    pub(crate) fn may_be_for(&self, vm: &str) -> bool {
        let holds = |pattern: &Option<Pattern>| pattern.as_ref().is_none_or(|pattern| pattern.fit(vm).is_some());
        let is_uuid = vm.parse::<crate::context::uuid::Uuid>().is_ok();
        if is_uuid { holds(&self.when.uuid) } else { holds(&self.when.domain) }
    }
}

/// As it was written. Fitted by another pattern it is what stands for all that fits it, as no pattern has a star but as a star.
fn text(pattern: &Pattern) -> String {
    pattern.fill(&vec!["*"; pattern.stars()])
}

/// Whether there is a text that fits both.
fn meets(one: &Pattern, other: &Pattern) -> bool {
    let (one_text, other_text) = (text(one), text(other));
    match (one.stars(), other.stars()) {
        (_, 0) => one.fit(&other_text).is_some(),
        (0, _) => other.fit(&one_text).is_some(),
        // What is between the stars of one, a star of the other stands for.
        _ => {
            let ends = |text: &str| {
                let (first, last) = (text.split('*').next(), text.rsplit('*').next());
                (first.unwrap_or_default().to_owned(), last.unwrap_or_default().to_owned())
            };
            let ((first, last), (other_first, other_last)) = (ends(&one_text), ends(&other_text));
            (first.starts_with(&other_first) || other_first.starts_with(&first))
                && (last.ends_with(&other_last) || other_last.ends_with(&last))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of the rules, in files for VMs that take part: by which line, of which line, what, and what then.
    fn again(files: &[&str]) -> Vec<String> {
        let files: Vec<RuleFile> = files.iter().map(|text| RuleFile::parse("x", text).unwrap()).collect();
        let rules = of(&files.iter().collect::<Vec<_>>());
        let line = |again: Again| {
            format!("{} of {}: {} {:?}", again.by.1.line, again.of.1.line, again.values.join(" "), again.then)
        };
        changed_again(&rules).into_iter().map(line).collect()
    }

    /// Each rule of the bridge is two lines.
    fn bridges(rules: &[&str]) -> String {
        rules
            .iter()
            .map(|rest| format!("[[rewrite]]\nchange = 'interface.bridge'; {rest}\n").replace("; ", "\n"))
            .collect()
    }

    #[test]
    fn patterns_meet_where_a_text_fits_both() {
        for (one, other, do_meet) in [
            ("a", "a", true),
            ("a", "b", false),
            ("br*", "br0", true),
            ("br*-x", "br0", false),
            ("br*", "*-x", true),
            ("/srv/a/*", "/srv/b/*", false),
            ("/srv/*", "/srv/b/*", true),
            ("*a", "*b", false),
            ("a*b*c", "abx*c", true),
            ("*", "*", true),
        ] {
            let [one, other] = [one, other].map(Pattern::new);
            assert_eq!((meets(&one, &other), meets(&other, &one)), (do_meet, do_meet), "{one:?} {other:?}");
        }
    }

    #[test]
    fn what_is_changed_again_is_found_also_by_the_rule_itself() {
        for (rules, told) in [
            // A swap, in two rules or in one map.
            (vec!["from = 'a'; to = 'b'", "from = 'b'; to = 'a'"], vec!["1 of 5: a Stays", "5 of 1: b Stays"]),
            (vec!["map = { a = 'b', b = 'a' }"], vec!["1 of 1: a b Stays"]),
            (vec!["from = 'br*'; to = 'br*-x'"], vec!["1 of 1: br*-x Stays"]),
            (vec!["from = '/srv/*'; to = '/mnt/*'"], vec![]),
            // A catch-all that forgets what this host has.
            (vec!["map = { a = 'b', c = 'd', '*' = 'e' }"], vec!["1 of 1: b d Stays"]),
            (vec!["map = { a = 'b', b = 'b', '*' = 'e' }"], vec![]),
            (vec!["from = 'a'; to = 'b'", "from = 'b*'; to = 'b*'", "to = 'e'"], vec![]),
            (vec!["from = 'a*'; to = 'x*'", "from = 'x1'; to = 'y'"], vec!["5 of 1: x1 Stays"]),
            // a1 never gives x1, as another rule has it.
            (vec!["map = { a1 = 'z', 'a*' = 'x*' }", "from = 'x1'; to = 'y'"], vec![]),
            (vec!["from = 'a'; to = 'c'", "from = 'a'; to = 'b'", "from = 'b'; to = 'd'"], vec![]),
            // An admission list refuses no VM that was saved here, nor is a template's value known.
            (vec!["from = 'a'; to = 'b'", "refuse = 'no'"], vec![]),
            (vec!["from = 'a'; to = 'b'", "to = '{{ facts.b }}'"], vec![]),
        ] {
            assert_eq!(again(&[&bridges(&rules)]), told, "{rules:?}");
        }
        let pin =
            "[[rewrite]]\nchange = 'cpu.pin'\nfrom = '1'\nto = '2'\n[[rewrite]]\nchange = 'cpu.pin'\nremove = true\n";
        assert_eq!(again(&[pin]), ["5 of 1: 2 Stays"]);
    }

    #[test]
    fn only_rules_that_may_be_asked_of_the_same_device_count() {
        let swap = |one: &str, other: &str| {
            bridges(&[&format!("from = 'a'; to = 'b'; when = {{ {one} }}"), &format!("from = 'b'; to = 'c'; {other}")])
        };
        for (one, other, told) in [
            ("domain = 'web-*'", "when = { domain = 'db-*' }", vec![]),
            ("domain = 'web-*'", "when = { domain = '*-1' }", vec!["6 of 1: b Stays"]),
            ("domain = 'web-*'", "when = { mac = '52:*' }", vec!["6 of 1: b Stays"]),
            ("mac = '52:54:00:*'", "when = { mac = '52:54:01:*' }", vec![]),
            ("reason = 'migrate'", "", vec!["6 of 1: b Stays"]),
            ("reason = 'migrate'", "when = { reason = 'migrate' }", vec![]),
            ("reason = 'migrate'", "when = { reason = 'restore' }", vec!["6 of 1: b Changes"]),
            ("reason = 'restore'", "", vec!["6 of 1: b Changes"]),
        ] {
            assert_eq!(again(&[&swap(one, other)]), told, "{one} {other}");
        }
        let refuse = ["from = 'a'; to = 'b'", "from = 'b'; refuse = 'no'; when = { reason = 'restore' }"];
        assert_eq!(again(&[&bridges(&refuse)]), ["5 of 1: b Refuses"]);
        // Before it another one keeps the value, for all that both are asked of, or only for some.
        let kept = |when: &str| {
            bridges(&[
                &format!("from = 'b'; to = 'b'; when = {{ {when} }}"),
                "from = 'a'; to = 'b'; when = { domain = 'web-1' }",
                "to = 'c'",
            ])
        };
        assert_eq!(again(&[&kept("domain = 'web-*'")]), Vec::<String>::new());
        assert_eq!(again(&[&kept("domain = 'db-*'")]), ["11 of 6: b Stays"]);
    }

    #[test]
    fn files_count_in_their_order_and_for_the_vms_that_they_are_for() {
        let keep = bridges(&["from = 'b'; to = 'b'"]);
        let rest = bridges(&["from = 'a'; to = 'b'", "to = 'c'"]);
        let all = |text: &str| format!("vms = 'all'\n{text}");
        assert_eq!(again(&[&keep, &rest]), Vec::<String>::new());
        assert_eq!(again(&[&rest, &keep]), ["5 of 1: b Stays"]);
        assert_eq!(again(&[&keep, &all(&rest)]), ["6 of 2: b Stays"], "of VMs that do not take part");
        assert_eq!(again(&[&all(&keep), &rest]), Vec::<String>::new());
    }

    #[test]
    fn a_rule_hides_others_only_of_vms_that_it_is_for() {
        let first = |text: &str| RuleFile::parse("x", text).unwrap();
        let (star, all) = (bridges(&["to = 'b'"]), "vms = 'all'\n".to_owned() + &bridges(&["from = 'a'; to = 'c'"]));
        let (star, all) = (first(&star), first(&all));
        let (star, all) = ((&star, &star.rules[0]), (&all, &all.rules[0]));
        assert!(!hides(star, all) && hides(star, star) && !hides(all, star));
    }
}
