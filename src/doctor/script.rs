//! Which programs of ours a script names. It is read as text, not understood: what is in a comment does not count, what a
//! variable stands for is not known, and what is named need not be called.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use memchr::memmem;

/// What can stand around a word in a script, in most languages.
const AROUND: &[u8] = b" \t\"'`=;|&()<>,[]";

/// The places, or the mere name, by which `script` names a program called `program`.
pub(super) fn named(script: &[u8], program: &str) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = Vec::new();
    for line in script.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii_start().starts_with(b"#")) {
        for word in line.split(|byte| AROUND.contains(byte)) {
            let path = Path::new(OsStr::from_bytes(word));
            let is_name = path == Path::new(program);
            let is_place = path.is_absolute() && path.file_name() == Some(OsStr::new(program));
            if (is_name || is_place) && memmem::find(word, b"$").is_none() && !all.iter().any(|one| one == path) {
                all.push(path.to_owned());
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_named_by_its_place_or_its_name_and_in_no_comment() {
        for (line, wanted) in [
            ("exec /usr/local/sbin/hook \"$@\"", "/usr/local/sbin/hook"),
            ("cat | \"/opt/x/hook\" \"$1\" || exit 0", "/opt/x/hook"),
            ("subprocess.run(['/opt/hook', *argv])", "/opt/hook"),
            ("HOOK=/opt/hook; $HOOK", "/opt/hook"),
            ("out=$(hook \"$@\")", "hook"),
            ("hook \"$@\"; /opt/hook", "hook /opt/hook"),
            ("/opt/hook; /opt/hook", "/opt/hook"),
            ("  # /opt/hook", ""),
            ("$DIR/hook; ${DIR}/hook; \"/$x/hook\"", ""),
            ("/opt/hook-of-others; /opt/hook.py; bin/hook; /opt/hook/x", ""),
        ] {
            let script = format!("#!/bin/sh\n{line}\n");
            let wanted: Vec<PathBuf> = wanted.split_terminator(' ').map(PathBuf::from).collect();
            assert_eq!(named(script.as_bytes(), "hook"), wanted, "{line}");
        }
    }
}
