//! The discs that one VM could be given: in each format that is asked for, and at each occasion.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use anyhow::{Error, Result};

use super::candidate::Candidate;
use super::findings::{Finding, Findings};
use super::owners::Owners;
use super::programs::{self, About, ForVm, Programs};
use super::sample::Sample;
use crate::composer::{Confined, apart};
use crate::context::disc::format::Format;
use crate::context::disc::layer::{Layer, Owner};
use crate::context::disc::marker::{Edition, Reason};
use crate::context::disc::undefined::Undefined;
use crate::context::domain::Domain;
use crate::context::domain::request::Request;
use crate::host::disc::{Layers, first_edition};

/// A VM's discs take milliseconds. Longer than this takes what cannot go on, such as reading from a server that is gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// A template may tell the occasions apart.
const REASONS: [Reason; 4] = [Reason::Start, Reason::Migrate, Reason::Restore, Reason::Refresh];

/// Judges the discs of a VM, in a process of its own: what a template or a link can do ends that one alone. Says whether it came
/// to its end.
pub(super) fn judge(about: About, sample: &Sample, findings: &mut Findings) -> bool {
    let About { candidate, config, question, .. } = about;
    let time = match question.programs {
        Programs::Run => PATIENCE + programs::time(candidate, config, sample),
        _ => PATIENCE,
    };
    let (said, ended) = apart(config, time, |confined, out| {
        let look = Look { about, sample, confined };
        look.at_all(&mut |found: &[Finding]| Ok(out.write_all(&serde_json::to_vec(found)?)?))
    });
    // What was said last by one that was ended may be a part.
    let said = serde_json::Deserializer::from_slice(&said).into_iter::<Vec<Finding>>().map_while(Result::ok).flatten();
    let dir = candidate.host.config_dir();
    let ended = ended.err().map(|error| Finding::Error(format!("{}: {error:#}", dir.display())));
    let is_whole = ended.is_none();
    for finding in said.chain(ended) {
        // What is so for every VM has been said.
        let is_known = findings.knows(&finding);
        findings.push(match (finding, &sample.place) {
            (Finding::Error(text), Some(place)) if !is_known && !text.contains(place.as_str()) => {
                Finding::Error(format!("for {}: {text}", dir.join(place).display()))
            }
            (finding, _) => finding,
        });
    }
    is_whole
}

/// Says what was found, at once: whoever looks may be ended at any time.
type Tell<'t> = dyn FnMut(&[Finding]) -> Result<()> + 't;

struct Look<'a> {
    about: About<'a>,
    sample: &'a Sample,
    confined: Confined<'a>,
}

impl Look<'_> {
    fn at_all(&self, tell: &mut Tell) -> Result<()> {
        let done = self.at_discs(tell);
        done.or_else(|error| tell(&[Finding::Error(format!("{error:#}"))]))
    }

    fn at_discs(&self, tell: &mut Tell) -> Result<()> {
        let About { candidate, config, question, .. } = self.about;
        let sample = self.sample;
        let xml = sample.xml();
        let domain = Domain::read(&xml)?;
        let plain = Request::default();
        let mut programs = ForVm::new(self.about, sample, self.confined);
        let layers = Layers::none(&candidate.host, config, &domain, &plain).unsigned();
        let mut owners = Owners::of(candidate);
        let read = layers.read_judged(&mut programs, &mut owners);
        let mut found = owners.faults.found;
        if let Ok(layers) = &read {
            tell_of_layers(candidate, &layers.layers, programs.seen, &mut found);
        }
        tell(&found)?;
        let mut layers = read?;
        if let Programs::Given(facts) = &question.programs {
            let owner = Owner::Host("--facts".to_owned());
            layers.layers.insert(0, Layer { owner, facts: facts.clone(), ..Layer::default() });
        }
        let asked = question.asked(config);
        let mut told = BTreeSet::new();
        // Those that nobody asks for last, so that they are told only what is theirs.
        for format in asked.iter().copied().chain(Format::ALL.into_iter().filter(|format| !asked.contains(format))) {
            let reasons = if format == config.format { REASONS.as_slice() } else { &[Reason::Refresh] };
            let mut found = Vec::new();
            for error in self.faults_in(&layers, format, reasons)? {
                let is_open = |undefined: &Undefined| programs.is_open && undefined.may_be_a_fact;
                let text = format!("{error:#}");
                if !told.insert(text.clone()) {
                    continue;
                }
                found.push(match error.downcast_ref() {
                    Some(undefined) if is_open(undefined) => Finding::NotJudged(text),
                    _ if format == config.format => Finding::Error(text),
                    _ if asked.contains(&format) => Finding::Error(format!("in the format {format}: {text}")),
                    _ => Finding::Note(format!("in the format {format}, for which nothing here asks: {text}")),
                });
            }
            tell(&found)?;
        }
        Ok(())
    }

    /// What is wrong with the discs of one format.
    fn faults_in(&self, layers: &Layers, format: Format, reasons: &[Reason]) -> Result<Vec<Error>> {
        let request = Request { format: Some(format), ..Request::default() };
        let mut faults = Vec::new();
        for &reason in reasons {
            self.confined.begin_disc()?;
            let edition = Edition { reason, ..first_edition() };
            let mut fault = |fault| {
                faults.push(fault);
                Ok(())
            };
            let whole = layers.judge(&request, edition, &mut fault);
            faults.extend(whole.err());
        }
        Ok(faults)
    }
}

/// What does not count, and where nothing is.
fn tell_of_layers(candidate: &Candidate, layers: &[Layer], has_programs: bool, found: &mut Vec<Finding>) {
    let is_empty = |layer: &Layer| layer.files.is_empty() && layer.facts.is_empty();
    if found.is_empty() && !has_programs && layers.iter().all(is_empty) {
        let dir = candidate.host.config_dir();
        let what = "holds no files and no facts: guests get nothing of such a host";
        found.push(Finding::Note(format!("{} {what}", dir.display())));
    }
    for layer in layers {
        let left_over = layer.left_over.iter().map(|path| format!("{path} does not count, by its name"));
        let empty = layer.empty.iter().map(|path| format!("{path} is empty, and no disc has it without a file in it"));
        found.extend(left_over.chain(empty).map(Finding::Note));
    }
}
