//! The disc's format: which files a guest expects, and under which volume label it looks for them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A format that a VM or a host can ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A plain tree under a label that no boot-time search takes for a seed.
    #[default]
    Files,
}

impl Format {
    /// The volume label that its readers look for.
    pub fn label(self) -> &'static str {
        match self {
            Format::Files => "RECONTEXT",
        }
    }
}

/// A text names no format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownFormat(String);

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a disc format; known is \"files\"", self.0)
    }
}

impl std::error::Error for UnknownFormat {}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        match name {
            "files" => Ok(Format::Files),
            other => Err(UnknownFormat(other.to_owned())),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Files => "files",
        })
    }
}
