//! What the readers of each format expect on the disc beside the files of the layers.
//!
//! Every module here makes one format's own files out of the facts. None of them holds a time or a generation: a
//! guest acts on a byte that differs in them, so only other content may make them differ. The identity that a guest
//! sees is the domain's UUID on every host and in every generation.

mod configdrive;
pub(super) mod flat;
mod json;
mod nocloud;
mod opennebula;
mod yaml;

use anyhow::Result;

use crate::context::disc::facts::Facts;
use crate::context::disc::files::Files;
use crate::context::disc::format::Format;
use crate::context::uuid::Uuid;

/// Adds what the readers of `format` expect. Fails when the format cannot carry a fact, or a file of a layer contradicts it.
pub(super) fn complete(format: Format, disc: &mut Files, domain: &Uuid, facts: &Facts) -> Result<()> {
    match format {
        Format::Files => Ok(()),
        Format::NoCloud => nocloud::complete(disc, domain, facts),
        Format::ConfigDrive => configdrive::complete(disc, domain, facts),
        Format::OpenNebula => opennebula::complete(disc, facts),
    }
}
