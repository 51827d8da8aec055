//! Short names, each only once in its directory.

use std::collections::{BTreeMap, BTreeSet};

/// A name in a form that can be shorter than the real one.
pub trait ShortName: Ord + Clone {
    /// The same for all names whose numbered forms could meet, so that numbers are counted once for all of them.
    fn family(&self) -> Self;

    /// The same for all names that some reader takes for one.
    fn alike(&self) -> Self {
        self.clone()
    }

    /// The form that the `number`th of a family gets instead.
    fn numbered(&self, number: u32) -> Self;
}

/// What a thing should be called.
pub struct Wanted<N> {
    /// Its short name, if nothing else has it.
    pub name: N,
    /// Whether that says the same as the real name; such names go first.
    pub unchanged: bool,
}

/// Gives each of `wanted` a name of its own, in their order. The same input gives the same names.
pub fn distinct<N: ShortName>(wanted: Vec<Wanted<N>>) -> Vec<N> {
    let mut taken = BTreeSet::new();
    let unchanged: Vec<bool> = wanted.iter().map(|want| want.unchanged && taken.insert(want.name.alike())).collect();
    let mut counters = BTreeMap::new();
    let mut settle = |want: Wanted<N>| {
        if taken.insert(want.name.alike()) {
            return want.name;
        }
        let counter = counters.entry(want.name.family()).or_insert(0);
        loop {
            *counter += 1;
            let name = want.name.numbered(*counter);
            if taken.insert(name.alike()) {
                return name;
            }
        }
    };
    wanted
        .into_iter()
        .zip(unchanged)
        .map(|(want, unchanged)| if unchanged { want.name } else { settle(want) })
        .collect()
}
