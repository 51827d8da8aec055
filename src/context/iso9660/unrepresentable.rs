//! Why a tree cannot become a disc.

use std::fmt;

use super::limits::MAX_DIRECTORIES;
use crate::context::disc::path::DiscPath;

/// A tree that ISO 9660 has no way to hold, or that readers would not read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unrepresentable {
    /// A file is too large for one extent.
    FileTooLarge(DiscPath),
    /// The path tables cannot number the directories.
    TooManyDirectories,
    /// The directories or the whole disc are beyond what the fields hold.
    DiscTooLarge,
}

impl fmt::Display for Unrepresentable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileTooLarge(path) => {
                write!(f, "{:?} has 4 GiB or more, which no file on a disc can have: split it", path.to_string())
            }
            Self::TooManyDirectories => {
                write!(f, "the disc would have more than {MAX_DIRECTORIES} directories: put more files into each")
            }
            Self::DiscTooLarge => f.write_str("the disc would be larger than ISO 9660 can describe: leave files out"),
        }
    }
}

impl std::error::Error for Unrepresentable {}
