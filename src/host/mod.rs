//! This machine: where things lie, what the administrator wants, and files that survive a crash.

pub(crate) mod child;
pub(crate) mod clock;
pub mod config;
pub(crate) mod disc;
pub(crate) mod file;
#[cfg(feature = "libvirt")]
pub(crate) mod gather;
pub(crate) mod host_wide;
pub(crate) mod identity;
pub(crate) mod judge;
pub(crate) mod layers;
pub(crate) mod left_over;
pub(crate) mod log;
#[cfg(feature = "libvirt")]
pub(crate) mod medium;
#[cfg(feature = "libvirt")]
pub mod metrics;
pub(crate) mod off;
pub mod paths;
pub(crate) mod programs;
pub(crate) mod receipt;
pub mod results;
pub(crate) mod rules;
pub(crate) mod select;
pub(crate) mod signing;
pub mod vm;
