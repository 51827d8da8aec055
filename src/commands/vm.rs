//! VMs as a person on the command line means them.

use std::fs::File;
use std::io::{Read, Write, stdin};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::context::byte_order_mark;
use crate::host::config::Config;
use crate::host::paths::Host;
use crate::libvirt::connection::Libvirt;
use crate::libvirt::domain::{Handle, Scope, Situation};

/// Largest XML that is read, in bytes.
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

/// Tells on stderr which keys of the configuration do not count.
pub(super) fn tell_unknown_keys(config: &Config) {
    for key in &config.unknown {
        let _nobody_reads = writeln!(std::io::stderr(), "virt-recontext: {}", on_one_line(key));
    }
}

/// Tells on stderr that this is all there is to say, since `which` takes part: scripts read stdout.
pub(super) fn tell_that_none_takes_part(which: &str) {
    let hint = "\"virt-recontext enable VM\" lets one take part";
    let _nobody_reads = writeln!(std::io::stderr(), "virt-recontext: {which} takes part; {hint}");
}

pub(super) fn runs(vm: &Handle) -> Result<bool> {
    Ok(vm.situation()? != Situation::Gone)
}

/// A line as a terminal shows it: whoever made the VM has chosen its name, and what is told may quote it.
pub(super) fn on_one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The domain's XML in the file that a person names, which may be a pipe; - is stdin.
pub(super) fn xml_file(path: &Path) -> Result<String> {
    let from_stdin = path == Path::new("-");
    let shown = if from_stdin { "stdin".to_owned() } else { path.display().to_string() };
    let mut bytes = Vec::new();
    let read = match from_stdin {
        true => stdin().take(MAX_XML + 1).read_to_end(&mut bytes),
        false => File::open(path).and_then(|file| file.take(MAX_XML + 1).read_to_end(&mut bytes)),
    };
    read.with_context(|| format!("reading {shown}"))?;
    ensure!(bytes.len() as u64 <= MAX_XML, "reading {shown}: it is larger than {MAX_XML} bytes");
    let text = str::from_utf8(byte_order_mark::without_in(&bytes));
    text.map(str::to_owned).with_context(|| format!("reading {shown}: it is not UTF-8"))
}
