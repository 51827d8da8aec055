//! This machine: where things lie, what the administrator wants, and files that survive a crash.

pub mod child;
pub mod clock;
pub mod config;
pub mod disc;
pub mod file;
pub mod identity;
pub mod layers;
pub mod log;
pub mod paths;
pub mod programs;
pub mod vm;
