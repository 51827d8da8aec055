//! The one date of a disc: of its volume and of everything on it.

const CENTIS_PER_DAY: u64 = 24 * 60 * 60 * 100;

/// Midnight after the last day that a directory record can hold: one byte counts the years since 1900.
const DAY_2156_01_01: u64 = 67_935;

/// A date in UTC, to a centisecond, within the years 1970 to 2155.
///
/// blkid makes the volume's UUID of it, so discs with different dates are different to udev.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeDate {
    year: u16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    centi: u8,
}

impl VolumeDate {
    /// The date this many centiseconds after 1970-01-01; from 2156 on, the last centisecond of 2155.
    pub fn from_unix_centis(centis: u64) -> Self {
        let centis = centis.min(DAY_2156_01_01 * CENTIS_PER_DAY - 1);
        let (year, month, day) = civil(centis / CENTIS_PER_DAY);
        let part = |unit: u64, of: u64| (centis / unit % of) as u8;
        VolumeDate {
            year,
            month,
            day,
            hour: part(360_000, 24),
            minute: part(6_000, 60),
            second: part(100, 60),
            centi: part(1, 100),
        }
    }

    /// As volume descriptors hold it (ECMA-119, 8.4.26.1): 16 digits and the offset from UTC.
    pub fn in_descriptor(self) -> Vec<u8> {
        let VolumeDate { year, month, day, hour, minute, second, centi } = self;
        format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}{centi:02}\0").into_bytes()
    }

    /// As directory records and Rock Ridge hold it (ECMA-119, 9.1.5): without centiseconds. The last byte is the offset
    /// from UTC.
    pub fn in_record(self) -> [u8; 7] {
        [(self.year - 1900) as u8, self.month, self.day, self.hour, self.minute, self.second, 0]
    }
}

/// Year, month and day of the Gregorian calendar, `day` days after 1970-01-01.
///
/// Counts from March of year 0, so that the leap day is a year's last day.
fn civil(day: u64) -> (u16, u8, u8) {
    const DAYS_FROM_MARCH_0: u64 = 719_468;
    const DAYS_PER_400_YEARS: u64 = 146_097;
    let day = day + DAYS_FROM_MARCH_0;
    let (era, in_era) = (day / DAYS_PER_400_YEARS, day % DAYS_PER_400_YEARS);
    // Every 4th year has a leap day, every 100th has none, the 400th has.
    let year_of_era = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // From March on, five months always have 153 days.
    let march_based = (5 * in_year + 2) / 153;
    let day_of_month = in_year - (153 * march_based + 2) / 5 + 1;
    let month = (march_based + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year as u16, month as u8, day_of_month as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(centis: u64) -> String {
        String::from_utf8(VolumeDate::from_unix_centis(centis).in_descriptor()).unwrap()
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(shown(0), "1970010100000000\0");
        assert_eq!(shown(95_178_240_000 + 1), "2000022900000001\0");
        assert_eq!(shown(179_539_577_642), "2026112301025642\0");
        assert_eq!(shown(410_754_240_000 - 1), "2100022823595999\0");
        assert_eq!(shown(410_754_240_000), "2100030100000000\0");
    }

    #[test]
    fn each_day_follows_the_day_before() {
        let length = |year: u16, month: u8| match month {
            2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for number in 0..DAY_2156_01_01 {
            assert_eq!(civil(number), (year, month, day), "day {number}");
            day += 1;
            if day > length(year, month) {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        assert_eq!((year, month, day), (2156, 1, 1));
    }

    #[test]
    fn a_date_too_late_for_a_record_becomes_the_last_that_fits() {
        assert_eq!(shown(u64::MAX), "2155123123595999\0");
        assert_eq!(VolumeDate::from_unix_centis(u64::MAX).in_record(), [255, 12, 31, 23, 59, 59, 0]);
    }
}
