//! Names in the primary tree: 8.3, as ECMA-119's interchange level 1 has them.
//!
//! They are seen only by readers that know neither Rock Ridge nor Joliet. Letters become upper case; what is not a
//! letter or digit of ASCII becomes `_`; what is too long is cut; what would then be twice in a directory gets the end
//! of its stem replaced by a number in base 36.

use super::distinct::{ShortName, Wanted};
use super::entry::Kind;

const STEM: usize = 8;
const EXTENSION: usize = 3;
/// Digits of a number before it grows: 46655 names that differ only beyond the first five characters.
const DIGITS: usize = 3;

/// A name such as `META_DAT.JSO`.
///
/// Ordered as ECMA-119, 9.3 wants records: by stem, then by extension, shorter ones as if filled up with spaces.
/// (Raw identifiers would be out of order: `;` sorts after digits.)
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PrimaryName {
    stem: String,
    extension: String,
}

impl PrimaryName {
    /// What a thing called `name` should be called. A directory has no extension.
    pub fn wanted(name: &str, kind: Kind) -> Wanted<PrimaryName> {
        let dot = name.rsplit_once('.').filter(|(stem, _)| kind == Kind::File && !stem.is_empty());
        let (stem, extension) = dot.unwrap_or((name, ""));
        let unchanged =
            stem.len() <= STEM && extension.len() <= EXTENSION && (stem.bytes().chain(extension.bytes())).all(is_plain);
        Wanted {
            name: PrimaryName { stem: d_characters(stem, STEM), extension: d_characters(extension, EXTENSION) },
            unchanged,
        }
    }

    /// The identifier in records and path tables (ECMA-119, 7.5 and 7.6); a file's ends with its version.
    pub fn identifier(&self, kind: Kind) -> Vec<u8> {
        match kind {
            Kind::Directory => self.stem.clone().into_bytes(),
            Kind::File => [&self.stem, ".", &self.extension, ";1"].concat().into_bytes(),
        }
    }
}

impl ShortName for PrimaryName {
    fn family(&self) -> Self {
        PrimaryName { stem: self.stem.chars().take(STEM - DIGITS).collect(), extension: self.extension.clone() }
    }

    fn numbered(&self, number: u32) -> Self {
        let digits = base36(number);
        let kept = STEM.saturating_sub(digits.len());
        let stem = self.stem.chars().take(kept).chain(digits.chars()).collect();
        PrimaryName { stem, extension: self.extension.clone() }
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn d_characters(name: &str, length: usize) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().take(length).map(plain).collect()
}

fn base36(mut number: u32) -> String {
    let mut digits = Vec::new();
    while number > 0 || digits.len() < DIGITS {
        digits.extend(char::from_digit(number % 36, 36).map(|digit| digit.to_ascii_uppercase()));
        number /= 36;
    }
    digits.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::iso9660::distinct::distinct;

    fn files(names: &[&str]) -> Vec<String> {
        let names = distinct(names.iter().map(|name| PrimaryName::wanted(name, Kind::File)).collect());
        names.iter().map(|name| String::from_utf8(name.identifier(Kind::File)).unwrap()).collect()
    }

    #[test]
    fn each_name_is_8_3_and_there_only_once() {
        let names = ["meta-data", "meta_data", "meta-data.json", "meta-data.js", ".hidden", "größe.conf.gz", "..."];
        let shown =
            ["META_DAT.;1", "META_001.;1", "META_DAT.JSO;1", "META_DAT.JS;1", "_HIDDEN.;1", "GR__E_CO.GZ;1", "__.;1"];
        assert_eq!(files(&names), shown);
    }

    #[test]
    fn a_name_that_is_8_3_already_keeps_it() {
        assert_eq!(files(&["a-.txt", "a_.txt", "A_.txt"]), ["A_001.TXT;1", "A_.TXT;1", "A_002.TXT;1"]);
    }

    #[test]
    fn a_directory_has_no_extension_and_no_version() {
        let name = PrimaryName::wanted("conf.d", Kind::Directory).name;
        assert_eq!(name.identifier(Kind::Directory), b"CONF_D");
    }

    #[test]
    fn thousands_of_equal_beginnings_are_told_apart() {
        let names: Vec<String> = (0..50_000).map(|number| format!("interface-{number}.conf")).collect();
        let mut shown = files(&names.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(shown.iter().all(|name| name.len() <= "12345678.123;1".len()));
        shown.sort();
        shown.dedup();
        assert_eq!(shown.len(), names.len());
    }

    #[test]
    fn order_is_by_stem_first() {
        let [a, b] = ["A.TXT", "A0.TXT"].map(|name| PrimaryName::wanted(name, Kind::File).name);
        assert!(a < b);
    }
}
