//! `preview`: what would be on a disc.

use std::io::Write;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use super::cli::{DONE, Preview};
use super::vm;
use crate::context::composed::Origin;
use crate::context::disc_path::DiscPath;
use crate::context::domain::Domain;
use crate::context::marker::{Edition, Generation, Reason};
use crate::context::moment::Moment;
use crate::host::config::Config;
use crate::host::disc::{Content, Subject};
use crate::host::paths::Host;

/// Shows the files of the disc that would be made now, or one of them.
///
/// # Errors
/// When the disc could not be made, with the reason; or has no such file.
pub fn preview(host: &Host, options: &Preview, out: &mut impl Write) -> Result<u8> {
    let config = Config::load(host)?;
    let xml = match (&options.xml, &options.vm) {
        (Some(file), _) => vm::xml_file(file)?,
        (None, Some(name)) => vm::current_xml(&vm::connect(&config)?.find(name)?)?,
        (None, None) => bail!("name a VM, or give a file with --xml"),
    };
    let content = content_of(host, &config, &xml)?;
    match &options.file {
        Some(path) => {
            let path: DiscPath = path.strip_prefix('/').unwrap_or(path).parse()?;
            let file =
                content.files.tree().get(&path).with_context(|| format!("the disc would have no file /{path}"))?;
            out.write_all(&file.bytes)?;
        }
        None => {
            content.image()?;
            for (path, file) in content.files.tree().iter() {
                let origin = match content.files.origin(path) {
                    Some(Origin::Generated) => "  (generated)",
                    Some(Origin::Merged) => "  (merged with the facts)",
                    Some(Origin::Given) | None => "",
                };
                writeln!(out, "{:04o} {:>9}  /{path}{origin}", file.mode, file.bytes.len())?;
            }
        }
    }
    Ok(DONE)
}

/// What would be on the disc of the domain that `xml` describes; one without our metadata is taken for one that asks
/// for nothing in particular.
///
/// # Errors
/// When the disc could not be made.
pub fn content_of(host: &Host, config: &Config, xml: &str) -> Result<Content> {
    let domain = Domain::read(xml)?;
    let request = domain.request()?.cloned().unwrap_or_default();
    let subject = Subject { name: &domain.name, uuid: &domain.uuid, request: &request };
    let generation = Generation::next(None, Moment::from(SystemTime::now()));
    Content::gather(host, config, subject, Edition { generation, reason: Reason::Refresh })
}
