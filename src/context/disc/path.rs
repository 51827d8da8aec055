//! The name of a file on the disc: relative, clean, and unable to leave the disc.

use std::fmt;
use std::str::FromStr;

use anyhow::{Error, Result, anyhow};

/// Longest name of one file or directory, in bytes: Linux cuts a longer one of Rock Ridge off.
pub(crate) const MAX_NAME: usize = 253;

/// A path inside the disc, such as `openstack/latest/meta_data.json`.
///
/// Guaranteed: at least one name; no name is empty, `.` or `..`, none contains `/`, NUL or another control
/// character, none is longer than 253 bytes. Ordered by name, directory by directory.
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
                "." | ".." => return Err(bad("it must not climb (no \".\" or \"..\")")),
                _ if name.chars().any(char::is_control) => return Err(bad("it has a control character")),
                _ if name.len() > MAX_NAME => return Err(bad("a name in it is longer than 253 bytes")),
                _ => names.push(name.to_owned()),
            }
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
}
