//! A moment in time, as a disc shows it: to a hundredth of a second, which is what a volume date holds.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

/// Hundredths of a second since 1970-01-01 00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl From<SystemTime> for Moment {
    /// A clock before 1970 counts as 1970.
    fn from(time: SystemTime) -> Moment {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Moment(since.as_secs() * 100 + u64::from(since.subsec_millis() / 10))
    }
}

impl fmt::Display for Moment {
    /// RFC 3339 in UTC: `2026-11-23T04:05:06.78Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        let (hour, minute, second, centi) = self.time();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{centi:02}Z")
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Moment {
    /// Year, month (1–12) and day (1–31) in UTC, by the Gregorian calendar.
    pub fn date(self) -> (u64, u64, u64) {
        // Counted in years that begin on 1 March, so that the leap day is a year's last; an era is 400 years.
        let days = self.0 / 8_640_000 + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        (era * 400 + year + u64::from(month <= 2), month, day)
    }

    /// Hour, minute, second and hundredth in UTC.
    pub fn time(self) -> (u64, u64, u64, u64) {
        let seconds = self.0 / 100 % 86_400;
        (seconds / 3_600, seconds / 60 % 60, seconds % 60, self.0 % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.00Z"),
            (951_782_399, "2000-02-28T23:59:59.00Z"),
            (951_782_400, "2000-02-29T00:00:00.00Z"),
            (951_868_800, "2000-03-01T00:00:00.00Z"),
            (1_795_406_706, "2026-11-23T04:05:06.00Z"),
            (4_107_542_400, "2100-03-01T00:00:00.00Z"),
        ] {
            assert_eq!(Moment(seconds * 100).to_string(), text);
        }
    }
}
