//! libvirt, as much of it as we need: the one place that knows the `virt` crate.

pub mod connection;
pub mod domain;
mod raw;
pub mod saved;
pub mod trouble;
