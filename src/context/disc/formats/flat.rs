//! Facts for formats that know no tables: one name and one text for each.

use std::fmt;

use serde_json::Value;

use crate::context::disc::facts::Facts;

/// All facts in order, each with its name (dots between the levels) and its value as text: a text as it is, anything
/// else as compact JSON. Two facts may come out with the same name, since a name may itself have dots.
pub(crate) fn flat(facts: &Facts) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (name, value) in facts {
        collect(name.clone(), value, &mut all);
    }
    all
}

/// Two facts come out with the same name in a format that writes names in another way.
#[derive(Debug)]
pub(crate) struct Clash {
    pub facts: [String; 2],
    /// What both would be.
    pub name: String,
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Clash { facts: [one, other], name } = self;
        write!(f, "the facts {one:?} and {other:?} would both be the variable {name}")
    }
}

impl std::error::Error for Clash {}

/// An empty table is a value: `{}`. So no fact goes missing.
fn collect(name: String, value: &Value, all: &mut Vec<(String, String)>) {
    match value {
        Value::Object(table) if !table.is_empty() => {
            for (inner, value) in table {
                collect(format!("{name}.{inner}"), value, all);
            }
        }
        Value::String(text) => all.push((name, text.clone())),
        other => all.push((name, other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::disc::facts;

    #[test]
    fn every_fact_has_a_name_and_a_text() {
        let facts =
            r#"{"a": {"b": {"c": "x"}, "d": 1}, "e": [1, "ä", {"f": null}], "g": {}, "h": true, "i": null, "j": 1.5}"#;
        let flat = flat(&facts::from_json(facts).unwrap());
        let flat: Vec<(&str, &str)> = flat.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let wanted = [
            ("a.b.c", "x"),
            ("a.d", "1"),
            ("e", r#"[1,"ä",{"f":null}]"#),
            ("g", "{}"),
            ("h", "true"),
            ("i", "null"),
            ("j", "1.5"),
        ];
        assert_eq!(flat, wanted);
    }
}
