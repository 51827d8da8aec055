//! virt-recontext: gives a running VM the settings of the host it has just arrived on.
//!
//! The zones, in the order in which a context travels through them (see README.md for the picture):

pub mod context;
