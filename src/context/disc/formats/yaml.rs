//! A simple YAML file of a layer, so that other keys can be put before it.
//!
//! Readers that cannot parse the whole file take none of it, and cloud-init would then take the guest for a new one. So
//! only what is valid beyond doubt is accepted, line by line: `name: value`, a list of values below a `name:`, comments.
//! A value is in quotes without any escape, or plain and of harmless characters. Whoever needs more writes JSON, or facts.
//!
//! The author's text is left as it is, byte for byte, but for how the domain's UUID is written in it. Lines `"key": value` before it are more of the same mapping. Of a
//! key that is there twice, readers take the last one or refuse the file; so what the file has itself is left out.

use std::collections::BTreeMap;
use std::str;

use anyhow::{Context, Result, ensure};

/// A block mapping of values and lists of values.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mapping<'t> {
    /// The text, without a marker of the document's beginning.
    pub(super) text: &'t str,
    /// The keys, each with its value; an empty one may have a list below it.
    pub(super) keys: BTreeMap<&'t str, &'t str>,
}

impl Mapping<'_> {
    /// The text with another value of `key`, which has one, and is in quotes if that is.
    pub(super) fn text_with(&self, key: &str, value: &str) -> String {
        let line = |line: &str| match entry(line.trim_end_matches(['\n', '\r'])) {
            Some((found, old)) if found == key => line.replacen(old.trim_matches(['"', '\'']), value, 1),
            _ => line.to_owned(),
        };
        self.text.split_inclusive('\n').map(line).collect()
    }
}

/// Fails when a line is not clearly of the kind above, with the line.
pub(super) fn read(bytes: &[u8]) -> Result<Mapping<'_>> {
    let text = str::from_utf8(bytes).context("it is not UTF-8 text")?;
    let text = text.strip_prefix("---\n").or_else(|| text.strip_prefix("---\r\n")).unwrap_or(text);
    let mut keys = BTreeMap::new();
    // Whether a list may follow, and how deep one that has begun is.
    let (mut list_may_follow, mut list_depth) = (false, None);
    for (number, line) in (1..).zip(text.lines()) {
        let content = line.trim_start_matches(' ');
        if content.is_empty() || content.starts_with('#') {
            ensure!(!content.chars().any(is_unusual), "line {number} has an unusual character");
            continue;
        }
        let depth = line.len() - content.len();
        let item = content.strip_prefix("- ").map(|item| item.trim_matches(' ')).filter(|item| is_value(item));
        if item.is_some() && list_may_follow && *list_depth.get_or_insert(depth) == depth {
            continue;
        }
        let entry = if depth == 0 { entry(line) } else { None };
        let (key, value) = entry.with_context(|| {
            let begin: String = content.chars().take(60).collect();
            format!(
                "it is no JSON object, and line {number}, {begin:?}, is not of the simple YAML that is merged (name: value, or \
                 a list of \"- value\" below \"name:\"): put the value in quotes, or write it as JSON, or as facts"
            )
        })?;
        keys.insert(key, value);
        (list_may_follow, list_depth) = (value.is_empty(), None);
    }
    ensure!(!keys.is_empty(), "there is nothing in it but comments");
    Ok(Mapping { text, keys })
}

/// The key that a line begins with, plain or in quotes, and its value.
fn entry(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let bare = ['"', '\''].into_iter().find_map(|quote| key.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(key);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let fits = bare.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && bare.chars().all(plain);
    let apart = value.is_empty() || value.starts_with(' ');
    let value = value.trim_matches(' ');
    (fits && apart && (value.is_empty() || is_value(value))).then_some((bare, value))
}

/// Whether a text is a value beyond doubt.
fn is_value(text: &str) -> bool {
    let quoted = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    if let Some(inner) = quoted('\'') {
        return !inner.contains(|c| c == '\'' || is_unusual(c));
    }
    if let Some(inner) = quoted('"') {
        return !inner.contains(|c| c == '"' || c == '\\' || is_unusual(c));
    }
    let harmless = |c: char| c.is_ascii_alphanumeric() || " _-./@+=,~():".contains(c);
    // A colon in front of a space is another key.
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || "_/.~+".contains(c))
        && text.chars().all(harmless)
        && !text.contains(": ")
        && !text.ends_with(':')
        && !looks_like_a_date(text)
}

/// Whether a text begins as YAML 1.1's timestamps do: year, month and day. It may be no date for all that, such as the 99th of
/// a month, and readers do not forgive it.
fn looks_like_a_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let day = |rest: &str| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        (1..=2).contains(&digits) && rest.as_bytes().get(digits).is_none_or(|next| b"Tt \t".contains(next))
    };
    let digits = |part: Option<&str>, most: std::ops::RangeInclusive<usize>| {
        part.is_some_and(|part| most.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    digits(parts.next(), 4..=4) && digits(parts.next(), 1..=2) && parts.next().is_some_and(day)
}

/// Whether readers take a character for a line break, or for none at all.
fn is_unusual(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simple_mapping_is_kept_as_it_is() {
        let text = "# mine\n\na: 1\n'b-c':\n  - x\n  # why\n  - 'y: z'\n\"d\": \"größe\"\ne.f:\n- ssh-rsa AAAA+/= u@h\n\
                    g: http://h:80/x\nh: '2026-99-99'\ni:\n";
        let mapping = read(text.as_bytes()).unwrap();
        assert_eq!(mapping.text, text);
        let values = [("a", "1"), ("b-c", ""), ("d", "\"größe\""), ("e.f", ""), ("g", "http://h:80/x")];
        let values = values.into_iter().chain([("h", "'2026-99-99'"), ("i", "")]);
        assert_eq!(mapping.keys, values.collect());
        assert_eq!(read(b"---\r\na: 1\r\n").unwrap().text, "a: 1\r\n");
    }

    #[test]
    fn what_begins_with_a_digit_and_is_no_date_is_text() {
        for value in [
            "6695eb01-f6a4-8304-79aa-97f2502e193f",
            "12345678-1234-4234-8234-123456789012",
            "01-db",
            "10 apples",
            "2026-1",
        ] {
            assert_eq!(read(format!("a: {value}\n").as_bytes()).unwrap().keys, BTreeMap::from([("a", value)]));
        }
        let error = read(b"a: 2026-99-99\n").unwrap_err().to_string();
        assert!(error.contains("line 1, \"a: 2026-99-99\"") && error.contains("in quotes"), "{error}");
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
            "a: [1,\n",
            "a: |\n  text\n",
            "a: \"x\n",
            "a: 'it''s'\n",
            "a: \"\\q\"\n",
            "a: 1\n- x\n",
            "a:\n  - x\n - y\n",
            "a:\n  b: 1\n",
            "a: b: c\n",
            "a: =\n",
            "a: *x\n",
            "a: 2026-99-99\n",
            "a: 2026-9-9\n",
            "a: 2026-13-01T99:00:00\n",
            "a: 2026-13-01 99:00\n",
            "a: \tx\n",
            "\t\na: 1\n",
            "# \u{2028}\na: 1\n",
        ] {
            assert!(read(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(read(b"a: \xff\n").is_err());
    }
}
