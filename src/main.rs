//! virt-recontext: the command line, and the helper that the hook starts.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;
use virt_recontext::commands::cli::Cli;
use virt_recontext::commands::complete::{self, complete};
use virt_recontext::commands::exit::{DONE, FAILED, NOBODY_READS};
use virt_recontext::composer;
use virt_recontext::delivery::arrived::guard;
use virt_recontext::host::metrics;
use virt_recontext::host::paths::Host;

fn main() -> ExitCode {
    let host = Host::real();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let done = match arguments.split_first() {
        Some((verb, [])) if verb == composer::VERB => composer::serve(&host).map(|()| DONE),
        Some((verb, [])) if verb == guard::VERB => guard::serve(&host).map(|()| DONE),
        Some((verb, [])) if verb == metrics::VERB => metrics::serve(&host).map(|()| DONE),
        Some((verb, line)) if verb == complete::VERB => complete(&host, line),
        _ => Cli::parse().run(&host),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_of_stdout(&error) => ExitCode::from(NOBODY_READS),
        Err(error) => {
            let _nobody_reads = writeln!(std::io::stderr(), "virt-recontext: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

/// Whether nobody reads on what is printed. What is written elsewhere says where to.
fn is_of_stdout(error: &anyhow::Error) -> bool {
    let error = error.chain().next().and_then(|error| error.downcast_ref::<io::Error>());
    error.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
