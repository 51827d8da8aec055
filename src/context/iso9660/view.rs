//! The two trees of a disc: what they call things, how they order them, and what Rock Ridge adds.

use super::distinct::{ShortName, Wanted, distinct};
use super::entry::{Entry, Sibling};
use super::joliet_name::JolietName;
use super::primary_name::PrimaryName;
use super::rock_ridge::{ContinuationArea, Name, SystemUse};

/// One of the two trees.
#[derive(Debug)]
pub enum View<'v> {
    /// 8.3 names, with the real ones in Rock Ridge fields and, if they are long, in the continuation area.
    Primary(&'v mut ContinuationArea),
    /// Names in UCS-2 and nothing else.
    Joliet,
}

impl View<'_> {
    /// What Rock Ridge adds to the root's record of itself.
    pub fn root(&self) -> SystemUse<'static> {
        match self {
            View::Primary(_) => SystemUse::Root,
            View::Joliet => SystemUse::Nothing,
        }
    }

    /// What Rock Ridge adds to a directory's records of itself and of its parent.
    pub fn relative(&self) -> SystemUse<'static> {
        match self {
            View::Primary(_) => SystemUse::Unnamed,
            View::Joliet => SystemUse::Nothing,
        }
    }

    /// The entries of a directory with `siblings`, in the order of their records.
    pub fn entries<'a>(&mut self, siblings: Vec<Sibling<'a>>) -> Vec<Entry<'a>> {
        match self {
            View::Primary(long_names) => primary(siblings, long_names),
            View::Joliet => joliet(siblings),
        }
    }
}

fn primary<'a>(siblings: Vec<Sibling<'a>>, long_names: &mut ContinuationArea) -> Vec<Entry<'a>> {
    let entry = |(name, sibling): (PrimaryName, Sibling<'a>)| {
        let identifier = name.identifier(sibling.kind());
        let name = Name::place(sibling.name, identifier.len(), long_names);
        Entry { identifier, system_use: SystemUse::Named(name), what: sibling.what }
    };
    let named = named(siblings, |sibling| PrimaryName::wanted(sibling.name, sibling.kind()));
    named.into_iter().map(entry).collect()
}

fn joliet<'a>(siblings: Vec<Sibling<'a>>) -> Vec<Entry<'a>> {
    let entry = |(name, sibling): (JolietName, Sibling<'a>)| Entry {
        identifier: name.identifier(),
        system_use: SystemUse::Nothing,
        what: sibling.what,
    };
    named(siblings, |sibling| JolietName::wanted(sibling.name)).into_iter().map(entry).collect()
}

/// Each of `siblings` with the name that it gets, in the order of these.
fn named<'a, N: ShortName>(
    siblings: Vec<Sibling<'a>>,
    wanted: impl Fn(&Sibling<'a>) -> Wanted<N>,
) -> Vec<(N, Sibling<'a>)> {
    let names = distinct(siblings.iter().map(wanted).collect());
    let mut named: Vec<_> = names.into_iter().zip(siblings).collect();
    named.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    named
}
