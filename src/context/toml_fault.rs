//! A fault in a TOML file as one line for the log; the parser's own words are a picture of several lines.

use anyhow::{Error, anyhow};

/// What is wrong with `text`, and in which line.
pub fn told(fault: &toml::de::Error, text: &str) -> Error {
    let before = fault.span().and_then(|span| text.get(..span.start));
    match before {
        Some(before) => anyhow!("line {}: {}", before.matches('\n').count() + 1, fault.message()),
        None => anyhow!("{}", fault.message()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_one_line_that_names_its_line() {
        let text = "a = 1\nb = \n";
        let fault = told(&text.parse::<toml::Table>().unwrap_err(), text).to_string();
        assert!(fault.starts_with("line 2: ") && !fault.contains('\n'), "{fault}");
    }
}
