//! Where each fact came from, as merging them finds out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The layers that have set a fact, by number (the last one wins); and the same of the facts below it, if it is a table.
#[derive(Debug, Default)]
pub(crate) struct FactOrigins {
    layers: BTreeSet<usize>,
    below: BTreeMap<String, FactOrigins>,
}

impl FactOrigins {
    /// Those of the fact `name` in this table.
    pub(crate) fn of(&mut self, name: &str) -> &mut FactOrigins {
        self.below.entry(name.to_owned()).or_default()
    }

    /// Notes that `layer`, the last one up to now, puts `value` here and so hides what was here and below.
    pub(crate) fn put(&mut self, value: &Value, layer: usize) {
        let mut layers = BTreeSet::from([layer]);
        self.collect(&mut layers);
        *self = FactOrigins::all(value, &layers);
    }

    /// Of each fact, in the order of `formats::flat`.
    #[cfg(feature = "libvirt")]
    pub(crate) fn flat(&self) -> Vec<&BTreeSet<usize>> {
        if self.below.is_empty() { vec![&self.layers] } else { self.below.values().flat_map(Self::flat).collect() }
    }

    fn collect(&self, all: &mut BTreeSet<usize>) {
        all.extend(&self.layers);
        self.below.values().for_each(|below| below.collect(all));
    }

    fn all(value: &Value, layers: &BTreeSet<usize>) -> FactOrigins {
        let tables = value.as_object().into_iter().flatten();
        let below = tables.map(|(name, value)| (name.clone(), FactOrigins::all(value, layers))).collect();
        FactOrigins { layers: layers.clone(), below }
    }
}
