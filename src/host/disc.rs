//! The disc of one VM from this host's data: its layers, the files of them, the image of those, and that in its place.

use std::path::Path;

#[cfg(feature = "libvirt")]
use anyhow::Error;
use anyhow::{Context, Result};

use super::config::Config;
use super::identity;
use super::judge::{Judge, Strict};
use super::layers;
use super::paths::Host;
use super::programs::ProgramFacts;
use super::signing::{Ask, Signing};
use super::vm::image::New;
use super::vm::state::next_edition;
use super::vm::{Disc, Vm};
use crate::context::disc::compose::compose;
#[cfg(feature = "libvirt")]
use crate::context::disc::compose::compose_judged;
use crate::context::disc::files::Files;
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
    /// The MACs of interfaces that are on another network since the VM came.
    new_networks: Vec<String>,
    is_signed: bool,
    /// In their order.
    pub layers: Vec<Layer>,
}

impl<'a> Layers<'a> {
    /// No layers at all: for a disc that has to be there and cannot be made.
    pub fn none(host: &'a Host, config: &'a Config, domain: &'a Domain, request: &'a Request) -> Layers<'a> {
        Layers { host, config, domain, request, new_networks: Vec::new(), is_signed: true, layers: Vec::new() }
    }

    /// The same for a VM that has these interfaces, by their MACs, on another network since it came.
    pub(crate) fn telling(self, new_networks: Vec<String>) -> Layers<'a> {
        Layers { new_networks, ..self }
    }

    /// The same for a disc that is signed by nobody: guests that know signers are to refuse it.
    pub(crate) fn unsigned(self) -> Layers<'a> {
        Layers { is_signed: false, ..self }
    }

    /// Those of this host for the VM, with what `programs` give, and the VM's own. Fails when any part of it cannot be read
    /// or trusted: a disc is whole or not at all.
    pub fn read(self, programs: &mut dyn ProgramFacts) -> Result<Layers<'a>> {
        self.read_judged(programs, &mut Strict)
    }

    /// The same, as whoever looks at them judges them.
    pub(crate) fn read_judged(mut self, programs: &mut dyn ProgramFacts, judge: &mut dyn Judge) -> Result<Layers<'a>> {
        let Domain { name, uuid, .. } = self.domain;
        self.layers = layers::read_judged(self.host, &self.config.limits, name, uuid, programs, judge)?;
        self.layers.push(self.request.layer()?);
        Ok(self)
    }

    /// The files of one edition, which `ask` has signed where `sign_command` signs.
    pub fn files(&self, edition: Edition, ask: &mut Ask) -> Result<Files> {
        let limits = self.config.limits.into();
        self.files_by(self.request, edition, ask, |occasion| compose(&self.layers, occasion, limits))
    }

    /// Whether there can be such an edition for a VM with another `request`. For each file that it cannot hold, `fault` is called; where that fails, it is the end.
    #[cfg(feature = "libvirt")]
    pub(crate) fn judge(
        &self,
        request: &Request,
        edition: Edition,
        fault: &mut dyn FnMut(Error) -> Result<()>,
    ) -> Result<()> {
        let limits = self.config.limits.into();
        let compose = |occasion: &Occasion| compose_judged(&self.layers, occasion, limits, fault);
        let files = self.files_by(request, edition, &mut |_| Ok(None), compose)?;
        self.image_of(&files, request, edition).map(drop)
    }

    fn files_by(
        &self,
        request: &Request,
        edition: Edition,
        ask: &mut Ask,
        compose: impl FnOnce(&Occasion) -> Result<Files>,
    ) -> Result<Files> {
        let Domain { name, uuid, .. } = self.domain;
        let host = identity::shown(self.host, self.config)?;
        let format = request.format.unwrap_or(self.config.format);
        let new_networks = self.new_networks.as_slice();
        let signing = if self.is_signed { Signing::of(self.host, self.config)? } else { None };
        let signer = signing.as_ref().map(Signing::signer);
        let occasion = Occasion { name, uuid, host: host.as_deref(), edition, format, signer, new_networks };
        let mut files = compose(&occasion)?;
        signing.map_or(Ok(()), |signing| signing.sign(&mut files, ask))?;
        Ok(files)
    }

    /// The image of them.
    pub fn image(&self, edition: Edition, ask: &mut Ask) -> Result<Image> {
        self.image_of(&self.files(edition, ask)?, self.request, edition)
    }

    /// The image of these files of one edition.
    pub(crate) fn image_of(&self, files: &Files, request: &Request, edition: Edition) -> Result<Image> {
        let label = request.label_on(self.config.format).parse()?;
        let date = VolumeDate::from_unix_centis(edition.generation.0);
        Image::new(files, &label, date).context("laying out the disc")
    }

    /// Makes a new disc at `path`, unless `sign_command` is to sign it. If it cannot be made, what was there is still there.
    pub fn make<'p>(&self, vm: &Vm, path: &'p Path, reason: Reason) -> Result<Disc<'p>> {
        let edition = vm.next_edition(reason)?;
        let new = New::with(self.host, path, &self.image(edition, &mut |_| Ok(None))?)?;
        vm.publish(self.config, path, edition, new)
    }
}

/// The edition of a disc that is only looked at.
pub fn first_edition() -> Edition {
    next_edition(None, Reason::Refresh)
}
