//! What goes onto a disc, and the domain XML that asks for it.
//!
//! Everything in here is pure: bytes in, bytes out. No disk, no clock, no program, no libvirt.

// The files as an image.
pub mod iso9660;
// Facts and files of several owners, composed to the files of one disc.
pub mod disc;
// A domain's XML, what it asks for, and the edit that puts a disc into its drive.
pub mod domain;
// Who signs a disc, and the signature.
pub mod signature;

pub(crate) mod byte_order_mark;
pub mod moment;
pub(crate) mod toml_fault;
pub(crate) mod toml_reader;
pub mod uuid;
