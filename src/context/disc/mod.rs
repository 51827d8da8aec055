//! The content of a disc: facts and files of several owners become the files of one disc, in one of its formats.

pub mod budget;
pub mod compose;
#[cfg(feature = "libvirt")]
pub(crate) mod explain;
mod fact_origins;
pub mod facts;
pub mod files;
pub mod format;
mod formats;
pub mod layer;
pub(crate) mod loss;
pub mod marker;
pub mod path;
pub(crate) mod sums;
pub(crate) mod template;
pub(crate) mod undefined;
mod whole_numbers;

#[cfg(feature = "libvirt")]
pub(crate) use self::formats::flat::Clash;
