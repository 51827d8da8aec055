//! Facts that are known to trip readers.

use serde_json::{Map, Value, json};

/// Texts that YAML, JSON, shells or people have been seen to change.
pub fn texts() -> Vec<String> {
    let short = [
        "",
        " ",
        "  leading and trailing  ",
        "\t",
        "\n",
        "trailing newline\n\n",
        "\r\n",
        "a\nb\n  c",
        "'",
        "''",
        "\"",
        "\\",
        "\\\\'",
        "\\n",
        "'\\''",
        "$HOME ${HOME} $(id) `id`",
        "!!",
        "#",
        "a # b",
        ": ",
        "a: b",
        "- a",
        "? a",
        "& *a",
        "!!int 3",
        "%YAML 1.1",
        "---",
        "...",
        "{",
        "}",
        "[",
        "]",
        ",",
        "@",
        "`",
        "|",
        ">",
        "<<",
        "=",
        "~",
        "null",
        "yes",
        "No",
        "on",
        "off",
        "true",
        "1",
        "01",
        "0x1f",
        "0b1",
        "1_000",
        "1:30",
        "00:11:22:33:44:55",
        "1e3",
        "1.0",
        ".5",
        ".inf",
        ".nan",
        "-",
        "2026-11-23",
        "2026-11-23T04:05:06Z",
        "größe",
        "日本語",
        "😀",
        "e\u{301}",
        "\u{7f}",
        "\u{80}",
        "\u{85}",
        "\u{9f}",
        "\u{a0}",
        "\u{2028}",
        "\u{2029}",
        "\u{feff}",
        "\u{fffd}",
        "\u{fffe}",
        "\u{ffff}",
        "\u{1}",
        "\u{1b}[31m",
        "\u{8}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{10ffff}",
        "WORD=\nPATH='x'\nA=b",
        "EOF\n",
        "*",
        "?",
        "[a-z]*",
        "~root",
        "a\\\nb",
        "-n",
        "%s",
    ];
    let mut all: Vec<String> = short.map(str::to_owned).to_vec();
    all.push("long 'ä' ".repeat(20_000));
    all.push("x".repeat(200_000));
    all
}

/// All texts as values, and values that are no texts.
pub fn values() -> Value {
    let mut facts = Map::new();
    for (number, text) in texts().into_iter().enumerate() {
        facts.insert(format!("text_{number}"), Value::from(text));
    }
    facts.insert(
        "numbers".to_owned(),
        json!([0, -1, 1.5, 1e30, 1e-7, 5e-324, 1.7976931348623157e308, u64::MAX, i64::MIN]),
    );
    facts.insert("e".to_owned(), json!(1e16));
    facts.insert("others".to_owned(), json!({"yes": true, "no": false, "none": null, "table": {}, "list": []}));
    facts.insert("deep".to_owned(), json!({"a": {"b": [{"c": ["ä", {"d": "\u{85}"}]}]}}));
    Value::Object(facts)
}

/// All texts as names, for the formats that can carry them.
pub fn names() -> Value {
    let fits = |text: &String| text.chars().count() < 100;
    Value::Object(texts().into_iter().filter(fits).map(|text| (text.clone(), json!({text: 1}))).collect())
}
