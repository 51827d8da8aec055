//! What the readers of each format expect on the disc beside the files of the layers.
//!
//! Every module here makes one format's own files out of the facts. None of them holds a time or a generation: a
//! guest acts on a byte that differs in them, so only other content may make them differ. The identity that a guest
//! sees is the domain's UUID on every host and in every generation.

pub mod configdrive;
pub mod flat;
mod json;
pub mod nocloud;
pub mod opennebula;
mod yaml;

use anyhow::Result;

use crate::context::disc::composed::Composed;
use crate::context::disc::facts::Facts;
use crate::context::disc::format::Format;
use crate::context::uuid::Uuid;

/// Adds what the readers of `format` expect.
///
/// # Errors
/// When a fact cannot be carried by the format, with its name; when a file of a layer contradicts the format, with its path.
pub fn complete(format: Format, disc: &mut Composed, domain: &Uuid, facts: &Facts) -> Result<()> {
    match format {
        Format::Files => Ok(()),
        Format::NoCloud => nocloud::complete(disc, domain, facts),
        Format::ConfigDrive => configdrive::complete(disc, domain, facts),
        Format::OpenNebula => opennebula::complete(disc, facts),
    }
}
