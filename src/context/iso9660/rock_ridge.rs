//! Rock Ridge: real names, modes and owners in the system use fields of directory records.
//!
//! Follows SUSP 1.12 for SP and ER, and RRIP 1.09 (which announces itself as `RRIP_1991A`) for PX, TF, NM and RR.
//! The older version on purpose: the later one's PX carries serial numbers, by which libarchive finds hard links.

use super::block::without_crossing;
use super::date::VolumeDate;
use super::field::both32;
use super::record;
use super::susp::{CE, VERSION, write_continuation};
use super::trail;

const SP: usize = 7;
const RR: usize = 5;
const PX: usize = 36;
const TF: usize = 5 + 3 * 7;
const ER: usize = 8 + ER_NAME.len() + ER_WHAT.len() + ER_WHERE.len();
const ATTRIBUTES: usize = RR + PX + TF;

const ER_NAME: &str = "RRIP_1991A";
const ER_WHAT: &str = "ROCK RIDGE: POSIX NAMES, MODES, OWNERS AND DATES";
const ER_WHERE: &str = "IEEE P1282 DRAFT 1.09";

/// Bytes of NM before the name.
const NM: usize = 5;
/// Longest piece of a name in one NM: a field's length is one byte.
const NM_PIECE: usize = 250;
/// RR: the record has PX, NM, TF.
const HAS_ATTRIBUTES_AND_NAME: u8 = 1 | 8 | 128;
const HAS_ATTRIBUTES: u8 = 1 | 128;
/// TF: modification, access and attribute change, each in seven bytes.
const THREE_DATES: u8 = 2 | 4 | 8;
/// NM: the next NM goes on with the name.
const CONTINUES: u8 = 1;

/// The type bits of a mode.
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
/// Directories can be listed and entered by all; the disc cannot be written anyway.
const DIRECTORY_MODE: u32 = DIRECTORY | 0o555;

/// A real name.
#[derive(Debug, Clone, Copy)]
pub enum Name<'a> {
    /// It fits into the record.
    Here(&'a str),
    /// It is in the continuation area, from this byte on.
    Continued {
        /// Where it begins, in bytes from the area's first block.
        offset: usize,
        /// How many bytes its fields have.
        len: usize,
    },
}

/// The names that are too long for their records.
///
/// Lies directly after the directories of the primary tree and the trail: libarchive looks for it nowhere else. What belongs to one
/// record lies within one block, or Linux refuses it.
#[derive(Debug, Default)]
pub struct ContinuationArea {
    bytes: Vec<u8>,
}

/// What PX and TF say.
#[derive(Debug, Clone, Copy)]
pub struct Attributes {
    mode: u32,
    links: u32,
    date: VolumeDate,
}

/// What a record says beyond ECMA-119.
#[derive(Debug, Clone, Copy)]
pub enum SystemUse<'a> {
    /// Nothing: the record belongs to the Joliet tree.
    Nothing,
    /// The root's record of itself, where Rock Ridge is announced.
    Root,
    /// Another record of a directory in itself, or of its parent.
    Unnamed,
    /// A record in its directory.
    Named(Name<'a>),
}

impl ContinuationArea {
    fn add(&mut self, name: &str) -> Name<'static> {
        let pieces = name.len().div_ceil(NM_PIECE);
        let len = name.len() + NM * pieces;
        let offset = without_crossing(self.bytes.len(), len);
        self.bytes.resize(offset, 0);
        for (number, piece) in name.as_bytes().chunks(NM_PIECE).enumerate() {
            write_name(&mut self.bytes, piece, if number + 1 < pieces { CONTINUES } else { 0 });
        }
        Name::Continued { offset, len }
    }

    /// The area's content so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl<'a> Name<'a> {
    /// Finds room for the name of a record with an identifier of this length: in the record or, if that would be too
    /// long, in the continuation area.
    pub fn place(name: &'a str, identifier: usize, long_names: &mut ContinuationArea) -> Name<'a> {
        let here = Name::Here(name);
        if record::len(identifier, SystemUse::Named(here).len()) <= record::MAX_LEN {
            here
        } else {
            long_names.add(name)
        }
    }
}

impl Attributes {
    /// Those of a regular file with these permission bits.
    pub fn file(mode: u16, date: VolumeDate) -> Self {
        Attributes { mode: REGULAR | u32::from(mode & 0o7777), links: 1, date }
    }

    /// Those of a directory.
    pub fn directory(links: u32, date: VolumeDate) -> Self {
        Attributes { mode: DIRECTORY_MODE, links, date }
    }

    fn write(&self, out: &mut Vec<u8>, has: u8) {
        out.extend([b'R', b'R', RR as u8, VERSION, has]);
        out.extend([b'P', b'X', PX as u8, VERSION]);
        let (user, group) = (0, 0);
        out.extend([self.mode, self.links, user, group].into_iter().flat_map(both32));
        out.extend([b'T', b'F', TF as u8, VERSION, THREE_DATES]);
        out.extend([self.date.in_record(); 3].as_flattened());
    }
}

impl SystemUse<'_> {
    /// How many bytes `write` writes.
    pub fn len(&self) -> usize {
        match self {
            SystemUse::Nothing => 0,
            SystemUse::Root => SP + ATTRIBUTES + ER + CE,
            SystemUse::Unnamed => ATTRIBUTES,
            SystemUse::Named(Name::Here(name)) => ATTRIBUTES + NM + name.len(),
            SystemUse::Named(Name::Continued { .. }) => ATTRIBUTES + CE,
        }
    }

    /// Writes the fields; `area` is the first block of the continuation area, and the trail ends before it.
    pub fn write(&self, out: &mut Vec<u8>, attributes: Attributes, area: u64) {
        match *self {
            SystemUse::Nothing => {}
            SystemUse::Root => {
                // SP comes first, and only here: readers look for it at this place alone (SUSP, 5.3).
                out.extend([b'S', b'P', SP as u8, VERSION, 0xBE, 0xEF, 0]);
                attributes.write(out, HAS_ATTRIBUTES);
                out.extend([b'E', b'R', ER as u8, VERSION]);
                out.extend([ER_NAME.len() as u8, ER_WHAT.len() as u8, ER_WHERE.len() as u8, VERSION]);
                out.extend([ER_NAME, ER_WHAT, ER_WHERE].concat().bytes());
                write_continuation(out, area.saturating_sub(trail::BLOCKS), 0, CE);
            }
            SystemUse::Unnamed => attributes.write(out, HAS_ATTRIBUTES),
            SystemUse::Named(Name::Here(name)) => {
                attributes.write(out, HAS_ATTRIBUTES_AND_NAME);
                write_name(out, name.as_bytes(), 0);
            }
            SystemUse::Named(Name::Continued { offset, len }) => {
                attributes.write(out, HAS_ATTRIBUTES_AND_NAME);
                write_continuation(out, area, offset, len);
            }
        }
    }
}

fn write_name(out: &mut Vec<u8>, piece: &[u8], flags: u8) {
    out.extend([b'N', b'M', (NM + piece.len()) as u8, VERSION, flags]);
    out.extend_from_slice(piece);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST_IDENTIFIER: usize = "12345678.123;1".len();

    #[test]
    fn every_field_has_the_length_that_was_reserved_for_it() {
        let mut area = ContinuationArea::default();
        let attributes = Attributes::file(0o444, VolumeDate::from_unix_centis(0));
        let names: Vec<String> = (1..=255).map(|len| "n".repeat(len)).collect();
        let named = names.iter().map(|name| SystemUse::Named(Name::place(name, LONGEST_IDENTIFIER, &mut area)));
        let rest = [SystemUse::Nothing, SystemUse::Root, SystemUse::Unnamed];
        for system_use in named.collect::<Vec<_>>().into_iter().chain(rest) {
            let mut out = Vec::new();
            system_use.write(&mut out, attributes, 30);
            assert_eq!(out.len(), system_use.len(), "{system_use:?}");
            assert!(record::len(LONGEST_IDENTIFIER, out.len()) <= record::MAX_LEN, "{system_use:?}");
        }
    }

    #[test]
    fn a_long_name_lies_within_one_block_of_the_continuation_area() {
        let mut area = ContinuationArea::default();
        for _ in 0..100 {
            let Name::Continued { offset, len } = Name::place(&"n".repeat(255), 1, &mut area) else { panic!() };
            assert_eq!(offset / 2048, (offset + len - 1) / 2048);
            assert_eq!(area.bytes()[offset..][..3], [b'N', b'M', 255]);
            assert_eq!(area.bytes()[offset + 255..][..10], *b"NM\x0A\x01\0nnnnn");
        }
    }
}
