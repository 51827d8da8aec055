//! `preview`: what would be on a disc.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{ArgGroup, Args};

use super::exit::DONE;
use super::{rewritten, vm};
use crate::composer;
use crate::context::disc::explain::explain;
use crate::context::disc::files::Files;
use crate::context::disc::path::DiscPath;
use crate::context::domain::Domain;
use crate::context::domain::request::Request;
use crate::host::config::Config;
use crate::host::disc::{Layers, first_edition};
use crate::host::host_wide;
use crate::host::paths::Host;
use crate::host::programs::Printed;
use crate::host::programs::run::{Runner, Runs};
use crate::host::results::Results;
use crate::host::select::{self, Selected, selected};
use crate::host::signing::{Signing, command};
use crate::host::vm::results;
use crate::host::vm::state::State;

/// Show what would be on a VM's disc, made now on this host.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("whose").required(true).args(["vm", "xml"])))]
pub(super) struct Preview {
    /// The VM's name or UUID.
    pub vm: Option<String>,
    /// A file with a domain's XML, instead of a VM; - is stdin.
    #[arg(long, value_name = "FILE")]
    pub xml: Option<PathBuf>,
    /// Show this file of the disc, instead of a list of all.
    #[arg(long, value_name = "PATH")]
    pub file: Option<String>,
    /// Show which layer each file and fact is from.
    #[arg(long, conflicts_with = "file")]
    pub explain: bool,
    /// Show what this host's rules would change in its XML.
    #[arg(long, conflicts_with_all = ["file", "explain"])]
    pub rewrite: bool,
}

pub(super) fn preview(host: &Host, options: &Preview, out: &mut impl Write) -> Result<u8> {
    let config = Config::load_exactly(host)?;
    let xml = match (&options.xml, &options.vm) {
        (Some(file), _) => vm::xml_file(file)?,
        (None, Some(name)) => vm::current_xml(&vm::connect(host, &config)?.find(name)?)?,
        (None, None) => bail!("name a VM, or give a file with --xml"),
    };
    let domain = Domain::read(&xml)?;
    if options.rewrite {
        return rewritten::show(host, &config, &domain, out).map(|()| DONE);
    }
    let request = select::request(host, &config, &domain)?;
    let (layers, printed) = layers(host, &config, &domain, &request)?;
    // What keeps the VM from its disc, whatever that would hold.
    if let Some(Selected { number, .. }) = selected(host, &config, &domain)? {
        let _nobody_reads = writeln!(std::io::stderr(), "virt-recontext: {number} selects it");
    } else if !domain.takes_part() {
        let out =
            if select::is_taken_out(host, &domain.uuid) { ", and disable has left it out on this host" } else { "" };
        let name = &domain.name;
        let line =
            format!("{name} does not take part{out}, and gets no such disc; to let it: virt-recontext enable {name}");
        let _nobody_reads = writeln!(std::io::stderr(), "virt-recontext: {}", vm::on_one_line(&line));
    } else if let Err(error) = domain.request_and_drive() {
        let _nobody_reads = writeln!(std::io::stderr(), "virt-recontext: it would not get it as it is: {error:#}");
    }
    let edition = first_edition();
    let mut ask = |sums: &[u8]| signed(host, &config, sums);
    let files = layers.files(edition, &mut ask).map_err(|error| composer::hint(&printed, error))?;
    match &options.file {
        Some(path) => {
            let path: DiscPath = path.strip_prefix('/').unwrap_or(path).parse()?;
            out.write_all(&files.get(&path).with_context(|| format!("the disc would have no file /{path}"))?.bytes)?;
        }
        None if options.explain => {
            out.write_all(explain(&layers.layers, &files)?.as_bytes())?;
            explain_programs(&printed, out)?;
            if let Some(signing) = Signing::of(host, &config)? {
                writeln!(out, "\nThe disc is {}", signing.told())?;
            }
        }
        None => {
            layers.image_of(&files, &request, edition)?;
            list(&files, out)?;
            if let Some(signing) = Signing::of(host, &config)? {
                let _nobody_reads = writeln!(std::io::stderr(), "virt-recontext: it is {}", signing.told());
            }
        }
    }
    Ok(DONE)
}

/// What is known of the programs whose facts those are.
fn explain_programs(printed: &Printed, out: &mut impl Write) -> Result<()> {
    let lines = |results: &Results| results.known().map(|program| results.line(program)).collect::<Vec<_>>();
    for (heading, lines) in [("Host-wide programs", lines(&printed.host)), ("Programs of this VM", lines(&printed.vm))]
    {
        if !lines.is_empty() {
            writeln!(out, "\n{heading}:")?;
        }
        lines.iter().try_for_each(|line| writeln!(out, "  {}", vm::on_one_line(line)))?;
    }
    Ok(())
}

/// One line for each file: mode, size, path, and what we have done to it.
fn list(files: &Files, out: &mut impl Write) -> Result<()> {
    for (path, file) in files.iter() {
        let origin = match files.origin(path) {
            Some(origin) if origin.layers.is_empty() => "  (generated)",
            Some(origin) if origin.merged => "  (merged with the facts)",
            _ => "",
        };
        writeln!(out, "{:04o} {:>9}  /{path}{origin}", file.mode, file.bytes.len())?;
    }
    Ok(())
}

/// All that a disc made now would be made of, and what programs printed for it; what went wrong with those is told on stderr. It
/// is made with a limit on this process's memory.
pub(super) fn layers<'a>(
    host: &'a Host,
    config: &'a Config,
    domain: &'a Domain,
    request: &'a Request,
) -> Result<(Layers<'a>, Printed)> {
    let printed = Printed { host: host_wide::look(host, config)?, vm: results::of(host, &domain.uuid)? };
    let mut programs = Runner::new(Runs::of_vm(config, &domain.name, &domain.uuid), printed);
    let known = State::of(host, &domain.uuid)?;
    let layers =
        Layers::none(host, config, domain, request).telling(known.map(State::new_networks).unwrap_or_default());
    let layers = layers.read(&mut programs)?;
    for left_over in layers.layers.iter().flat_map(|layer| &layer.left_over) {
        let _nobody_reads = writeln!(std::io::stderr(), "virt-recontext: {left_over} does not count, by its name");
    }
    for empty in layers.layers.iter().flat_map(|layer| &layer.empty) {
        let _nobody_reads = writeln!(
            std::io::stderr(),
            "virt-recontext: {empty} is empty, and would not be on the disc without a file in it"
        );
    }
    for warning in programs.warnings.iter().cloned().chain(request.unknown.told()) {
        let _nobody_reads = writeln!(std::io::stderr(), "virt-recontext: {warning}");
    }
    composer::limit_own_memory(config)?;
    Ok((layers, programs.printed))
}

/// What `sign_command` signs, for a disc that is made within the limits of [`layers`].
pub(super) fn signed(host: &Host, config: &Config, sums: &[u8]) -> Result<Option<String>> {
    composer::outside_own_limit(|| command::ask(host, config, sums))?.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::disc::files::{File, Origin};

    #[test]
    fn each_file_shows_where_it_came_from() {
        let mut files = Files::default();
        for path in ["given", "merged"] {
            let origin = Origin { layers: vec![1], ..Origin::default() };
            let file = File { bytes: b"x".to_vec().into(), mode: 0o400 };
            files.insert(path.parse().unwrap(), file, origin).unwrap();
        }
        for path in ["generated", "merged"] {
            files.make(path, |given| Ok([given.unwrap_or_default(), b"y"].concat())).unwrap();
        }
        let mut out = Vec::new();
        list(&files, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "0444         1  /generated  (generated)\n\
             0400         1  /given\n\
             0400         2  /merged  (merged with the facts)\n"
        );
    }
}
