//! `build`: a disc as a file.

use anyhow::Result;

use super::cli::{Build, DONE};
use super::preview::{gather, next_edition};
use super::vm;
use crate::context::domain::Domain;
use crate::host::config::Config;
use crate::host::disc::Subject;
use crate::host::file;
use crate::host::paths::Host;

/// Writes the disc of the domain whose XML is given.
///
/// # Errors
/// When it cannot be made or written.
pub fn build(host: &Host, options: &Build) -> Result<u8> {
    let config = Config::load(host)?;
    let xml = vm::xml_file(&options.xml)?;
    let domain = Domain::read(&xml)?;
    let request = domain.request()?.cloned().unwrap_or_default();
    let subject = Subject { name: &domain.name, uuid: &domain.uuid, request: &request };
    let content = gather(host, &config, subject)?.content(next_edition())?;
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
