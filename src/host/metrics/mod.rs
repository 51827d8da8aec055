//! What this host's deliveries come to, for Prometheus: counters that the helper keeps, and a text that tells of them and of what
//! is recorded. Nobody is asked for it, neither libvirt nor a guest, and whatever goes wrong with it costs no VM anything.

pub(crate) mod counters;
pub(crate) mod exposition;
mod file;
mod recorded;
pub(crate) mod refreshed;
mod text;
mod told;

pub use self::file::{VERB, serve};

pub(crate) use self::file::export;
