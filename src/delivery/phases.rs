//! How long the parts of a delivery took, for the one line that tells of it.

use std::fmt;
use std::time::{Duration, Instant};

/// A stopwatch that is stopped after each part.
#[derive(Debug)]
pub(super) struct Phases {
    last: Instant,
    ended: Vec<(&'static str, Duration)>,
}

impl Phases {
    pub(super) fn begin() -> Phases {
        Phases { last: Instant::now(), ended: Vec::new() }
    }

    /// The part called `name` has ended, and the next one begins.
    pub(super) fn end(&mut self, name: &'static str) {
        let now = Instant::now();
        self.ended.push((name, now - self.last));
        self.last = now;
    }
}

impl fmt::Display for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.ended.iter().map(|(name, took)| format!("{name} {:.1} ms", took.as_secs_f64() * 1e3));
        f.write_str(&told.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_told_with_its_time() {
        let ms = Duration::from_millis;
        let phases = Phases { last: Instant::now(), ended: vec![("eject", ms(12)), ("insert", ms(15))] };
        assert_eq!(phases.to_string(), "eject 12.0 ms, insert 15.0 ms");
    }
}
