//! One name in a directory of the disc: before a tree decides what to call it, and after.

use super::contents::Leaf;
use super::rock_ridge::SystemUse;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// One name in a directory, before the tree decides what to call it.
#[derive(Debug, Clone, Copy)]
pub struct Sibling<'a> {
    /// Its real name.
    pub name: &'a str,
    /// The file, or all files below the directory.
    pub what: What<'a>,
}

/// A file, or the files below a directory.
#[derive(Debug, Clone, Copy)]
pub enum What<'a> {
    /// A file.
    File(Leaf<'a>),
    /// Never empty.
    Directory(&'a [Leaf<'a>]),
}

impl Sibling<'_> {
    /// What it is.
    pub fn kind(&self) -> Kind {
        match self.what {
            What::File(_) => Kind::File,
            What::Directory(_) => Kind::Directory,
        }
    }
}

/// One name in a directory as the tree calls it.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Its name in records and path tables.
    pub identifier: Vec<u8>,
    /// What Rock Ridge adds to its record.
    pub system_use: SystemUse<'a>,
    /// What it is.
    pub what: What<'a>,
}
