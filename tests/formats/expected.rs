//! What readers must find, worked out from the facts once more and in another way than the code under test does it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::site::UUID;

/// `metadata` of a NoCloud seed, apart from what cloud-init adds by itself.
pub fn nocloud(facts: &Value) -> Value {
    let mut all = facts.clone();
    all["instance-id"] = json!(UUID);
    all
}

/// `meta` of a config drive.
pub fn configdrive(facts: &Value) -> Value {
    let texts = leaves(facts).into_iter().map(|(path, text)| (path.join("."), Value::from(text)));
    Value::Object(texts.collect::<Map<_, _>>())
}

/// The variables for facts.
pub fn variables(facts: &Value) -> BTreeMap<String, String> {
    let name = |path: Vec<String>| path.join("_").replace(['.', '-'], "_").to_ascii_uppercase();
    leaves(facts).into_iter().map(|(path, text)| (name(path), text)).collect()
}

/// Every value that is not a table with something in it: where it is, and its text.
pub fn leaves(facts: &Value) -> Vec<(Vec<String>, String)> {
    let mut left = vec![(Vec::new(), facts)];
    let mut leaves = Vec::new();
    while let Some((path, value)) = left.pop() {
        match value.as_object() {
            Some(table) if !table.is_empty() || path.is_empty() => {
                for (name, value) in table {
                    left.push(([path.clone(), vec![name.clone()]].concat(), value));
                }
            }
            _ => leaves.push((path, value.as_str().map_or_else(|| value.to_string(), str::to_owned))),
        }
    }
    leaves
}
