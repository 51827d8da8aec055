//! The text format of Prometheus (version 0.0.4): families of samples, each with what it is and of which type.

use std::fmt::{Display, Write};

/// A family of metrics.
#[derive(Clone, Copy)]
pub(super) struct Family {
    pub name: &'static str,
    pub kind: Kind,
    /// What it is. Neither a backslash nor a line's end is in it.
    pub help: &'static str,
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Summary,
}

/// A sample: what its name has beyond the family's, its labels and its value.
pub(super) type Sample<'s> = (&'static str, Vec<(&'static str, &'s str)>, Value);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    Number(u64),
    /// Hundredths of a second, which are shown as seconds.
    Hundredths(u64),
}

#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    /// Adds a family; one may have no samples.
    pub(super) fn add<'s>(&mut self, family: Family, samples: impl IntoIterator<Item = Sample<'s>>) {
        let Family { name, kind, help } = family;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Summary => "summary",
        };
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
        for (more, labels, value) in samples {
            let labels: Vec<String> =
                labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            match value {
                Value::Number(number) => self.line(format_args!("{name}{more}{labels} {number}")),
                Value::Hundredths(number) => {
                    self.line(format_args!("{name}{more}{labels} {}.{:02}", number / 100, number % 100));
                }
            }
        }
    }

    fn line(&mut self, line: impl Display) {
        let _never_fails = writeln!(self.0, "{line}");
    }

    pub(super) fn end(self) -> String {
        self.0
    }
}

/// The value of a label as it stands between quotes.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_told_with_its_type_and_labels_are_escaped() {
        let mut text = Text::default();
        let family = Family { name: "a_seconds", kind: Kind::Summary, help: "Time." };
        text.add(
            family,
            [
                ("_sum", vec![("a", "x\"y\\z\nü"), ("b", "")], Value::Hundredths(1_205)),
                ("_count", Vec::new(), Value::Number(3)),
            ],
        );
        let wanted = "# HELP a_seconds Time.\n# TYPE a_seconds summary\n\
                      a_seconds_sum{a=\"x\\\"y\\\\z\\nü\",b=\"\"} 12.05\na_seconds_count 3\n";
        assert_eq!(text.end(), wanted);
    }
}
