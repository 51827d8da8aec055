//! The name of a volume, by which guests find the disc.

use std::fmt;
use std::str::FromStr;

/// Longest label: the Joliet descriptor has room for 16 characters, the primary one for 32.
const MAX: usize = 16;

/// A volume label such as `cidata` or `config-2`.
///
/// Guaranteed: 1 to 16 characters of `A-Z a-z 0-9 _ -`, so every reader shows the same label, whichever descriptor it
/// looks at. Lower case and `-` go beyond ECMA-119's d-characters, but guests look for exactly these labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label(String);

/// A text that cannot be a volume label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLabel(String);

impl fmt::Display for BadLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BadLabel(label) = self;
        write!(f, "{label:?} cannot be a disc's label: use 1 to {MAX} characters of A-Z, a-z, 0-9, \"_\" and \"-\"")
    }
}

impl std::error::Error for BadLabel {}

impl FromStr for Label {
    type Err = BadLabel;

    fn from_str(label: &str) -> Result<Self, BadLabel> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if (1..=MAX).contains(&label.len()) && label.bytes().all(allowed) {
            Ok(Label(label.to_owned()))
        } else {
            Err(BadLabel(label.to_owned()))
        }
    }
}

impl Label {
    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labels_that_guests_look_for_are_taken_as_they_are() {
        for label in ["cidata", "config-2", "CONTEXT", "RECONTEXT", "a", "0123456789_-abcD"] {
            assert_eq!(label.parse::<Label>().unwrap().to_string(), label);
        }
    }

    #[test]
    fn a_label_that_readers_would_show_differently_is_refused_with_what_is_allowed() {
        for label in ["", "0123456789_-abcDe", "with space", "größe", "a/b", "a\n"] {
            let error = label.parse::<Label>().unwrap_err().to_string();
            assert!(error.contains("1 to 16 characters of A-Z"), "{error}");
        }
    }
}
