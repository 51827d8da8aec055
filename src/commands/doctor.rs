//! `doctor`: what is wrong on this host, and what to do about it.

use std::io::Write;

use anyhow::Result;
use clap::Args;

use super::exit::{DONE, FAILED};
use crate::doctor::{Rest, examine};
use crate::host::paths::Host;

/// Check that everything VMs need to get their context is in place.
///
/// What is bad comes first, each with what to do. Nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Doctor {
    /// Print a JSON array, one object per finding, good ones too.
    #[arg(long)]
    pub json: bool,
    /// Show what is good, too.
    #[arg(short, long, conflicts_with = "json")]
    pub verbose: bool,
}

const EXIT_CODES: &str = "Exit codes: 0 nothing is bad, though there may be warnings; 1 something is bad.";

pub(super) fn doctor(host: &Host, options: &Doctor, out: &mut impl Write) -> Result<u8> {
    let report = examine(host);
    if options.json {
        report.write_json(out)?
    } else {
        report.write_text(if options.verbose { Rest::All } else { Rest::Warnings }, out)?
    }
    Ok(if report.has_bad() { FAILED } else { DONE })
}
