//! Whether the file of metrics comes to where it is wanted.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, SystemTime};

use super::report::Report;
use crate::host::config::Config;
use crate::host::paths::Host;

/// A file that is older than three of the timer's refreshes is not written any more.
const OLD: Duration = Duration::from_secs(15 * 60);

/// So long a file system may take to tell.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn check(host: &Host, config: &Config, report: &mut Report) {
    let Some(told) = &config.metrics_file else { return };
    let check = &mut report.check("metrics");
    let path = Path::new(told);
    if path.extension().is_none_or(|end| end != "prom") {
        check.warning(
            format_args!("node_exporter reads only files whose name ends in .prom, and metrics_file is {told}"),
            "give metrics_file such a name in config.toml; then virt-recontext refresh --all",
        );
    }
    match age(host.under_root(path)) {
        Ok(age) if age < OLD => check.good(format_args!("{told} was written {} s ago", age.as_secs())),
        Ok(age) => check.warning(
            format_args!("{told} was last written {} min ago", age.as_secs() / 60),
            "virt-recontext refresh --all; if it stays so, the log says why, and otherwise systemd's timer is not at work",
        ),
        Err(error) => check.warning(
            format_args!("{told} has not been written: {error}"),
            format_args!(
                "make its directory, if that is missing, and run: virt-recontext refresh --all; if {told} is not there then, \
                 the log says why"
            ),
        ),
    }
}

/// How long ago the file was written.
fn age(path: PathBuf) -> io::Result<Duration> {
    let (answer, answers) = channel();
    thread::spawn(move || {
        let _given_up = answer.send(path.metadata().and_then(|found| found.modified()));
    });
    let written = answers.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        Err(io::Error::other(format!("its file system does not answer within {} s", PATIENCE.as_secs())))
    });
    written.map(|at| SystemTime::now().duration_since(at).unwrap_or_default())
}
