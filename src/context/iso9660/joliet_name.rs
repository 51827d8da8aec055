//! Names in the Joliet tree: up to 64 units of UCS-2.
//!
//! A name is kept as it is unless Joliet or Windows cannot hold it. `*`, `:`, `;`, `?`, `\`, `"`, `<`, `>`, `|` and
//! characters outside the basic multilingual plane (emoji) become `_`, and so do dots and spaces at the end, which Windows
//! drops, and the last letter of what Windows takes for a device (`nul`, `com1.txt`). What is longer than 64 units is cut;
//! what would then be twice in a directory ends in `~1`, `~2` and so on. Case is kept, but of two names that differ only in
//! case Windows (and Linux, if it mounts Joliet) would open only one, so they count as one.

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
        if let Some(letter) = device_in(name).and_then(|length| units.get_mut(length.saturating_sub(1))) {
            *letter = UNDERSCORE;
        }
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
        JolietName(self.alike().0.into_iter().take(FAMILY).collect())
    }

    fn numbered(&self, number: u32) -> Self {
        let ending: Vec<u16> = format!("~{number}").encode_utf16().collect();
        JolietName(self.0.iter().copied().take(MAX - ending.len()).chain(ending).collect())
    }

    fn alike(&self) -> Self {
        JolietName(self.0.iter().copied().map(without_case).collect())
    }
}

/// What Windows takes for a device, whatever follows behind a dot; `COM` and `LPT` with a digit behind them.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "COM", "LPT"];

/// How long the part of a name is that Windows takes for a device, if it does.
fn device_in(name: &str) -> Option<usize> {
    let stem = name.split('.').next().unwrap_or_default().trim_end_matches(' ');
    let (letters, digit) = (stem.get(..3)?, stem.get(3..)?);
    let number = DEVICES.iter().position(|device| device.eq_ignore_ascii_case(letters))?;
    let fits = if number < 4 { digit.is_empty() } else { matches!(digit.as_bytes(), [b'0'..=b'9']) };
    fits.then_some(stem.len())
}

/// The same for a letter in upper and in lower case, as far as both are one unit.
fn without_case(unit: u16) -> u16 {
    let Some(letter) = char::from_u32(unit.into()) else { return unit };
    let upper = only(letter.to_uppercase()).unwrap_or(letter);
    let lower = only(upper.to_lowercase()).unwrap_or(upper);
    u16::try_from(u32::from(lower)).unwrap_or(unit)
}

fn only(mut letters: impl Iterator<Item = char>) -> Option<char> {
    letters.next().filter(|_| letters.next().is_none())
}

const UNDERSCORE: u16 = b'_' as u16;

fn unit(character: char) -> u16 {
    match character {
        '*' | '/' | ':' | ';' | '?' | '\\' | '"' | '<' | '>' | '|' => UNDERSCORE,
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
            shown(&["a:b;c?d\\e*", "<a>|\"b\"", "😀.txt", "end.", "end ", "..."]),
            ["a_b_c_d_e_", "_a___b_", "_.txt", "end_", "end_~1", "___"]
        );
        let cut_at_a_dot = format!("{}.{}", "x".repeat(63), "y");
        assert_eq!(shown(&[&cut_at_a_dot]), ["x".repeat(63) + "_"]);
    }

    #[test]
    fn what_windows_takes_for_a_device_is_called_otherwise() {
        assert_eq!(
            shown(&["nul", "Aux.tar.gz", "COM1", "con .txt", "com", "lpt10", "null", "x.con", "größe"]),
            ["nu_", "Au_.tar.gz", "COM_", "co_ .txt", "com", "lpt10", "null", "x.con", "größe"]
        );
    }

    #[test]
    fn names_that_differ_only_in_case_are_told_apart() {
        assert_eq!(shown(&["README", "Readme", "readme~1", "ä", "Ä"]), ["README", "Readme~2", "readme~1", "ä", "Ä~1"]);
    }

    #[test]
    fn thousands_of_names_that_differ_only_in_case_are_told_apart() {
        let cased = |number: u32, at: u32| if number >> at & 1 == 1 { 'A' } else { 'a' };
        let names: Vec<String> = (0..1 << 14).map(|number| (0..14).map(|at| cased(number, at)).collect()).collect();
        let mut shown: Vec<_> = shown(&names.iter().map(String::as_str).collect::<Vec<_>>())
            .iter()
            .map(|name| name.to_lowercase())
            .collect();
        shown.sort();
        shown.dedup();
        assert_eq!(shown.len(), names.len());
    }

    #[test]
    fn names_equal_in_their_first_64_units_are_told_apart() {
        let long = "ß".repeat(64);
        let names = [format!("{long}a"), format!("{long}b"), format!("{long}c")];
        let shown = shown(&[&names[0], &names[1], &names[2]]);
        assert_eq!(shown, [long, "ß".repeat(62) + "~1", "ß".repeat(62) + "~2"]);
    }
}
