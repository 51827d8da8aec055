//! The Linux kernel as a reader: `kernel`, beside this file, boots it in an emulated machine.

use std::process::Command;

use tempfile::TempDir;

use crate::reader::run;

use super::read_back::ReadBack;
use super::samples;

#[test]
fn the_linux_kernel_reads_every_tree_back_by_rock_ridge_and_joliet() {
    let work = TempDir::new().unwrap();
    let written = samples::written(work.path());
    let out = work.path().join("out");
    let mut kernel = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/discs/kernel"));
    kernel.arg(&out).args(written.iter().map(|(_, disc)| disc));
    run(&mut kernel, "bash");
    for (number, (sample, _)) in written.iter().enumerate() {
        let dir = out.join(number.to_string());
        ReadBack::from_directory(&dir.join("rock")).assert_is(sample);
        ReadBack::from_directory(&dir.join("joliet")).assert_is_joliet(sample);
    }
}
