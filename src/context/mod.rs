//! What goes onto a disc, and the domain XML that asks for it.
//!
//! Everything in here is pure: bytes in, bytes out. No disk, no clock, no program, no libvirt.

pub mod disc_path;
pub mod iso9660;
pub mod tree;
