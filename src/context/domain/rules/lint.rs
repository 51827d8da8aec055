//! What can be said of rules before a VM comes.

use super::file::{Action, Rule, RuleFile, When};
use super::{Look, look_for};

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

impl Rule {
    /// Whether no value that `later` would fit gets past this one.
    pub(crate) fn hides(&self, later: &Rule) -> bool {
        let fits_all = self.cases.iter().any(|(from, _)| from.stars() > 0 && from.literal() == 0);
        self.place == later.place && fits_all && self.when.is_empty()
    }
}

impl When {
    fn is_empty(&self) -> bool {
        let When { domain, uuid, reason, mac, target, serial, alias } = self;
        let patterns = [domain, uuid, mac, target, serial, alias];
        reason.is_none() && patterns.iter().all(|pattern| pattern.is_none())
    }
}
