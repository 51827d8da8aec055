//! Is a directory of configuration fit for a host? It is judged where it lies, by anybody, without a host that uses it: no
//! root, no VM and no libvirt. The code that makes discs reads it and composes them, but does not end at the first fault.

mod candidate;
mod config;
mod directory;
mod discs;
mod findings;
mod overlay;
mod owners;
mod programs;
mod sample;
mod signing;

use anyhow::Result;

pub(crate) use self::candidate::Candidate;
pub(crate) use self::findings::Findings;
pub(crate) use self::overlay::With;
pub(crate) use self::programs::Programs;
use self::programs::{About, HostWide};
pub(crate) use self::sample::Sample;

use crate::context::disc::format::Format;
use crate::host::config::Config;
use crate::host::paths::Host;

/// What a directory is judged by besides what lies in it.
pub(crate) struct Question {
    /// A VM that has no data of its own here, unless it is called so.
    pub sample: Sample,
    /// Formats that VMs ask for.
    pub formats: Vec<Format>,
    pub programs: Programs,
}

impl Question {
    /// The formats that a VM is given or may ask for, as far as that is known; that of the host comes first.
    fn asked(&self, config: &Config) -> Vec<Format> {
        let of_rules = config.select.numbered().filter_map(|(_, rule)| rule.request(None).format);
        let mut asked = vec![config.format];
        for format in of_rules.chain(self.formats.iter().copied()) {
            if !asked.contains(&format) {
                asked.push(format);
            }
        }
        asked
    }
}

/// What is wrong with a directory, and what is worth a look. Only for a process with one thread.
pub(crate) fn judge(candidate: &Candidate, question: &Question) -> Findings {
    let mut findings = Findings::default();
    let config = config::judge(candidate, &mut findings);
    signing::judge(candidate, &config, &mut findings);
    let mut samples = vec![question.sample.clone()];
    samples.extend(directory::judge(candidate, &question.sample, &mut findings));
    // What ends one would end each of them, in its time.
    let host_wide = HostWide::of(candidate, &config, &question.programs);
    let about = About { candidate, config: &config, question, host_wide: &host_wide };
    let ended = samples.iter().position(|sample| !discs::judge(about, sample, &mut findings));
    if let Some(number) = ended.filter(|number| number + 1 < samples.len()) {
        findings.note(format_args!("directories of domains that are not judged: {}", samples.len() - number - 1));
    }
    findings.settle(candidate, &question.programs);
    findings
}

/// The same if the files of `with` lay there. What was wrong without them is no fault of theirs: or a directory of two faults
/// could never be mended, file by file.
///
/// # Errors
/// When they cannot be thought of there.
pub(crate) fn judge_with(host: &Host, now: &Candidate, with: &[With], question: &Question) -> Result<Findings> {
    let before = if now.is_there() { judge(now, question) } else { Findings::default() };
    let then = now.with(host, with)?;
    let mut findings = judge(&then, question);
    let places: Vec<String> = with.iter().map(|with| then.place(&with.place)).collect();
    findings.blame(&places, &before);
    Ok(findings)
}
