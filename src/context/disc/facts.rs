//! Facts: named values about a host or a VM, which templates use and `/recontext.json` shows.

use anyhow::{Context, Result, bail, ensure};
use serde::de::Error;
use serde_json::{Map, Value};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fact_origins::FactOrigins;
use super::whole_numbers;
use crate::context::toml_fault::Fault;
use crate::context::{byte_order_mark, toml_reader};

/// Facts by name; a value may be a table of further facts.
pub type Facts = Map<String, Value>;

/// Deepest table that [`set`] makes: readers of JSON refuse deeper ones, and none needs it.
const MAX_DEPTH: usize = 100;

/// Fails when the text is not TOML, or holds a number that JSON lacks: with the line.
pub(crate) fn from_toml(text: &str) -> Result<Facts> {
    let read = toml_reader::parse(text).and_then(|facts| table(facts.get_ref()));
    read.map_err(|fault| fault.told(text))
}

/// Facts in JSON, which is one object, of tables and lists no deeper than readers of JSON go.
pub fn from_json(text: &str) -> Result<Facts> {
    let text = byte_order_mark::without(text);
    let facts: Facts = serde_json::from_str(text).context("facts in JSON are one object, {\"name\": value, …}")?;
    whole_numbers::check(text)?;
    ensure!(facts.values().all(|value| fits_in(value, MAX_DEPTH)), "the facts nest deeper than {MAX_DEPTH} levels");
    Ok(facts)
}

/// Whether a value has so many levels at most.
fn fits_in(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(values) => levels > 0 && values.iter().all(|value| fits_in(value, levels - 1)),
        Value::Object(table) => levels > 0 && table.values().all(|value| fits_in(value, levels - 1)),
        _ => true,
    }
}

/// Lays `over` on `base`: tables are merged, everything else is replaced.
pub(crate) fn merge(base: &mut Facts, over: Facts) {
    merge_noting(base, over, None);
}

/// [`merge`], which can note where a fact came from: `over` is of the layer with this number.
pub(crate) fn merge_noting(base: &mut Facts, over: Facts, mut note: Option<(&mut FactOrigins, usize)>) {
    for (name, value) in over {
        let note = note.as_mut().map(|(origins, layer)| (origins.of(&name), *layer));
        match (base.get_mut(&name), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge_noting(old, new, note),
            (_, value) => {
                if let Some((origins, layer)) = note {
                    origins.put(&value, layer);
                }
                base.insert(name, value);
            }
        }
    }
}

/// Sets one fact; dots in `name` lead into tables, which are made where they are missing. No part of the name may be empty
/// or lead into a fact that is not a table.
pub(crate) fn set(facts: &mut Facts, name: &str, value: &str) -> Result<()> {
    ensure!(
        name.split('.').count() <= MAX_DEPTH,
        "the fact {:?}… lies deeper than {MAX_DEPTH} tables",
        name.chars().take(60).collect::<String>()
    );
    let (tables, last) = name.rsplit_once('.').map_or((None, name), |(tables, last)| (Some(tables), last));
    let mut place = facts;
    for part in tables.into_iter().flat_map(|tables| tables.split('.')) {
        ensure!(!part.is_empty(), "the fact {name:?} has an empty part in its name");
        match place.entry(part).or_insert_with(|| Value::Object(Map::new())) {
            Value::Object(table) => place = table,
            _ => bail!("the fact {name:?} cannot be set: {part:?} in it is a value, not a table"),
        }
    }
    ensure!(!last.is_empty(), "the fact {name:?} has an empty part in its name");
    place.insert(last.to_owned(), Value::String(value.to_owned()));
    Ok(())
}

/// The same facts in JSON.
fn table(facts: &DeTable) -> Result<Facts, Fault> {
    let mut table = Facts::new();
    for (name, value) in facts {
        table.insert(name.get_ref().to_string(), json(value)?);
    }
    Ok(table)
}

/// The same value in JSON; dates and times become text.
fn json(value: &Spanned<DeValue>) -> Result<Value, Fault> {
    let wrong = |fault: Fault| fault.at(value.span());
    Ok(match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            Value::from(toml_reader::whole(number).ok_or_else(|| wrong(Fault::too_large(number)))?)
        }
        DeValue::Float(number) => {
            let finite = number.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            let none = || wrong(Fault::custom(format_args!("the number {number} cannot be a fact")));
            Value::Number(finite.ok_or_else(none)?)
        }
        DeValue::Boolean(yes) => Value::Bool(*yes),
        DeValue::Datetime(moment) => Value::String(moment.to_string()),
        DeValue::Array(values) => Value::Array(values.iter().map(json).collect::<Result<_, _>>()?),
        DeValue::Table(facts) => Value::Object(table(facts)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn facts(value: Value) -> Facts {
        match value {
            Value::Object(facts) => facts,
            other => panic!("{other} is not a table"),
        }
    }

    #[test]
    fn later_facts_win_table_by_table() {
        let mut base = from_toml("a = 1\n[m]\nx = 1\ny = [1, 2]\n").unwrap();
        merge(&mut base, from_json(r#"{"m": {"y": [3]}, "n": {}}"#).unwrap());
        assert_eq!(base, facts(json!({"a": 1, "m": {"x": 1, "y": [3]}, "n": {}})));
    }

    #[test]
    fn dots_in_a_name_lead_into_tables() {
        let mut base = facts(json!({"m": {"x": 1}, "v": 1}));
        set(&mut base, "m.y", "2").unwrap();
        set(&mut base, "a.b.c", "3").unwrap();
        set(&mut base, "plain", "4").unwrap();
        assert_eq!(base, facts(json!({"m": {"x": 1, "y": "2"}, "v": 1, "a": {"b": {"c": "3"}}, "plain": "4"})));
        for name in ["", ".", "a.", ".a", "a..b", "v.x"] {
            assert!(set(&mut base, name, "x").is_err(), "{name:?}");
        }
        assert!(set(&mut base, &"a.".repeat(100_000), "x").unwrap_err().to_string().contains("deeper"));
    }

    #[test]
    fn every_kind_of_toml_value_has_a_json_form_or_an_error() {
        let toml = "s = 'x'\ni = 1\nf = 1.5\nb = true\nd = 2026-11-23T04:05:06Z\na = ['x', 1]\n";
        let wanted = json!({"s": "x", "i": 1, "f": 1.5, "b": true, "d": "2026-11-23T04:05:06Z", "a": ["x", 1]});
        assert_eq!(from_toml(toml).unwrap(), facts(wanted));
        for (text, why) in [
            ("a = 1\nf = nan", "line 2: the number nan cannot be a fact"),
            ("[a]\nf = [1.0, 1e400]", "line 2: the number 1e400 cannot be a fact"),
            ("i = 9223372036854775808", "line 1: the number 9223372036854775808 is too large"),
        ] {
            assert_eq!(from_toml(text).unwrap_err().to_string(), why);
        }
        assert_eq!(from_toml("i = -0x10\nf = 1_0.5e1").ok(), None);
        assert_eq!(from_toml("i = 0x10\nf = 1_0.5e1").unwrap(), facts(json!({"i": 16, "f": 105.0})));
        let error = from_toml("a = 1\nb = ").unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
        assert!(from_json("[1]").is_err());
        assert_eq!(from_json("\u{feff}{\"a\": 1}").unwrap(), from_toml("\u{feff}a = 1").unwrap());
        assert!(from_json("{\"a\": 18446744073709551616}").unwrap_err().to_string().contains("18446744073709551616"));
        let nested = |levels: usize| from_json(&format!("{{\"a\": {}{}}}", "[".repeat(levels), "]".repeat(levels)));
        assert!(nested(100).is_ok());
        assert!(nested(101).unwrap_err().to_string().contains("deeper than 100 levels"));
    }
}
