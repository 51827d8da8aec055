//! The disc of one VM from this host's data: gathered, composed and put in its place.

use std::path::Path;

use anyhow::{Context, Result};

use super::clock;
use super::config::Config;
use super::identity;
use super::layers;
use super::paths::Host;
use super::programs::ProgramFacts;
use super::vm::state::State;
use super::vm::{Disc, Vm, image};
use crate::context::disc::compose::{Layer, Occasion, compose};
use crate::context::disc::composed::Composed;
use crate::context::disc::marker::{Edition, Generation, Reason};
use crate::context::domain::request::Request;
use crate::context::iso9660::Image;
use crate::context::iso9660::date::VolumeDate;
use crate::context::iso9660::label::Label;
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

/// All that a VM's disc is made of, gathered once; each edition of the disc is composed from it.
pub struct Sources<'a> {
    host: &'a Host,
    config: &'a Config,
    subject: Subject<'a>,
    layers: Vec<Layer>,
}

impl<'a> Sources<'a> {
    /// Gathers the layers for the VM, with what `programs` give.
    ///
    /// # Errors
    /// When any part of it cannot be read or trusted: a disc is whole or not at all.
    pub fn gather(
        host: &'a Host,
        config: &'a Config,
        subject: Subject<'a>,
        programs: &mut dyn ProgramFacts,
    ) -> Result<Sources<'a>> {
        let mut layers = layers::read(host, &config.limits, subject.name, subject.uuid, programs)?;
        layers.push(subject.request.layer()?);
        Ok(Sources { host, config, subject, layers })
    }

    /// No layers at all: for a disc that has to be there and cannot be made.
    pub fn none(host: &'a Host, config: &'a Config, subject: Subject<'a>) -> Sources<'a> {
        Sources { host, config, subject, layers: Vec::new() }
    }

    /// The layers, in their order.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The files of one edition.
    ///
    /// # Errors
    /// When any part of it cannot be made.
    pub fn content(&self, edition: Edition) -> Result<Content> {
        let Subject { name, uuid, request } = self.subject;
        let host = identity::shown(self.host, self.config)?;
        let format = request.format.unwrap_or(self.config.format);
        let occasion = Occasion { name, uuid, host: host.as_deref(), edition, format };
        let files = compose(&self.layers, &occasion, self.config.limits.into())?;
        let label = match &request.label {
            Some(label) => label.clone(),
            None => format.label().parse()?,
        };
        Ok(Content { files, label, edition })
    }

    /// Makes a new disc at `path`.
    ///
    /// # Errors
    /// When it cannot be made; what was at `path` is still there then.
    pub fn make<'p>(&self, vm: &Vm, path: &'p Path, reason: Reason) -> Result<Disc<'p>> {
        let edition = vm.next_edition(reason)?;
        vm.publish(self.config, path, edition, &self.content(edition)?.image()?)
    }

    /// Whether a disc made now would have the same content as the newest one, which still lies at `path`. Made anew with
    /// the number and reason of that one, it would be the same to the byte.
    ///
    /// # Errors
    /// When the content cannot be made or compared.
    pub fn are_on(&self, vm: &Vm, path: &Path) -> Result<bool> {
        let Some(state) = State::of(self.host, vm.uuid())? else { return Ok(false) };
        let Some(edition) = state.edition.filter(|_| state.image.as_deref() == Some(path)) else { return Ok(false) };
        image::holds(self.host, path, &self.content(edition)?.image()?)
    }
}

/// The edition of a disc that is only looked at.
pub fn next_edition() -> Edition {
    Edition { generation: Generation::next(None, clock::now()), reason: Reason::Refresh }
}

impl Content {
    /// The image of it.
    ///
    /// # Errors
    /// When its files cannot be on a disc.
    pub fn image(&self) -> Result<Image<'_>> {
        let date = VolumeDate::from_unix_centis(self.edition.generation.0);
        Image::new(self.files.tree(), &self.label, date).context("laying out the disc")
    }
}
