//! What helps where a fact stands in the way that no program prints any more.

use anyhow::{Error, anyhow};

use crate::context::disc::Clash;
use crate::host::programs::Printed;
use crate::host::results::Results;

/// Why there can be no disc, with the way out if that is a fact that is only kept.
pub(crate) fn hint(printed: &Printed, error: Error) -> Error {
    let Some(Clash { facts, .. }) = error.downcast_ref() else { return error };
    let lost = |results: &Results| -> Vec<String> {
        results.known().flat_map(|program| results.lost(program)).map(dotted).collect()
    };
    let kept: Vec<String> = [&printed.host, &printed.vm].into_iter().flat_map(lost).collect();
    let is_in = |fact: &str, kept: &String| {
        fact.strip_prefix(kept.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    match facts.iter().find(|fact| kept.iter().any(|kept| is_in(fact, kept))) {
        Some(fact) => anyhow!(
            "{error:#}; {fact:?} is not printed any more, and kept for facts_grace: \"virt-recontext refresh --all \
             --accept-loss\" lets it go at once"
        ),
        None => error,
    }
}

/// The place of a JSON pointer as formats write it that know no tables.
fn dotted(pointer: &str) -> String {
    let name = |part: &str| part.replace("~1", "/").replace("~0", "~");
    pointer.split('/').skip(1).map(name).collect::<Vec<_>>().join(".")
}
