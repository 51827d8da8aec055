//! VMs as a person on the command line means them.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::host::config::Config;
use crate::host::file;
use crate::host::paths::Host;
use crate::libvirt::connection::Libvirt;
use crate::libvirt::domain::{Handle, Scope, Situation};

/// Largest XML file that is read, in bytes.
const MAX_XML: u64 = 8 << 20;

pub(super) fn connect(host: &Host, config: &Config) -> Result<Libvirt> {
    let uri = config.uri_of(config.driver(host)).to_owned();
    Libvirt::connect(&uri.clone(), move || {
        let _nobody_reads = writeln!(std::io::stderr(), "virt-recontext: libvirt at {uri} does not answer");
    })
}

/// The VM's XML: of the running VM, or else of its definition.
pub(super) fn current_xml(vm: &Handle) -> Result<String> {
    let arriving = vm.situation()? == Situation::Arriving;
    ensure!(!arriving, "the VM {} is just arriving; try again in a moment", vm.name()?);
    Ok(vm.xml(Scope::Live)?)
}

pub(super) fn runs(vm: &Handle) -> Result<bool> {
    Ok(vm.situation()? != Situation::Gone)
}

pub(super) fn xml_file(path: &Path) -> Result<String> {
    let bytes = file::read(path, MAX_XML)?;
    String::from_utf8(bytes).with_context(|| format!("reading {}: it is not UTF-8", path.display()))
}
