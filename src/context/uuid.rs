//! A domain's UUID: the only part of a VM that becomes part of a file's name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A UUID in libvirt's way of writing it: 36 lower-case characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Uuid(String);

/// A text is not a UUID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadUuid(String);

impl fmt::Display for BadUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a UUID", self.0)
    }
}

impl std::error::Error for BadUuid {}

impl Uuid {
    /// Whether `text` means this one, however it is written: in capitals, or without hyphens.
    pub(crate) fn is_meant_by(&self, text: &str) -> bool {
        let digits = |text: &str| text.replace('-', "").to_ascii_lowercase();
        digits(text) == digits(&self.0)
    }
}

impl FromStr for Uuid {
    type Err = BadUuid;

    fn from_str(text: &str) -> Result<Self, BadUuid> {
        let fits = |(at, byte): (usize, u8)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        };
        if text.len() == 36 && text.bytes().enumerate().all(fits) {
            Ok(Uuid(text.to_ascii_lowercase()))
        } else {
            Err(BadUuid(text.chars().take(60).collect()))
        }
    }
}

impl TryFrom<String> for Uuid {
    type Error = BadUuid;

    fn try_from(text: String) -> Result<Self, BadUuid> {
        text.parse()
    }
}

impl From<Uuid> for String {
    fn from(uuid: Uuid) -> String {
        uuid.0
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_uuid_is_a_uuid() {
        let uuid: Uuid = "6695EB01-f6a4-8304-79aa-97f2502e193f".parse().unwrap();
        assert_eq!(uuid.to_string(), "6695eb01-f6a4-8304-79aa-97f2502e193f");
        for text in ["6695EB01-F6A4-8304-79AA-97F2502E193F", "6695eb01f6a4830479aa97f2502e193f", &uuid.0] {
            assert!(uuid.is_meant_by(text), "{text}");
        }
        assert!(!uuid.is_meant_by("") && !uuid.is_meant_by("6695eb01f6a4830479aa97f2502e193"));
        for text in
            ["", "../../../../etc/passwd", "6695eb01f6a4830479aa97f2502e193f", "6695eb01-f6a4-8304-79aa-97f2502e193/"]
        {
            assert!(text.parse::<Uuid>().is_err(), "{text:?}");
        }
    }
}
