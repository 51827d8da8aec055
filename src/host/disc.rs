//! The disc of one VM from this host's data: its layers, the files of them, the image of those, and that in its place.

use std::path::Path;

use anyhow::{Context, Result};

use super::config::Config;
use super::identity;
use super::layers;
use super::paths::Host;
use super::programs::ProgramFacts;
use super::vm::image::New;
use super::vm::state::next_edition;
use super::vm::{Disc, Vm};
use crate::context::disc::compose::compose;
use crate::context::disc::files::Files;
use crate::context::disc::format::Format;
use crate::context::disc::layer::Layer;
use crate::context::disc::marker::{Edition, Occasion, Reason};
use crate::context::domain::Domain;
use crate::context::domain::request::Request;
use crate::context::iso9660::Image;
use crate::context::iso9660::date::VolumeDate;

/// All that a VM's disc is made of, read once; each edition of the disc is composed from it.
pub struct Layers<'a> {
    host: &'a Host,
    config: &'a Config,
    domain: &'a Domain<'a>,
    request: &'a Request,
    /// In their order.
    pub layers: Vec<Layer>,
}

impl<'a> Layers<'a> {
    /// No layers at all: for a disc that has to be there and cannot be made.
    pub fn none(host: &'a Host, config: &'a Config, domain: &'a Domain, request: &'a Request) -> Layers<'a> {
        Layers { host, config, domain, request, layers: Vec::new() }
    }

    /// Those of this host for the VM, with what `programs` give, and the VM's own. Fails when any part of it cannot be read
    /// or trusted: a disc is whole or not at all.
    pub fn read(mut self, programs: &mut dyn ProgramFacts) -> Result<Layers<'a>> {
        let Domain { name, uuid, .. } = self.domain;
        self.layers = layers::read(self.host, &self.config.limits, name, uuid, programs)?;
        self.layers.push(self.request.layer()?);
        Ok(self)
    }

    /// The files of one edition.
    pub fn files(&self, edition: Edition) -> Result<Files> {
        let Domain { name, uuid, .. } = self.domain;
        let host = identity::shown(self.host, self.config)?;
        let occasion = Occasion { name, uuid, host: host.as_deref(), edition, format: self.format() };
        compose(&self.layers, &occasion, self.config.limits.into())
    }

    /// The image of them.
    pub fn image(&self, edition: Edition) -> Result<Image> {
        let files = self.files(edition)?;
        let label = self.request.label_on(self.config.format).parse()?;
        let date = VolumeDate::from_unix_centis(edition.generation.0);
        Image::new(&files, &label, date).context("laying out the disc")
    }

    /// Makes a new disc at `path`. If it cannot be made, what was there is still there.
    pub fn make<'p>(&self, vm: &Vm, path: &'p Path, reason: Reason) -> Result<Disc<'p>> {
        let edition = vm.next_edition(reason)?;
        let new = New::with(self.host, path, &self.image(edition)?)?;
        vm.publish(self.config, path, edition, new)
    }

    fn format(&self) -> Format {
        self.request.format.unwrap_or(self.config.format)
    }
}

/// The edition of a disc that is only looked at.
pub fn first_edition() -> Edition {
    next_edition(None, Reason::Refresh)
}
