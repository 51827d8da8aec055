//! Other programs read our discs: only they can say whether a disc is right.
//!
//! Each test writes all trees of `samples` and lets one program read them back. A program that isn't installed is a
//! failure that names its Debian package, not a skipped test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as loudly as tests; clippy.toml covers only the tests themselves"
)]

mod kernel;
mod programs;
mod promises;
mod read_back;
mod samples;
mod structure;
