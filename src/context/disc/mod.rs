//! The content of a disc: facts and files of several owners become the files of one disc, in one of its formats.

pub mod compose;
pub mod composed;
pub mod explain;
pub mod facts;
pub mod format;
pub mod formats;
pub mod marker;
pub mod path;
pub mod template;
pub mod tree;
