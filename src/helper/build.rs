//! `build`: a disc as a file.

use anyhow::Result;

use super::cli::{Build, DONE};
use super::preview::content_of;
use super::vm;
use crate::host::config::Config;
use crate::host::file;
use crate::host::paths::Host;

/// Writes the disc of the domain whose XML is given.
///
/// # Errors
/// When it cannot be made or written.
pub fn build(host: &Host, options: &Build) -> Result<u8> {
    let config = Config::load(host)?;
    let content = content_of(host, &config, &vm::xml_file(&options.xml)?)?;
    let image = content.image()?;
    file::replace(&options.output, config.image_mode, |file| {
        let mut out = std::io::BufWriter::with_capacity(1 << 16, &mut *file);
        image.write_to(&mut out)?;
        std::io::Write::flush(&mut out)?;
        drop(out);
        Ok(file.set_len(image.len())?)
    })?;
    Ok(DONE)
}
