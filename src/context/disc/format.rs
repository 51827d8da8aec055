//! The disc's format: which files a guest expects, and under which volume label it looks for them.
//! What each format adds to the files is in `formats`.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Error, Result};
use serde::{Deserialize, Serialize};

/// A format that a VM or a host can ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A plain tree under a label that no boot-time search takes for a seed.
    #[default]
    Files,
    /// cloud-init's NoCloud seed.
    NoCloud,
    /// OpenStack's config drive, version 2.
    ConfigDrive,
    /// OpenNebula's context disc.
    OpenNebula,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 4] = [Format::Files, Format::NoCloud, Format::ConfigDrive, Format::OpenNebula];

    /// Its name in configuration, metadata and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Format::Files => "files",
            Format::NoCloud => "nocloud",
            Format::ConfigDrive => "configdrive",
            Format::OpenNebula => "opennebula",
        }
    }

    /// The volume label that its readers look for.
    pub fn label(self) -> &'static str {
        match self {
            Format::Files => "RECONTEXT",
            Format::NoCloud => "cidata",
            Format::ConfigDrive => "config-2",
            Format::OpenNebula => "CONTEXT",
        }
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = Format::ALL.into_iter().find(|format| format.name() == name);
        known.with_context(|| {
            let name: String = name.chars().take(60).collect();
            format!("{name:?} is not a disc format; known are {}", Format::ALL.map(Format::name).join(", "))
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::iso9660::label::Label;

    #[test]
    fn every_format_has_one_name_everywhere_and_a_label_that_a_disc_can_have() {
        for format in Format::ALL {
            assert_eq!(format.name().parse::<Format>().unwrap(), format);
            assert_eq!(serde_json::to_value(format).unwrap(), format.name());
            assert!(format.label().parse::<Label>().is_ok());
        }
    }

    #[test]
    fn an_unknown_name_is_told_all_known_ones() {
        let error = "zip".parse::<Format>().unwrap_err().to_string();
        assert_eq!(error, "\"zip\" is not a disc format; known are files, nocloud, configdrive, opennebula");
    }
}
