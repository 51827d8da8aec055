//! JSON that readers of YAML read as the same values, and JSON files that a layer gives.
//!
//! YAML 1.1 takes most of JSON. The rest is avoided here: characters that it does not allow or takes for line breaks
//! are escaped; a number with an exponent has a point and a sign (`1e30` would be a text). What cannot be written so
//! that YAML reads it is [`too_long_for_yaml`].

use std::io;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::ser::Formatter;
use serde_json::{Serializer, Value};

use crate::context::disc::facts::Facts;
use crate::context::disc::whole_numbers;

/// Longest name with its quotes, in characters, that YAML takes before a colon.
const MAX_KEY: usize = 1024;

/// The table as JSON, one name a line on the outermost level.
pub(super) fn write(table: &Facts) -> Result<Vec<u8>> {
    let mut bytes = written(table, 0)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The table as lines `"name": value`: a part of a YAML mapping.
pub(super) fn write_lines(table: &Facts) -> Result<Vec<u8>> {
    let line =
        |(name, value): (&String, &Value)| Ok([&written(name, 1)?[..], b": ", &written(value, 1)?, b"\n"].concat());
    table.iter().map(line).collect::<Result<Vec<_>>>().map(|lines| lines.concat())
}

fn written(value: &(impl Serialize + ?Sized), depth: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, ForYaml { depth })).context("writing JSON")?;
    Ok(bytes)
}

/// The table in a file that a layer gives; an empty file is an empty table.
pub(super) fn read(bytes: &[u8]) -> Result<Facts> {
    if bytes.trim_ascii().is_empty() {
        return Ok(Facts::new());
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(table)) => whole_numbers::check(&String::from_utf8_lossy(bytes)).map(|()| table),
        Ok(_) => bail!("it is JSON, but not one object: {{\"name\": value, …}}"),
        Err(error) => Err(error).context("it is not JSON: one object, {\"name\": value, …}"),
    }
}

/// The first name in the table that is too long for YAML, with dots between the levels.
pub(super) fn too_long_for_yaml(table: &Facts) -> Option<String> {
    table.iter().find_map(|(name, value)| {
        let short = written(name, 1).is_ok_and(|name| String::from_utf8_lossy(&name).chars().count() <= MAX_KEY);
        if !short {
            return Some(name.clone());
        }
        inner_tables(value).into_iter().find_map(too_long_for_yaml).map(|inner| format!("{name}.{inner}"))
    })
}

fn inner_tables(value: &Value) -> Vec<&Facts> {
    match value {
        Value::Object(table) => vec![table],
        Value::Array(values) => values.iter().flat_map(inner_tables).collect(),
        _ => Vec::new(),
    }
}

/// What YAML does not allow as it is, reads as a line break, or may drop.
fn must_be_escaped(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

struct ForYaml {
    depth: usize,
}

impl Formatter for ForYaml {
    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth = self.depth.saturating_sub(1);
        writer.write_all(if self.depth == 0 { b"\n}" } else { b"}" })
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(match (first, self.depth) {
            (true, 1) => b"\n  ",
            (false, 1) => b",\n  ",
            (true, _) => b"",
            (false, _) => b", ",
        })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let text = format!("{value:?}");
        let Some((number, exponent)) = text.split_once('e') else { return writer.write_all(text.as_bytes()) };
        let point = if number.contains('.') { "" } else { ".0" };
        let sign = if exponent.starts_with('-') { "" } else { "+" };
        write!(writer, "{number}{point}e{sign}{exponent}")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for part in fragment.split_inclusive(must_be_escaped) {
            let escaped = part.chars().next_back().filter(|c| must_be_escaped(*c));
            let plain = escaped.and_then(|c| part.strip_suffix(c)).unwrap_or(part);
            writer.write_all(plain.as_bytes())?;
            if let Some(c) = escaped {
                write!(writer, "\\u{:04x}", u32::from(c))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::disc::facts;
    use serde_json::json;

    fn text(table: Value) -> String {
        String::from_utf8(write(table.as_object().unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn what_yaml_would_misread_is_escaped_and_nothing_else() {
        let table = json!({"a\u{85}": "\u{7f}x\u{9f}\u{a0}\u{2028}😀\n", "b": {"c": [1, "<<"], "d": {}}});
        assert_eq!(
            text(table),
            "{\n  \"a\\u0085\": \"\\u007fx\\u009f\u{a0}\\u2028😀\\n\",\n  \"b\": {\"c\": [1, \"<<\"], \"d\": {}}\n}\n"
        );
    }

    #[test]
    fn lines_of_a_yaml_mapping_are_the_same_values() {
        let table = json!({"a b": {"c": [1, {"d": 1e30}]}, "e": "\u{85}"});
        let lines = write_lines(table.as_object().unwrap()).unwrap();
        assert_eq!(String::from_utf8(lines).unwrap(), "\"a b\": {\"c\": [1, {\"d\": 1.0e+30}]}\n\"e\": \"\\u0085\"\n");
    }

    #[test]
    fn a_number_is_a_number_in_yaml_too() {
        let table = json!({"a": 1e30, "b": 1.5e-7, "c": 0.25, "d": 3.0, "e": -1e-9, "f": u64::MAX});
        assert_eq!(
            text(table.clone()),
            "{\n  \"a\": 1.0e+30,\n  \"b\": 1.5e-7,\n  \"c\": 0.25,\n  \"d\": 3.0,\n  \"e\": -1.0e-9,\n  \
             \"f\": 18446744073709551615\n}\n"
        );
        assert_eq!(Value::Object(facts::from_json(&text(table.clone())).unwrap()), table);
    }

    #[test]
    fn a_name_that_is_too_long_is_found_at_any_depth() {
        let name = |count| "x".repeat(count);
        let table = |inner: String| json!({"a": [{"b": {inner: 1}}]}).as_object().unwrap().clone();
        assert_eq!(too_long_for_yaml(&table(name(1022))), None);
        assert_eq!(too_long_for_yaml(&table(name(1023))), Some(format!("a.b.{}", name(1023))));
        assert_eq!(too_long_for_yaml(&table("\n".repeat(512))), Some(format!("a.b.{}", "\n".repeat(512))));
    }

    #[test]
    fn only_one_object_is_read() {
        assert_eq!(read(b" \n").unwrap(), Facts::new());
        assert_eq!(read(b"{\"a\": 1}\n").unwrap().len(), 1);
        assert!(read(b"{\"a\": -99999999999999999999}").unwrap_err().to_string().contains("-99999999999999999999"));
        for (text, why) in [("[1]", "not one object"), ("a: 1\n", "line 1"), ("{} {}", "line 1")] {
            let error = format!("{:#}", read(text.as_bytes()).unwrap_err());
            assert!(error.contains("object") && error.contains(why), "{error}");
        }
    }
}
