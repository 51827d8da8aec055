//! libvirt, as much of it as we need: the one place that knows the `virt` crate.

pub(crate) mod connection;
pub(crate) mod counters;
pub(crate) mod domain;
mod lookup;
mod raw;
pub(crate) mod saved;
pub(crate) mod survey;
pub(crate) mod trouble;
