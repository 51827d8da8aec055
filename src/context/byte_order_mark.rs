//! The byte order mark that editors on Windows put before a text in UTF-8. It is no part of what the text says, and readers of
//! JSON, YAML, XML and of shell scripts trip over it; those of TOML do not.
//!
//! It is taken off from what is read as data. A file that goes on the disc as it is keeps it, and so does a template's output.

const MARK: &str = "\u{feff}";

/// The text without it.
pub(crate) fn without(text: &str) -> &str {
    text.strip_prefix(MARK).unwrap_or(text)
}

/// The bytes of a text without it.
pub(crate) fn without_in(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK.as_bytes()).unwrap_or(bytes)
}
