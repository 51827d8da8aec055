//! Bytes as text: base64 between a line that says what begins and one that says what ends.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Longest text in base64, in characters: a certificate with 256 names of 253 letters has some 90,000.
const MOST: usize = 128 * 1024;

/// Characters in a line, as ssh-keygen has it.
const LINE: usize = 70;

/// The bytes of the one `label` that `text` holds, such as "OPENSSH PRIVATE KEY".
///
/// # Errors
/// When it does not begin so, does not end so, holds something else besides, or is no base64 in between.
pub(super) fn read(text: &str, label: &str) -> Result<Vec<u8>> {
    let (begin, end) = lines(label);
    let body = text.trim().strip_prefix(begin.as_str()).with_context(|| format!("it does not begin with {begin}"))?;
    let (body, rest) = body.split_once(end.as_str()).with_context(|| format!("it is cut off: {end} is missing"))?;
    ensure!(!rest.contains(begin.as_str()), "it holds more than one; leave one of them in it");
    ensure!(rest.is_empty(), "something follows below {end}; take it away");
    decode(&body.split_ascii_whitespace().collect::<String>())
}

/// The bytes of a text in base64 without spaces.
pub(super) fn decode(base64: &str) -> Result<Vec<u8>> {
    ensure!(base64.len() <= MOST, "it is longer than {MOST} characters, which none is");
    // The error of base64 itself names a byte of what is perhaps secret.
    STANDARD.decode(base64).ok().context("it is damaged: there is something in it that is no base64")
}

/// `bytes` as ssh-keygen writes them.
pub(super) fn write(bytes: &[u8], label: &str) -> String {
    let (begin, end) = lines(label);
    let mut text = begin;
    for (at, character) in STANDARD.encode(bytes).chars().enumerate() {
        if at % LINE == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text + "\n" + &end + "\n"
}

fn lines(label: &str) -> (String, String) {
    (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 51, 52, 53, 104, 105, 106, 2000] {
            let bytes: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let text = write(&bytes, "X Y");
            assert_eq!(read(&text, "X Y").unwrap(), bytes);
            assert_eq!(read(&text.replace('\n', "\r\n"), "X Y").unwrap(), bytes);
            assert!(text.lines().all(|line| line.len() <= LINE), "{text}");
        }
    }

    #[test]
    fn what_is_something_else_is_told() {
        let one = write(b"some bytes", "X");
        for (text, told) in [
            (String::new(), "it does not begin with -----BEGIN X-----"),
            (write(b"", "Y"), "it does not begin with -----BEGIN X-----"),
            (one.replace("END", "EN"), "it is cut off: -----END X----- is missing"),
            (one.repeat(2), "it holds more than one; leave one of them in it"),
            (one.clone() + "#", "something follows below -----END X-----; take it away"),
            (one.replace('c', "."), "it is damaged: there is something in it that is no base64"),
            (write(&[0; MOST], "X"), "it is longer than 131072 characters, which none is"),
        ] {
            assert_eq!(read(&text, "X").unwrap_err().to_string(), told);
        }
    }
}
