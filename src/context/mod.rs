//! What goes onto a disc, and the domain XML that asks for it.
//!
//! Everything in here is pure: bytes in, bytes out. No disk, no clock, no program, no libvirt.

// A domain's XML, what it asks for, and the edit that puts a disc into its drive.
pub mod domain;
pub mod drive;
pub mod driver;
pub mod new_drive;
pub mod request;
pub mod rewrite;
pub mod uuid;
pub mod xml;

// Facts and files of several owners, composed to the files of one disc.
pub mod compose;
pub mod composed;
pub mod disc_path;
pub mod explain;
pub mod facts;
pub mod format;
pub mod formats;
pub mod marker;
pub mod moment;
pub mod template;
pub mod toml_fault;
pub mod tree;

// The files as an image.
pub mod iso9660;
