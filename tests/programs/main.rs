//! The built programs from the outside, each test on a host of its own in a temporary directory (`site`).
//!
//! `VIRT_RECONTEXT_DIST=target/dist` tests the programs in that directory instead of Cargo's. Root alone can run these
//! tests. They are one program, so that it is compiled once; `cargo test --test programs deliveries::` runs a part of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as loudly as tests; clippy.toml covers only the tests themselves"
)]

#[path = "../deliveries/mod.rs"]
mod deliveries;
mod fact_programs;
mod hostile;
mod site;
#[path = "../situations/mod.rs"]
mod situations;
