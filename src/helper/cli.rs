//! The command line: one options struct per verb.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{ArgGroup, Args, Parser, Subcommand};
use nix::unistd::geteuid;

use super::{build, deliver, disable, enable, preview, refresh, status};
use crate::context::format::Format;
use crate::context::iso9660::label::Label;
use crate::context::request;
use crate::host::paths::Host;

/// Exit code of a command that did what was asked.
pub const DONE: u8 = 0;
/// Exit code of a command that failed; the message says at what, and what to do.
pub const FAILED: u8 = 1;
/// Exit code when all is on its way, but a guest has not taken its disc yet.
pub const WAITING: u8 = 3;

/// Gives running VMs the settings of their new host, through their CD-ROM drive.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed, the message says at what; 2 wrong usage;
            3 a guest has not let go of its old disc yet.
Configuration: /etc/virt-recontext/config.toml";

#[derive(Debug, Subcommand)]
enum Verb {
    Enable(Enable),
    Disable(Disable),
    Preview(Preview),
    Build(Build),
    Refresh(Refresh),
    Status(Status),
    Deliver,
}

/// Let a VM take part: mark its XML, and find or add its CD-ROM drive.
#[derive(Debug, Args)]
pub struct Enable {
    /// The VM's name or UUID.
    pub vm: String,
    /// The drive for the disc, such as sda; else an empty one
    #[arg(long, value_name = "DEV", value_parser = request::target)]
    pub target: Option<String>,
    /// files, nocloud, configdrive or opennebula
    #[arg(long)]
    pub format: Option<Format>,
    /// The disc's volume label; else that of the format
    #[arg(long)]
    pub label: Option<Label>,
}

/// Let a VM take part no more, and take our disc out of its drive.
#[derive(Debug, Args)]
pub struct Disable {
    /// The VM's name or UUID.
    pub vm: String,
}

/// Show what would be on a VM's disc, made now on this host.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("whose").required(true).args(["vm", "xml"])))]
pub struct Preview {
    /// The VM's name or UUID.
    pub vm: Option<String>,
    /// A file with a domain's XML, instead of a VM.
    #[arg(long, value_name = "FILE")]
    pub xml: Option<PathBuf>,
    /// Show this file of the disc, instead of a list of all.
    #[arg(long, value_name = "PATH")]
    pub file: Option<String>,
    /// Tell for each file and fact which layer it is from.
    #[arg(long, conflicts_with = "file")]
    pub explain: bool,
}

/// Write the disc of a domain's XML to a file.
#[derive(Debug, Args)]
pub struct Build {
    /// The file with the domain's XML.
    #[arg(long, value_name = "FILE")]
    pub xml: PathBuf,
    /// The image to write.
    #[arg(long, value_name = "FILE.iso")]
    pub output: PathBuf,
}

/// Bring the discs of running VMs up to date, if their content changed.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["vms", "all"])))]
pub struct Refresh {
    /// Names or UUIDs.
    #[arg(value_name = "VM")]
    pub vms: Vec<String>,
    /// All running VMs that take part.
    #[arg(long)]
    pub all: bool,
    /// Change the disc even if it is the same or the guest holds it.
    #[arg(long)]
    pub force: bool,
}

/// Show what became of the discs of this host's VMs.
#[derive(Debug, Args)]
pub struct Status {
    /// One VM's name or UUID, instead of all.
    pub vm: Option<String>,
    /// As a JSON array, one object a VM.
    #[arg(long)]
    pub json: bool,
}

impl Cli {
    /// Does what the command line says; the result is the exit code.
    ///
    /// # Errors
    /// When it fails; the message says at what, and what to do.
    pub fn run(self, host: &Host) -> Result<u8> {
        ensure!(geteuid().is_root(), "only root can look after the discs of this host's VMs; try with sudo");
        let mut out = io::stdout().lock();
        let code = match self.verb {
            Verb::Enable(options) => enable::enable(host, &options, &mut out),
            Verb::Disable(options) => disable::disable(host, &options, &mut out),
            Verb::Preview(options) => preview::preview(host, &options, &mut out),
            Verb::Build(options) => build::build(host, &options),
            Verb::Refresh(options) => refresh::refresh(host, &options, &mut out),
            Verb::Status(options) => status::status(host, &options, &mut out),
            Verb::Deliver => deliver::deliver(host).map(|()| DONE),
        }?;
        out.flush()?;
        Ok(code)
    }
}
