//! virt-recontext: the command line, and the helper that the hook starts.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use virt_recontext::commands::cli::Cli;
use virt_recontext::commands::exit::{DONE, FAILED};
use virt_recontext::composer;
use virt_recontext::host::paths::Host;

fn main() -> ExitCode {
    let host = Host::real();
    let done = match std::env::args_os().skip(1).eq([composer::VERB]) {
        true => composer::serve(&host).map(|()| DONE),
        false => Cli::parse().run(&host),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _nobody_reads = writeln!(std::io::stderr(), "virt-recontext: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}
