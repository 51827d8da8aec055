//! The Linux kernel as a reader: `kernel`, beside this file, boots it in an emulated machine.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::programs::run;
use crate::read_back::ReadBack;
use crate::samples;

#[test]
fn the_linux_kernel_reads_every_tree_back_by_rock_ridge_and_joliet() {
    let work = TempDir::new().unwrap();
    let written = samples::written(work.path());
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    let out = work.path().join("out");
    let mut kernel = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/discs/kernel"));
    kernel.arg(cache).arg(&out).args(written.iter().map(|(_, disc)| disc));
    run(&mut kernel, "bash");
    for (number, (sample, _)) in written.iter().enumerate() {
        let dir = out.join(number.to_string());
        ReadBack::from_directory(&dir.join("rock")).assert_is_shown_as(sample, as_linux_shows);
        ReadBack::from_directory(&dir.join("joliet")).assert_is_joliet(sample);
    }
}

/// Linux has room for 253 bytes of a name, and leaves out the whole Rock Ridge field that would exceed them.
fn as_linux_shows(name: &str) -> String {
    let kept = if name.len() > 253 { &name.as_bytes()[..250] } else { name.as_bytes() };
    String::from_utf8_lossy(kept).into_owned()
}
