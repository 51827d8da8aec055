//! How a program begins: whether it is one at all, and what the kernel needs to run it. When that is missing the kernel says
//! of the program itself that it is not there.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// As much as the kernel looks at.
const MOST: u64 = 256;

const SCRIPT: &[u8] = b"#!";
const ELF: &[u8] = b"\x7fELF";

/// Whether a file begins as programs do.
pub(crate) fn is_a_programs(path: &Path) -> bool {
    read(path).is_ok_and(|begin| begin.starts_with(SCRIPT) || begin.starts_with(ELF))
}

/// Why a program cannot be started that is there, as far as that shows in it.
pub(super) fn why_not_started(program: &Path, error: &io::Error) -> Option<String> {
    // Of one without such a first line the C library makes a script of /bin/sh.
    let is_missing = error.kind() == ErrorKind::NotFound;
    let begin = is_missing.then(|| read(program)).and_then(Result::ok)?;
    Some(match interpreter(&begin).as_deref() {
        Some(name) if name.ends_with('\r') => format!(
            "its lines end as on Windows, so that its first one asks for the interpreter {name:?}, which is not there: save \
             it with plain line ends"
        ),
        Some(name) => format!("its first line asks for the interpreter {name:?}, which is not there"),
        None => "something without which it cannot start, such as its loader, is not there".to_owned(),
    })
}

/// The program that a script's first line names.
fn interpreter(begin: &[u8]) -> Option<String> {
    let line = begin.strip_prefix(SCRIPT)?.split(|byte| *byte == b'\n').next()?;
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let name = line.split(blank).find(|word| !word.is_empty())?;
    Some(String::from_utf8_lossy(name).into_owned())
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut begin = Vec::new();
    // To open a pipe is to wait for whoever writes to it.
    if !fs::metadata(path)?.is_file() {
        return Ok(begin);
    }
    File::open(path)?.take(MOST).read_to_end(&mut begin).map(|_| begin)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn a_pipe_is_no_program_and_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        let (answer, answers) = channel();
        thread::spawn(move || answer.send(is_a_programs(&pipe)));
        assert_eq!(answers.recv_timeout(Duration::from_secs(20)), Ok(false));
    }
}
