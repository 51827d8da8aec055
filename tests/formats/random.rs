//! Random facts and files: every format carries them unchanged, or refuses them and names the fact.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use virt_recontext::context::disc::format::Format;

use crate::site::UUID;

use super::cloud_init::CloudInit;
use super::disc::{Given, extracted, read};
use super::expected;
use super::samples;
use super::shells::{self, SHELLS};

/// Discs for each format.
const CASES: u32 = 100;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => proptest::sample::select(samples::texts()).prop_filter("short", |text| text.len() < 1000),
        2 => "[ -~]{0,20}",
        2 => proptest::collection::vec(any::<char>(), 0..12).prop_map(String::from_iter),
        2 => "['\"$`\\\\\n =:#\u{85}\u{7f}ä😀a]{0,12}",
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![20 => "[a-z][a-z0-9_]{3,9}", 1 => "[a-zA-Z._-]{0,4}", 1 => text()]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => text().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            2 => proptest::collection::btree_map(name(), inner, 0..4)
                .prop_map(|table| Value::Object(table.into_iter().collect())),
        ]
    })
}

fn given() -> impl Strategy<Value = Given> {
    let facts = proptest::collection::btree_map(name(), value(), 0..6);
    let path =
        prop_oneof!["[a-z]{1,8}", "[a-z]{1,3}/[a-zä]{1,8}", Just("user-data".to_owned()), Just("init.sh".to_owned())];
    let bytes = proptest::collection::vec(any::<u8>(), 0..50);
    let files = proptest::collection::btree_map(path, bytes, 0..3);
    (facts, files).prop_map(|(facts, files): (BTreeMap<_, _>, _)| Given {
        facts: Value::Object(facts.into_iter().collect::<Map<_, _>>()),
        files,
    })
}

/// Gives random discs to `judge`, which says what is wrong with one that could be made.
fn each(format: Format, judge: impl FnMut(&Given, &Path)) {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let (judge, made) = (RefCell::new(judge), Cell::new(0));
    let outcome = runner.run(&given(), |given| {
        match given.composed(format) {
            Ok(composed) => {
                let dir = extracted(&composed, format);
                for (path, bytes) in &given.files {
                    assert!(&read(dir.path(), path) == bytes, "{path}");
                }
                judge.borrow_mut()(&given, dir.path());
                made.set(made.get() + 1);
            }
            Err(error) => assert_names_a_fact(&given, &format!("{error:#}")),
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{format}: {error}"));
    assert!(made.get() > CASES / 4, "{format} has refused all but {} of {CASES}", made.get());
}

/// A file and a directory of one name are no fact's fault.
fn assert_names_a_fact(given: &Given, error: &str) {
    let named =
        expected::leaves(&given.facts).into_iter().any(|(path, _)| error.contains(&format!("{:?}", path.join("."))));
    assert!(named || error.contains("both a file and the directory"), "{error}\n{given:?}");
}

#[test]
fn nocloud_carries_any_facts() {
    let mut cloud_init = CloudInit::start();
    each(Format::NoCloud, |given, dir| {
        let mut found = cloud_init.read(Format::NoCloud, dir);
        found["metadata"].as_object_mut().unwrap().remove("dsmode");
        assert_eq!(found["metadata"], expected::nocloud(&given.facts));
        assert_eq!(found["id"], UUID);
    });
}

#[test]
fn configdrive_carries_any_facts() {
    let mut cloud_init = CloudInit::start();
    each(Format::ConfigDrive, |given, dir| {
        let found = cloud_init.read(Format::ConfigDrive, dir);
        assert_eq!(found["metadata"]["meta"], expected::configdrive(&given.facts));
        assert_eq!(found["id"], UUID);
    });
}

#[test]
fn opennebula_carries_any_facts() {
    let mut cloud_init = CloudInit::start();
    each(Format::OpenNebula, |given, dir| {
        let variables = expected::variables(&given.facts);
        let found = cloud_init.read(Format::OpenNebula, dir);
        let metadata = &found["metadata"];
        for shell in SHELLS {
            let values = shells::values(shell, dir, variables.keys());
            for (name, value) in &variables {
                assert!(values[name] == value.as_bytes(), "{shell:?}: {name} of {given:?}: {:?}", values[name]);
                assert_eq!(metadata[name], json!(value), "{name} of {given:?}");
            }
        }
    });
}

/// A `meta-data` as people write it, and as they should not.
fn yaml() -> impl Strategy<Value = String> {
    let lines = [
        "a: 1",
        "b: x",
        "'c': yes",
        "\"d\": \"x",
        "e:",
        "  e: 2",
        "  - f",
        "- g: 1",
        "- h",
        "a: [1,",
        "2]",
        "]",
        "i: |",
        "j: >-",
        "  text: x",
        " k: 1",
        "# comment",
        "",
        "---",
        "...",
        "instance-id: x",
        "instance-id : x",
        "? a",
        ": b",
        "{",
        "}",
        "l: {m: 1}",
        "n: 'x",
        "y'",
        "<<: {o: 1}",
        "p: &p 1",
        "q: *p",
        "a b: 1",
        "r:1",
        "\t",
        "  ",
        "s: # t",
        "!!str u: 1",
        "zone",
        "  instance-id: x",
        "\"instance\\x2did\": x",
        "v: a: b",
        "w: 2026-99-99",
        "x: 'a b'",
        "y: \"c d\"",
        "z: =",
        "  - 'e f'",
        "aa: http://h:80/p",
    ];
    let line = prop_oneof![2 => proptest::sample::select(vec!["a: 1", "b: x", "zone: z", "c:", " - d"]),
        1 => proptest::sample::select(lines.to_vec())];
    let end = proptest::sample::select(vec!["\n", "\r\n", ""]);
    (proptest::collection::vec(line, 1..7), end)
        .prop_map(|(lines, end)| lines.join(if end.is_empty() { "\n" } else { end }) + end)
}

/// Whatever is merged is what its author wrote, with the facts that he did not write; cloud-init reads both.
#[test]
fn a_given_meta_data_means_the_same_after_merging() {
    let facts = json!({"a": {"deep": [1, "ä"]}, "zone": "b", "t": "x"});
    let merged = Cell::new(0);
    let cloud_init = RefCell::new(CloudInit::start());
    let config = Config { cases: 1000, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let dir = TempDir::new().unwrap();
    let metadata = |meta_data: &[u8]| {
        fs::write(dir.path().join("user-data"), "").unwrap();
        fs::write(dir.path().join("meta-data"), meta_data).unwrap();
        let found = cloud_init.borrow_mut().try_to_read(Format::NoCloud, dir.path());
        found["metadata"].as_object().cloned()
    };
    let outcome = runner.run(&yaml(), |yaml| {
        let given = Given::facts(facts.clone()).and_file("meta-data", &yaml);
        let Ok(composed) = given.composed(Format::NoCloud) else { return Ok(()) };
        let after = metadata(&composed.get(&"meta-data".parse().unwrap()).unwrap().bytes);
        let mut before = metadata(yaml.as_bytes());
        // Of a file that it cannot read, cloud-init takes nothing; instance-id and dsmode it sets by itself.
        let readable = |before: &&mut Map<_, _>| before.len() > 2 || yaml.trim().is_empty();
        let before = before.as_mut().filter(readable).unwrap_or_else(|| panic!("merged: {yaml:?}"));
        before.insert("instance-id".to_owned(), json!(UUID));
        for (name, value) in facts.as_object().unwrap() {
            before.entry(name.clone()).or_insert_with(|| value.clone());
        }
        assert_eq!(after.as_ref(), Some(&*before));
        merged.set(merged.get() + 1);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(merged.get() > 100, "only {} could be merged", merged.get());
}
