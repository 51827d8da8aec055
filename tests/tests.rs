//! The tests that are written in Rust, but for those beside the code in `src`; a folder for each kind. They are one
//! program, so that it is compiled once and shares what they have in common; `cargo test --test tests discs::` runs one
//! kind.
//!
//! Most run the built programs, on a host in a temporary directory (`site`), and so need root;
//! `VIRT_RECONTEXT_DIST=target/dist` tests the programs in that directory instead of Cargo's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as loudly as tests; clippy.toml covers only the tests themselves"
)]

mod deliveries;
mod discs;
mod fact_programs;
mod formats;
mod hostile;
mod manual;
mod reader;
mod servers;
mod signature;
mod site;
mod situations;
