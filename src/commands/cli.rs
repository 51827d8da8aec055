//! The command line: one options struct per verb.

use std::io::{self, Write};

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};
use nix::unistd::geteuid;

use super::exit::DONE;
use super::{build, check, disable, doctor, enable, preview, refresh, rewrite, set, status};
use crate::delivery;
use crate::host::paths::Host;

/// Gives running VMs the settings of their new host, through their CD-ROM drive.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed, the message says at what; 2 wrong usage;
            3 a guest holds its old disc, or all is switched off.
Configuration: /etc/virt-recontext/config.toml";

#[derive(Debug, Subcommand)]
enum Verb {
    Enable(enable::Enable),
    Disable(disable::Disable),
    Set(set::Set),
    Unset(set::Unset),
    Preview(preview::Preview),
    Build(build::Build),
    Check(check::Check),
    Refresh(refresh::Refresh),
    Rewrite(rewrite::Rewrite),
    Status(status::Status),
    Doctor(doctor::Doctor),
    /// Do the jobs in the spool; the hook starts this.
    Deliver,
}

impl Cli {
    /// Does what the command line says; the result is the exit code.
    pub fn run(self, host: &Host) -> Result<u8> {
        let is_for_anybody = matches!(self.verb, Verb::Check(_));
        let may = is_for_anybody || geteuid().is_root();
        ensure!(may, "only root can manage the discs of this host's VMs; try again with sudo");
        let mut out = io::stdout().lock();
        let code = match self.verb {
            Verb::Enable(options) => enable::enable(host, &options, &mut out),
            Verb::Disable(options) => disable::disable(host, &options, &mut out),
            Verb::Set(options) => set::set(host, &options, &mut out),
            Verb::Unset(options) => set::unset(host, &options, &mut out),
            Verb::Preview(options) => preview::preview(host, &options, &mut out),
            Verb::Build(options) => build::build(host, &options),
            Verb::Check(options) => check::check(host, &options, &mut out),
            Verb::Refresh(options) => refresh::refresh(host, &options, &mut out),
            Verb::Rewrite(options) => rewrite::rewrite(host, &options, &mut out),
            Verb::Status(options) => status::status(host, &options, &mut out),
            Verb::Doctor(options) => doctor::doctor(host, &options, &mut out),
            Verb::Deliver => delivery::deliver(host).map(|()| DONE),
        }?;
        out.flush()?;
        Ok(code)
    }
}
