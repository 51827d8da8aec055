//! `build`: a disc as a file.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::exit::DONE;
use super::preview::layers;
use super::vm;
use crate::context::domain::Domain;
use crate::host::config::Config;
use crate::host::disc::first_edition;
use crate::host::file;
use crate::host::paths::Host;
use crate::host::vm::image;

/// Write the disc of a domain's XML to a file.
#[derive(Debug, Args)]
pub(super) struct Build {
    /// The file with the domain's XML.
    #[arg(long, value_name = "FILE")]
    pub xml: PathBuf,
    /// The image to write.
    #[arg(long, value_name = "FILE.iso")]
    pub output: PathBuf,
}

pub(super) fn build(host: &Host, options: &Build) -> Result<u8> {
    let config = Config::load(host)?;
    let xml = vm::xml_file(&options.xml)?;
    let domain = Domain::read(&xml)?;
    let request = domain.request()?.cloned().unwrap_or_default();
    let image = layers(host, &config, &domain, &request)?.image(first_edition())?;
    file::replace(&options.output, config.image_mode, |file| image::write(&image, file))?;
    Ok(DONE)
}
