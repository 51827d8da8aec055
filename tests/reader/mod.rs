//! Other people's programs, which judge what ours make.

use std::io::ErrorKind;
use std::process::Command;

/// Runs `command`, which must succeed; `package` has it on Debian. Returns what it printed. One that isn't installed is a
/// failure that says so, not a skipped test.
pub fn run(command: &mut Command, package: &str) -> Vec<u8> {
    let output = match command.env("LC_ALL", "C.UTF-8").output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("{:?} is not installed: apt-get install {package}", command.get_program())
        }
        output => output.unwrap(),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{command:?}: {}\n{said}\n{printed}", output.status);
    output.stdout
}
