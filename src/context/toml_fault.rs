//! A fault in a TOML file as one line for the log; the parser's own words are a picture of several lines.

use std::fmt::{self, Display};
use std::ops::Range;

use anyhow::anyhow;
use toml::de::DeInteger;

/// What is wrong, and where in the text.
#[derive(Debug)]
pub(crate) struct Fault {
    message: String,
    place: Option<Range<usize>>,
}

impl Fault {
    pub(crate) fn too_large(number: &DeInteger) -> Fault {
        serde::de::Error::custom(format_args!("the number {number} is too large"))
    }

    /// The same, of what is in this place: of one that knows its place, that is further inside.
    pub(crate) fn at(self, place: Range<usize>) -> Fault {
        Fault { place: self.place.or(Some(place)), ..self }
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn place(&self) -> Option<Range<usize>> {
        self.place.clone()
    }

    /// For a person, with the line of `text`.
    pub(crate) fn told(&self, text: &str) -> anyhow::Error {
        let before = self.place().and_then(|place| text.get(..place.start));
        match before {
            Some(before) => anyhow!("line {}: {self}", before.matches('\n').count() + 1),
            None => anyhow!("{self}"),
        }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    fn custom<T: Display>(message: T) -> Fault {
        Fault { message: message.to_string(), place: None }
    }
}

impl From<toml::de::Error> for Fault {
    fn from(fault: toml::de::Error) -> Fault {
        Fault { message: fault.message().to_owned(), place: fault.span() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_one_line_that_names_its_line() {
        let text = "a = 1\nb = \n";
        let fault = Fault::from(toml::de::DeTable::parse(text).unwrap_err()).told(text).to_string();
        assert!(fault.starts_with("line 2: ") && !fault.contains('\n'), "{fault}");
    }
}
