//! virt-recontext: the command line, and the helper that the hook starts.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use virt_recontext::commands::cli::Cli;
use virt_recontext::commands::exit::FAILED;
use virt_recontext::host::paths::Host;

fn main() -> ExitCode {
    match Cli::parse().run(&Host::real()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _nobody_reads = writeln!(std::io::stderr(), "virt-recontext: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}
