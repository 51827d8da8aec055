//! Discs, and what another program finds on them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde_json::Value;
use tempfile::TempDir;
use virt_recontext::context::disc::compose::compose;
use virt_recontext::context::disc::files::{File, Files};
use virt_recontext::context::disc::format::Format;
use virt_recontext::context::disc::layer::{Layer, Owner};
use virt_recontext::context::disc::marker::{Edition, Generation, Occasion, Reason};
use virt_recontext::context::iso9660::Image;
use virt_recontext::context::iso9660::date::VolumeDate;
use virt_recontext::host::config::Limits;

use crate::reader::run;
use crate::site::UUID;

/// What a host says about itself, and the files that it has for guests.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// A JSON object.
    pub facts: Value,
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Given {
    pub fn facts(facts: Value) -> Given {
        Given { facts, files: BTreeMap::new() }
    }

    pub fn and_file(mut self, path: &str, text: &str) -> Given {
        self.files.insert(path.to_owned(), text.as_bytes().to_vec());
        self
    }

    pub fn composed(&self, format: Format) -> Result<Files> {
        self.composed_by("host-a", 179_540_670_612, format)
    }

    /// The disc that a host makes as its generation.
    pub fn composed_by(&self, host: &str, generation: u64, format: Format) -> Result<Files> {
        let facts = self.facts.as_object().unwrap().clone();
        let file =
            |(path, bytes): (&String, &Vec<u8>)| (path.clone(), File { bytes: bytes.clone().into(), mode: 0o444 });
        let layer = Layer { owner: Owner::Vm, facts, files: self.files.iter().map(file).collect(), ..Layer::default() };
        let edition = Edition { generation: Generation(generation), reason: Reason::Migrate };
        let occasion = Occasion {
            name: "vm",
            uuid: &UUID.parse()?,
            host: Some(host),
            edition,
            format,
            signer: None,
            new_networks: &[],
        };
        compose(&[layer], &occasion, Limits::default().into())
    }

    /// The files of the disc, as bsdtar finds them.
    pub fn on_disc(&self, format: Format) -> TempDir {
        extracted(&self.composed(format).unwrap(), format)
    }
}

/// Writes the disc and lets bsdtar take everything off it.
pub fn extracted(files: &Files, format: Format) -> TempDir {
    let disc = written(files, format);
    let dir = TempDir::new().unwrap();
    let mut bsdtar = Command::new("bsdtar");
    bsdtar.args(["--no-same-owner", "-xP", "-C"]).arg(dir.path()).arg("-f").arg(disc.path());
    run(&mut bsdtar, "libarchive-tools");
    dir
}

pub fn written(files: &Files, format: Format) -> tempfile::NamedTempFile {
    let disc = tempfile::NamedTempFile::new().unwrap();
    let date = VolumeDate::from_unix_centis(179_540_670_612);
    let image = Image::new(files, &format.label().parse().unwrap(), date).unwrap().to_bytes();
    fs::write(disc.path(), image).unwrap();
    disc
}

pub fn read(dir: &Path, path: &str) -> Vec<u8> {
    fs::read(dir.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
