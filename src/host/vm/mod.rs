//! A VM on this host: its job, its state, its image, and the lock under which all of them are written.

pub mod image;
pub mod job;
pub mod leftovers;
pub mod lock;
pub mod record;
pub mod state;
