//! The directories of one tree of the disc, numbered, named and placed.
//!
//! A disc has two trees over the same files: the primary one with Rock Ridge, and Joliet's. They differ in names and
//! order, so each is laid out on its own.

use std::collections::VecDeque;

use super::block::{BLOCK, blocks, without_crossing};
use super::contents::Leaf;
use super::entry::{Entry, Sibling, What};
use super::record;
use super::rock_ridge::SystemUse;
use super::unrepresentable::Unrepresentable;
use super::view::View;

/// Where a directory is.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Its number in the path table; the root is 1.
    pub number: u16,
    /// Its first block, counted from the tree's first.
    pub block: u64,
    /// Its size in blocks.
    pub blocks: u64,
    /// Its link count: its own name, its `.`, and each subdirectory's `..`.
    pub links: u32,
}

impl Place {
    /// Its size in bytes.
    pub fn bytes(self) -> u64 {
        self.blocks * BLOCK as u64
    }
}

/// A directory of one tree.
#[derive(Debug)]
pub struct Directory<'a> {
    /// Its name in the path table.
    pub identifier: Vec<u8>,
    /// Where it is.
    pub here: Place,
    /// Where its parent is; the root is its own.
    pub above: Place,
    /// What Rock Ridge adds to its record of itself.
    pub own: SystemUse<'static>,
    /// What Rock Ridge adds to its record of its parent.
    pub parent: SystemUse<'static>,
    /// What is in it, in the order of the records.
    pub entries: Vec<Entry<'a>>,
}

struct Waiting<'a> {
    identifier: Vec<u8>,
    files: &'a [Leaf<'a>],
    depth: usize,
    above: Option<Place>,
}

/// Lays out the directories of `files`, which are ordered by path, for one of the trees.
///
/// They come level by level, within a level by parent, and within a parent in the order of its entries: what path
/// tables demand (ECMA-119, 6.9.1). So the n-th directory after the root belongs to the n-th entry that is a directory.
pub fn lay_out<'a>(files: &'a [Leaf<'a>], mut view: View<'_>) -> Result<Vec<Directory<'a>>, Unrepresentable> {
    let root = Waiting { identifier: vec![record::SELF], files, depth: 0, above: None };
    let mut waiting = VecDeque::from([root]);
    let mut placed = Vec::new();
    let mut block = 0;
    while let Some(Waiting { identifier, files, depth, above }) = waiting.pop_front() {
        let number = u16::try_from(placed.len() + 1).map_err(|_| Unrepresentable::TooManyDirectories)?;
        let own = if above.is_none() { view.root() } else { view.relative() };
        let parent = view.relative();
        let entries = view.entries(siblings(files, depth));
        let blocks = blocks(size(own, parent, &entries) as u64);
        let subdirectories = entries.iter().filter(|entry| matches!(entry.what, What::Directory(_))).count();
        let here = Place { number, block, blocks, links: 2 + subdirectories as u32 };
        block += blocks;
        waiting.extend(entries.iter().filter_map(|entry| match entry.what {
            What::Directory(files) => {
                Some(Waiting { identifier: entry.identifier.clone(), files, depth: depth + 1, above: Some(here) })
            }
            What::File(_) => None,
        }));
        placed.push(Directory { identifier, here, above: above.unwrap_or(here), own, parent, entries });
    }
    Ok(placed)
}

fn siblings<'a>(files: &'a [Leaf<'a>], depth: usize) -> Vec<Sibling<'a>> {
    let same = |a: &Leaf<'a>, b: &Leaf<'a>| a.names.get(depth) == b.names.get(depth);
    let sibling = |group: &'a [Leaf<'a>]| {
        let first = group.first()?;
        let name = first.names.get(depth)?;
        let is_file = first.names.len() == depth + 1;
        Some(Sibling { name, what: if is_file { What::File(*first) } else { What::Directory(group) } })
    };
    files.chunk_by(same).filter_map(sibling).collect()
}

/// How many bytes the records of a directory take, up to the end of the last one.
fn size(own: SystemUse<'_>, parent: SystemUse<'_>, entries: &[Entry<'_>]) -> usize {
    let own_and_parent = [(1, own), (1, parent)];
    let records = entries.iter().map(|entry| (entry.identifier.len(), entry.system_use));
    own_and_parent.into_iter().chain(records).fold(0, |at, (identifier, system_use)| {
        let len = record::len(identifier, system_use.len());
        without_crossing(at, len) + len
    })
}
