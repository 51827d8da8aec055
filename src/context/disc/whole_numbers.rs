//! Whole numbers in JSON that no 64 bits hold: the parser takes the nearest fraction for one, and says nothing.

use anyhow::{Result, ensure};

/// Longest number that is told whole, in digits.
const LONG: usize = 40;

/// Fails when there is one in `text`, which is JSON, with its line.
pub(super) fn check(text: &str) -> Result<()> {
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        let from = rest.get(at..).unwrap_or_default();
        if let Some(string) = from.strip_prefix('"') {
            rest = behind(string);
            continue;
        }
        let ends = |c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E');
        let (number, behind) = from.split_at(from.find(ends).unwrap_or(from.len()));
        let fits = number.contains(['.', 'e', 'E']) || number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok();
        ensure!(
            fits,
            "line {}: the number {}{} is beyond what 64 bits hold, and would not be the same on the disc: put it in quotes",
            text.strip_suffix(from).map_or(0, |before| before.matches('\n').count()) + 1,
            number.get(..LONG).unwrap_or(number),
            if number.len() > LONG { "…" } else { "" }
        );
        rest = behind;
    }
    Ok(())
}

/// What follows a string, of which `text` is the rest.
fn behind(text: &str) -> &str {
    let mut is_escaped = false;
    let end = text.find(|c| {
        let ends = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    });
    end.and_then(|end| text.get(end + 1..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_64_bits_hold_is_kept_and_texts_and_fractions_are_no_whole_numbers() {
        for text in [
            "{}",
            "{\"a\": [18446744073709551615, -9223372036854775808, 0, -0]}",
            "{\"a\": 123456789012345678901234.5, \"b\": 1e300, \"c\": -123456789012345678901234E-2}",
            r#"{"99999999999999999999": "99999999999999999999 \" 99999999999999999999 \\", "ä": "\\\" 99999999999999999999"}"#,
        ] {
            assert!(serde_json::from_str::<serde_json::Value>(text).is_ok(), "{text}");
            assert!(check(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_larger_one_is_told_with_its_line() {
        for (text, why) in [
            ("{\"a\": 18446744073709551616}", "line 1: the number 18446744073709551616 is beyond what 64 bits hold"),
            ("{\n\"a\\\\\":\n[\"ä\",-9223372036854775809]}", "line 3: the number -9223372036854775809 is"),
            (&"9".repeat(1000), &format!("line 1: the number {}… is", "9".repeat(LONG))),
        ] {
            assert!(check(text).unwrap_err().to_string().starts_with(why), "{text}");
        }
    }
}
