//! Other programs read our discs: only they can say whether a disc is right.
//!
//! Each test writes all trees of `samples` and lets one program read them back. A program that isn't installed is a
//! failure that names its Debian package, not a skipped test.

mod kernel;
mod programs;
mod promises;
mod read_back;
mod samples;
mod structure;
