//! A YAML file of a layer, understood just so far that other keys can be put before it.
//!
//! Its author's text is left as it is, byte for byte. A file whose first key stands at the left edge is a block mapping,
//! and lines `"key": value` before it are more of the same mapping. Of a key that is there twice, readers take the last
//! one or refuse the file; so what the file has itself is left out before it. For that every key at the left edge must
//! be written plainly. There is no parser of YAML here.

use std::collections::BTreeMap;
use std::str;

use anyhow::{Context, Result, bail, ensure};

/// A block mapping.
#[derive(Debug, PartialEq, Eq)]
pub struct Mapping<'t> {
    /// The text, without a marker of the document's beginning.
    pub text: &'t str,
    /// The keys at the left edge, each with what follows on its line.
    pub keys: BTreeMap<&'t str, &'t str>,
}

/// Reads the file so far.
///
/// # Errors
/// When it is not UTF-8, or not clearly a block mapping from its first line to its last; with the line.
pub fn read(bytes: &[u8]) -> Result<Mapping<'_>> {
    let text = str::from_utf8(bytes).context("it is not UTF-8 text")?;
    let text = text.strip_prefix("---\n").or_else(|| text.strip_prefix("---\r\n")).unwrap_or(text);
    // YAML takes these for line breaks, nobody else does.
    ensure!(!text.contains(['\u{85}', '\u{2028}', '\u{2029}']), "it has line breaks of an unusual kind");
    let mut keys = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
    {
        let inside = line.starts_with([' ', '\t', ']', '}']) || line.starts_with("- ") || line.trim_end() == "-";
        match key(line) {
            Some((key, value)) => drop(keys.insert(key, value)),
            None if inside && !keys.is_empty() => {}
            None => bail!("it is no JSON object, and in YAML its line {number} does not begin with \"name:\""),
        }
    }
    ensure!(!keys.is_empty(), "there is nothing in it but comments");
    Ok(Mapping { text, keys })
}

/// The key that a line begins with, plain or in quotes, and what follows it.
fn key(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let key = key.trim_end();
    let bare = ['"', '\''].into_iter().find_map(|quote| key.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(key);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let fits = bare.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') && bare.chars().all(plain);
    (fits && (value.is_empty() || value.starts_with([' ', '\t', '\r']))).then_some((bare, value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_mapping_is_kept_as_it_is() {
        let text = "# mine\n\na: 1 # one\n'b-c':\n  - x: y\n\"d\": |\n  text\ne.f :\n- g: h\ni: [\n 1\n]\n";
        let mapping = read(text.as_bytes()).unwrap();
        assert_eq!(mapping.text, text);
        assert_eq!(mapping.keys, BTreeMap::from([("a", "1 # one"), ("b-c", ""), ("d", "|"), ("e.f", ""), ("i", "[")]));
        assert_eq!(read(b"---\na: 1").unwrap().text, "a: 1");
    }

    #[test]
    fn whatever_else_it_may_be_is_refused() {
        for text in [
            "- a: 1\n",
            "text\n",
            "{a: 1}\n",
            "  a: 1\n",
            "a:1\n",
            "%YAML 1.1\n---\na: 1\n",
            "? a\n: 1\n",
            "&x\na: 1\n",
            "a: 1\n---\nb: 2\n",
            "a: 1\n...\n",
            "\u{feff}a: 1\n",
            "a: 1\u{85}b: 2\n",
            "# nothing\n",
            "--- a\n",
            "a b: 1\n",
        ] {
            assert!(read(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(read(b"a: \xff\n").is_err());
    }
}
