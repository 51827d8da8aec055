//! Directory records (ECMA-119, 9.1), and the blocks that they fill.

use super::block::without_crossing;
use super::date::VolumeDate;
use super::field::{block_number, both16, both32, byte_count};

/// The identifier of a directory's record of itself.
pub const SELF: u8 = 0;
/// The identifier of a directory's record of its parent.
pub const PARENT: u8 = 1;
/// The longest record.
pub const MAX_LEN: usize = 254;

const FIXED: usize = 33;
const IS_DIRECTORY: u8 = 2;

/// One directory record, without what Rock Ridge adds to it.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its name.
    pub identifier: &'a [u8],
    /// First block on the disc.
    pub block: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Its date.
    pub date: VolumeDate,
}

/// The length up to the system use field, with the byte that makes it even.
pub fn len_before_system_use(identifier: usize) -> usize {
    (FIXED + identifier).next_multiple_of(2)
}

/// The length of a whole record.
pub fn len(identifier: usize, system_use: usize) -> usize {
    (len_before_system_use(identifier) + system_use).next_multiple_of(2)
}

impl Record<'_> {
    /// Writes the record with the `system_use_len` bytes that `system_use` writes, in the next block if it doesn't fit
    /// into this one.
    pub fn write(&self, out: &mut Vec<u8>, system_use_len: usize, system_use: impl FnOnce(&mut Vec<u8>)) {
        let len = len(self.identifier.len(), system_use_len);
        let begin = without_crossing(out.len(), len);
        out.resize(begin, 0);
        out.extend([len as u8, 0]);
        out.extend(both32(block_number(self.block)));
        out.extend(both32(byte_count(self.bytes)));
        out.extend(self.date.in_record());
        out.extend([if self.is_directory { IS_DIRECTORY } else { 0 }, 0, 0]);
        out.extend(both16(1));
        out.push(self.identifier.len() as u8);
        out.extend_from_slice(self.identifier);
        out.resize(begin + len_before_system_use(self.identifier.len()), 0);
        system_use(out);
        out.resize(begin + len, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(identifier: &[u8]) -> Record<'_> {
        let date = VolumeDate::from_unix_centis(0);
        Record { identifier, block: 18, bytes: 5, is_directory: false, date }
    }

    #[test]
    fn a_record_is_as_long_as_it_says() {
        for identifier in [&b"A.;1"[..], b"AB.;1"] {
            for system_use in [0, 5, 7, 26] {
                let mut out = Vec::new();
                record(identifier).write(&mut out, system_use, |out| out.resize(out.len() + system_use, 9));
                assert_eq!(out.len(), usize::from(out[0]));
                assert_eq!(out.len() % 2, 0);
            }
        }
    }

    #[test]
    fn a_record_never_crosses_a_block() {
        let mut out = vec![1; 2048 - 37];
        record(b"A.;1").write(&mut out, 0, |_| ());
        assert_eq!(out[2048 - 37..2048], [0; 37]);
        assert_eq!(out[2048], 38);
    }
}
