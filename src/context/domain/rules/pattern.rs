//! A text in which each `*` stands for any text, matched as a whole: what is not anchored fits more than is meant.

/// The text between the stars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    pieces: Vec<String>,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Pattern {
        Pattern { pieces: text.split('*').map(str::to_owned).collect() }
    }

    /// How many stars it has.
    pub(super) fn stars(&self) -> usize {
        self.pieces.len().saturating_sub(1)
    }

    /// How many bytes of it are no stars: of several that fit, the one with the most says the most.
    pub(super) fn literal(&self) -> usize {
        self.pieces.iter().map(String::len).sum()
    }

    /// What each star stands for, if the whole `text` fits; where there is a choice the earlier stars stand for less.
    pub(super) fn fit<'t>(&self, text: &'t str) -> Option<Vec<&'t str>> {
        let (first, rest) = self.pieces.split_first()?;
        let mut left = text.strip_prefix(first.as_str())?;
        let Some((last, middle)) = rest.split_last() else { return left.is_empty().then(Vec::new) };
        let mut stars = Vec::new();
        for piece in middle {
            let (star, behind) = left.split_once(piece.as_str())?;
            stars.push(star);
            left = behind;
        }
        stars.push(left.strip_suffix(last.as_str())?);
        Some(stars)
    }

    /// The text in which `stars` stand for the stars.
    pub(super) fn fill(&self, stars: &[&str]) -> String {
        let mut text = String::new();
        for (number, piece) in self.pieces.iter().enumerate() {
            if let Some(star) = number.checked_sub(1).and_then(|number| stars.get(number)) {
                text.push_str(star);
            }
            text.push_str(piece);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_text_fits_or_none_of_it() {
        for (pattern, text, stars) in [
            ("br0", "br0", Some(vec![])),
            ("br0", "br01", None),
            ("br*", "br", Some(vec![""])),
            ("br*-*", "brvx-1234", Some(vec!["vx", "1234"])),
            ("br*-*", "br-a-b", Some(vec!["", "a-b"])),
            ("*", "", Some(vec![""])),
            ("a*a", "a", None),
            ("a*a", "aa", Some(vec![""])),
            ("*a*", "xax", Some(vec!["x", "x"])),
            ("*ab*b", "ab", None),
            ("", "", Some(vec![])),
            ("", "x", None),
            ("**", "ab", Some(vec!["", "ab"])),
        ] {
            assert_eq!(Pattern::new(pattern).fit(text), stars, "{pattern} {text}");
        }
    }

    #[test]
    fn each_star_of_a_result_is_what_the_star_of_the_same_number_stood_for() {
        let stars = Pattern::new("cloudVirBr*-*").fit("cloudVirBr7-x").unwrap();
        assert_eq!(Pattern::new("breth0-*.*").fill(&stars), "breth0-7.x");
        assert_eq!(Pattern::new("x").fill(&stars), "x");
    }
}
