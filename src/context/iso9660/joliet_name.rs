//! Names in the Joliet tree: up to 64 units of UCS-2.
//!
//! A name is kept as it is unless Joliet or Windows cannot hold it. `*`, `:`, `;`, `?`, `\` and characters outside the
//! basic multilingual plane (emoji) become `_`, and so do dots and spaces at the end, which Windows drops; what is
//! longer than 64 units is cut; what would then be twice in a directory ends in `~1`, `~2` and so on. Case is kept,
//! and names that differ only in case stay two names, although Windows (and Linux, if it mounts Joliet) opens only one.

use super::distinct::{ShortName, Wanted};

/// The longest name, in units.
const MAX: usize = 64;
/// Units of a name's beginning that no number of up to seven digits reaches.
const FAMILY: usize = MAX - 8;

/// A name in UCS-2, ordered as records and path tables are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct JolietName(Vec<u16>);

impl JolietName {
    /// What a thing called `name` should be called.
    pub fn wanted(name: &str) -> Wanted<JolietName> {
        let mut units: Vec<u16> = name.chars().map(unit).take(MAX).collect();
        let dropped = |unit: &&mut u16| [u16::from(b'.'), u16::from(b' ')].contains(unit);
        units.iter_mut().rev().take_while(dropped).for_each(|unit| *unit = UNDERSCORE);
        let unchanged = units.iter().copied().eq(name.encode_utf16());
        Wanted { name: JolietName(units), unchanged }
    }

    /// The identifier in records and path tables: big-endian, and without the version, which readers don't miss.
    pub fn identifier(&self) -> Vec<u8> {
        self.0.iter().copied().flat_map(u16::to_be_bytes).collect()
    }
}

impl ShortName for JolietName {
    fn family(&self) -> Self {
        JolietName(self.0.iter().copied().take(FAMILY).collect())
    }

    fn numbered(&self, number: u32) -> Self {
        let ending: Vec<u16> = format!("~{number}").encode_utf16().collect();
        JolietName(self.0.iter().copied().take(MAX - ending.len()).chain(ending).collect())
    }
}

const UNDERSCORE: u16 = b'_' as u16;

fn unit(character: char) -> u16 {
    match character {
        '*' | '/' | ':' | ';' | '?' | '\\' => UNDERSCORE,
        _ => u16::try_from(u32::from(character)).unwrap_or(UNDERSCORE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::iso9660::distinct::distinct;

    fn shown(names: &[&str]) -> Vec<String> {
        let names = distinct(names.iter().map(|name| JolietName::wanted(name)).collect());
        names.iter().map(|name| String::from_utf16(&name.0).unwrap()).collect()
    }

    #[test]
    fn a_name_that_fits_is_kept_even_if_another_would_become_it() {
        let names = ["a*", "a_", "größe-данные-日本語.txt", " two  spaces", ".hidden"];
        assert_eq!(shown(&names), ["a_~1", "a_", "größe-данные-日本語.txt", " two  spaces", ".hidden"]);
    }

    #[test]
    fn what_readers_cannot_show_becomes_an_underscore() {
        assert_eq!(
            shown(&["a:b;c?d\\e*", "😀.txt", "end.", "end ", "..."]),
            ["a_b_c_d_e_", "_.txt", "end_", "end_~1", "___"]
        );
        let cut_at_a_dot = format!("{}.{}", "x".repeat(63), "y");
        assert_eq!(shown(&[&cut_at_a_dot]), ["x".repeat(63) + "_"]);
    }

    #[test]
    fn names_equal_in_their_first_64_units_are_told_apart() {
        let long = "ß".repeat(64);
        let names = [format!("{long}a"), format!("{long}b"), format!("{long}c")];
        let shown = shown(&[&names[0], &names[1], &names[2]]);
        assert_eq!(shown, [long, "ß".repeat(62) + "~1", "ß".repeat(62) + "~2"]);
    }
}
