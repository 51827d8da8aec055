//! `/recontext.sums`: by it a guest sees whether what it has read is one whole disc, and a signature of it is one of the disc.

use std::fmt::Write;

use anyhow::Result;
use sha2::{Digest, Sha256};

use super::files::Files;

/// The file with the SHA-256 of every other file, for `sha256sum -c`.
pub(crate) const SUMS: &str = "recontext.sums";

/// The signature of that file, where there is one.
pub(crate) const SIGNATURE: &str = "recontext.sums.sig";

/// Adds the sums of all files that are there: small letters, two spaces, the path; in the order of the paths' bytes. No comments,
/// which busybox refuses.
pub(crate) fn add(files: &mut Files) -> Result<()> {
    let mut sums: Vec<(String, String)> =
        files.iter().map(|(path, file)| (path.to_string(), line(&path.to_string(), &file.bytes))).collect();
    sums.sort_unstable();
    let text: String = sums.into_iter().map(|(_, line)| line).collect();
    files.make(SUMS, |_| Ok(text.into_bytes()))
}

fn line(path: &str, bytes: &[u8]) -> String {
    let escaped = path.replace('\\', "\\\\");
    // As coreutils tells that a name is escaped. A line break is in no path of a disc.
    let mut line = if escaped == path { String::new() } else { "\\".to_owned() };
    for byte in Sha256::digest(bytes) {
        // Writing to a String never fails.
        let _never = write!(line, "{byte:02x}");
    }
    line + "  " + &escaped + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::disc::files::{File, Origin};

    #[test]
    fn they_are_in_the_order_of_the_paths_bytes_and_escaped_as_coreutils_does() {
        let mut files = Files::default();
        for path in ["a/b", "a.b", "x\\y"] {
            let file = File { bytes: b"".to_vec().into(), mode: 0o444 };
            files.insert(path.parse().unwrap(), file, Origin::default()).unwrap();
        }
        add(&mut files).unwrap();
        let text = String::from_utf8(files.get(&SUMS.parse().unwrap()).unwrap().bytes.to_vec()).unwrap();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(text, format!("{empty}  a.b\n{empty}  a/b\n\\{empty}  x\\\\y\n"));
    }
}
