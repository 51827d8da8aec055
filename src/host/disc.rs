//! The disc of one VM from this host's data: gathered, composed and put in its place.

use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};

use super::config::Config;
use super::image::{self, Identity};
use super::layers;
use super::lock::VmLock;
use super::paths::Host;
use super::state::State;
use crate::context::compose::{Layer, Occasion, compose};
use crate::context::composed::Composed;
use crate::context::iso9660::Image;
use crate::context::iso9660::date::VolumeDate;
use crate::context::iso9660::label::Label;
use crate::context::marker::{Edition, Generation, Reason};
use crate::context::moment::Moment;
use crate::context::request::Request;
use crate::context::uuid::Uuid;

/// Whose disc.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The VM's name.
    pub name: &'a str,
    /// The VM's UUID.
    pub uuid: &'a Uuid,
    /// What it asks for.
    pub request: &'a Request,
}

/// A disc's files with their volume label.
#[derive(Debug)]
pub struct Content {
    /// The files.
    pub files: Composed,
    label: Label,
    edition: Edition,
}

impl Content {
    /// Gathers and composes what would be on the disc.
    ///
    /// # Errors
    /// When any part of it cannot be read or made: a disc is whole or not at all.
    pub fn gather(host: &Host, config: &Config, subject: Subject, edition: Edition) -> Result<Content> {
        let mut layers = layers::read(host, &config.limits, subject.name, subject.uuid)?;
        layers.push(Layer::carried(subject.request)?);
        let format = subject.request.format.unwrap_or(config.format);
        let occasion = Occasion { name: subject.name, uuid: subject.uuid, host: &host.name, edition, format };
        let files = compose(layers, &occasion, config.limits.into())?;
        let label = match &subject.request.label {
            Some(label) => label.clone(),
            None => format.label().parse()?,
        };
        Ok(Content { files, label, edition })
    }

    /// The image of it.
    ///
    /// # Errors
    /// When its files cannot be on a disc.
    pub fn image(&self) -> Result<Image<'_>> {
        let date = VolumeDate::from_unix_centis(self.edition.generation.0);
        Image::new(self.files.tree(), &self.label, date).context("laying out the disc")
    }
}

/// A disc in its place.
#[derive(Debug, Clone, Copy)]
pub struct Made {
    /// Its number and reason.
    pub edition: Edition,
    /// Its file.
    pub identity: Identity,
}

/// Makes a new disc for the VM at `path`.
///
/// # Errors
/// When it cannot be made; what was at `path` is still there then.
pub fn make(
    host: &Host,
    config: &Config,
    lock: &VmLock,
    subject: Subject,
    path: &Path,
    reason: Reason,
) -> Result<Made> {
    let last = State::of(host, lock.uuid())?.and_then(|state| state.edition);
    let generation = Generation::next(last.map(|last| last.generation), Moment::from(SystemTime::now()));
    let edition = Edition { generation, reason };
    let content = Content::gather(host, config, subject, edition)?;
    let identity = image::publish(host, config, path, &content.image()?)?;
    Ok(Made { edition, identity })
}

/// Whether a disc made now would have the same content as the newest one, which still lies at `path`. Made anew with the
/// number and reason of that one, it would be the same to the byte.
///
/// # Errors
/// When the content cannot be gathered or compared.
pub fn is_current(host: &Host, config: &Config, lock: &VmLock, subject: Subject, path: &Path) -> Result<bool> {
    let Some(state) = State::of(host, lock.uuid())? else { return Ok(false) };
    let (Some(edition), Some(_)) = (state.edition, state.image.filter(|image| image == path)) else { return Ok(false) };
    let content = Content::gather(host, config, subject, edition)?;
    image::holds(host, path, &content.image()?)
}
