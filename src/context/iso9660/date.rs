//! The one date of a disc: of its volume and of everything on it.

use crate::context::moment::Moment;

const CENTIS_PER_DAY: u64 = 24 * 60 * 60 * 100;

/// Midnight after the last day that a directory record can hold: one byte counts the years since 1900.
const DAY_2156_01_01: u64 = 67_935;

/// A date in UTC, to a centisecond, within the years 1970 to 2155.
///
/// blkid makes the volume's UUID of it, so discs with different dates are different to udev.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeDate(Moment);

impl VolumeDate {
    /// The date this many centiseconds after 1970-01-01; from 2156 on, the last centisecond of 2155.
    pub fn from_unix_centis(centis: u64) -> Self {
        VolumeDate(Moment(centis.min(DAY_2156_01_01 * CENTIS_PER_DAY - 1)))
    }

    /// As volume descriptors hold it (ECMA-119, 8.4.26.1): 16 digits and the offset from UTC.
    pub fn in_descriptor(self) -> Vec<u8> {
        let (year, month, day) = self.0.date();
        let (hour, minute, second, centi) = self.0.time();
        format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}{centi:02}\0").into_bytes()
    }

    /// As directory records and Rock Ridge hold it (ECMA-119, 9.1.5): without centiseconds. The last byte is the offset
    /// from UTC.
    pub fn in_record(self) -> [u8; 7] {
        let (year, month, day) = self.0.date();
        let (hour, minute, second, _) = self.0.time();
        // No year is later than 2155, and all others have two digits.
        [year - 1900, month, day, hour, minute, second, 0].map(|number| number as u8)
    }
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
        let length = |year: u64, month: u64| match month {
            2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for number in 0..DAY_2156_01_01 {
            assert_eq!(Moment(number * CENTIS_PER_DAY).date(), (year, month, day), "day {number}");
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
