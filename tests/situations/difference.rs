//! The difference of two texts, line by line.

/// A line of one text or of both.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line<'t> {
    Both(&'t str),
    Old(&'t str),
    New(&'t str),
}

/// The lines that differ, each with its number in its own text; none if the texts are the same byte for byte.
pub fn changes(old: &str, new: &str) -> Vec<String> {
    let (mut old_at, mut new_at) = (0, 0);
    let mut shown = Vec::new();
    for line in compare(old, new) {
        match line {
            Line::Both(_) => (old_at, new_at) = (old_at + 1, new_at + 1),
            Line::Old(text) => {
                old_at += 1;
                shown.push(format!("{old_at:>4} - {}", visible(text)));
            }
            Line::New(text) => {
                new_at += 1;
                shown.push(format!("{new_at:>4} + {}", visible(text)));
            }
        }
    }
    shown
}

/// Both texts in one, for a failure.
pub fn side_by_side(old: &str, new: &str) -> String {
    let mark = |line| match line {
        Line::Both(text) => format!("  {}\n", visible(text)),
        Line::Old(text) => format!("- {}\n", visible(text)),
        Line::New(text) => format!("+ {}\n", visible(text)),
    };
    compare(old, new).into_iter().map(mark).collect()
}

/// A line whose end and control characters can be seen: one that ends otherwise than by a line feed says so.
pub fn visible(line: &str) -> String {
    let (text, end) = line.strip_suffix('\n').map_or((line, "⏹"), |text| (text, ""));
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect::<String>()
        + end
}

/// By the longest common subsequence of what lies between the common ends.
fn compare<'t>(old: &'t str, new: &'t str) -> Vec<Line<'t>> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.split_inclusive('\n').collect(), new.split_inclusive('\n').collect());
    let mut longest = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i][j] =
                if old[i] == new[j] { longest[i + 1][j + 1] + 1 } else { longest[i + 1][j].max(longest[i][j + 1]) };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(Line::Both(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && longest[i + 1][j] >= longest[i][j + 1]) {
            lines.push(Line::Old(old[i]));
            i += 1;
        } else {
            lines.push(Line::New(new[j]));
            j += 1;
        }
    }
    lines
}
