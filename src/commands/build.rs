//! `build`: a disc as a file.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use super::exit::DONE;
use super::preview::{layers, signed};
use super::vm;
use crate::context::domain::Domain;
use crate::context::iso9660::Image;
use crate::host::config::Config;
use crate::host::disc::first_edition;
use crate::host::file;
use crate::host::paths::Host;
use crate::host::select;
use crate::host::vm::image;

/// Write the disc of a domain's XML to a file.
#[derive(Debug, Args)]
pub(super) struct Build {
    /// The file with the domain's XML; - is stdin.
    #[arg(long, value_name = "FILE")]
    pub xml: PathBuf,
    /// The image to write; - is stdout.
    #[arg(long, value_name = "FILE.iso")]
    pub output: PathBuf,
}

pub(super) fn build(host: &Host, options: &Build) -> Result<u8> {
    let config = Config::load_exactly(host)?;
    let xml = vm::xml_file(&options.xml)?;
    let domain = Domain::read(&xml)?;
    let request = select::request(host, &config, &domain)?;
    let (layers, _) = layers(host, &config, &domain, &request)?;
    let image = layers.image(first_edition(), &mut |sums| signed(host, &config, sums))?;
    let output = &options.output;
    match fs::symlink_metadata(output) {
        _ if output == Path::new("-") => match write_whole(&image, &mut stdout().lock()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Err(error.into()),
            written => written,
        },
        // Beside a regular file a new one is written that takes its place; what is anything else stays what it is.
        Ok(there) if !there.is_file() => {
            let opened = OpenOptions::new().write(true).create(true).truncate(true).open(output);
            opened.and_then(|mut file| write_whole(&image, &mut file))
        }
        _ => return file::replace(output, config.image_mode, |file| image::write(&image, file)).map(|_| DONE),
    }
    .with_context(|| format!("writing {}", output.display()))?;
    Ok(DONE)
}

/// Writes all of an image, its padding too, to where there may be something already, or no holes.
fn write_whole(image: &Image, out: &mut impl Write) -> io::Result<()> {
    image.write_to(out)?;
    let written: u64 = image.pieces().map(|piece| piece.len() as u64).sum();
    io::copy(&mut io::repeat(0).take(image.len() - written), out)?;
    out.flush()
}
