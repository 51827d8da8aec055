//! What a person types: one file a verb. Nothing in here waits for a guest; the helper does.

pub mod cli;
pub mod complete;
pub mod exit;

mod build;
mod check;
mod disable;
mod doctor;
mod each;
mod enable;
mod preview;
mod refresh;
mod rewrite;
mod rewritten;
mod set;
mod settle;
mod status;
mod unplug;
mod vm;
