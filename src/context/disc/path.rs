//! The name of a file on the disc: relative, clean, and unable to leave the disc.

use std::fmt;
use std::str::FromStr;

use anyhow::{Error, Result, anyhow};

/// Longest name of one file or directory, in bytes: Linux cuts a longer one of Rock Ridge off.
pub(crate) const MAX_NAME: usize = 253;

/// Most names in a path: ECMA-119, 6.8.2.1 allows eight levels of directories, and the root, which is the first, holds the
/// first name.
pub(crate) const MAX_LEVELS: usize = 8;

/// Longest path, in bytes.
const MAX_PATH: usize = 1024;

/// A path inside the disc, such as `openstack/latest/meta_data.json`.
///
/// Guaranteed: at least one name; no name is empty, `.` or `..`, none contains `/`, NUL or another control
/// character, none is longer than 253 bytes; there are 8 of them at most, in 1,024 bytes. Ordered by name, directory by
/// directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiscPath {
    names: Vec<String>,
}

impl DiscPath {
    /// The names from the top directory down to the file itself; never empty.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The directories above it, from the top down.
    pub(crate) fn ancestors(&self) -> impl Iterator<Item = DiscPath> {
        (1..self.names.len())
            .filter_map(|depth| self.names.get(..depth))
            .map(|names| DiscPath { names: names.to_vec() })
    }
}

impl FromStr for DiscPath {
    type Err = Error;

    fn from_str(path: &str) -> Result<Self> {
        let bad = |why| anyhow!("{path:?} cannot be a file's path on the disc: {why}");
        if path.len() > MAX_PATH {
            let begin: String = path.chars().take(60).collect();
            return Err(anyhow!("{begin:?}… cannot be a file's path on the disc: it is longer than {MAX_PATH} bytes"));
        }
        if path.is_empty() {
            return Err(bad("it is empty"));
        }
        if path.starts_with('/') {
            return Err(bad("it must be relative to the top of the disc"));
        }
        let mut names = Vec::new();
        for name in path.split('/') {
            match name {
                "" => return Err(bad("it has an empty name between slashes")),
                "." | ".." => return Err(bad("no part of it may be \".\" or \"..\"")),
                _ if name.chars().any(char::is_control) => return Err(bad("it has a control character")),
                _ if name.len() > MAX_NAME => return Err(bad("a name in it is longer than 253 bytes")),
                _ => names.push(name.to_owned()),
            }
        }
        if names.len() > MAX_LEVELS {
            return Err(bad("it lies deeper than 8 levels"));
        }
        Ok(DiscPath { names })
    }
}

impl fmt::Display for DiscPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_relative_path_is_taken_as_it_is() {
        for path in ["a", "a/b/c.txt", ".hidden", "with space", "größe/日本語", "..."] {
            assert_eq!(path.parse::<DiscPath>().unwrap().to_string(), path);
        }
    }

    #[test]
    fn nothing_that_could_leave_the_disc_is_a_path() {
        for path in ["", "/etc/passwd", "..", "a/../b", "a/./b", "a//b", "a/", "a\nb", "a\0b"] {
            let error = path.parse::<DiscPath>().unwrap_err().to_string();
            assert!(error.contains("cannot be a file's path on the disc"), "{error}");
        }
        assert!("x".repeat(254).parse::<DiscPath>().is_err());
    }

    #[test]
    fn a_path_has_a_length_and_a_depth_that_every_reader_copes_with() {
        for (path, fits) in [
            ("a/b/c/d/e/f/g/h".to_owned(), true),
            ("a/b/c/d/e/f/g/h/i".to_owned(), false),
            (["x".repeat(249).as_str(); 4].join("/") + "/" + &"x".repeat(24), true),
            (["x".repeat(249).as_str(); 4].join("/") + "/" + &"x".repeat(25), false),
            ("x/".repeat(10_000_000), false),
        ] {
            let error = path.parse::<DiscPath>().err().map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(error.is_empty(), fits, "{} {error}", path.len());
            assert!(error.len() < 200, "{}", error.len());
        }
    }
}
