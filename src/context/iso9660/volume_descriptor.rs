//! Volume descriptors: where a reader begins (ECMA-119, 8; Joliet, 2).

use super::block::filler;
use super::date::VolumeDate;
use super::field::{Charset, block_number, both16, both32, byte_count, text};
use super::label::Label;
use super::record::{Record, SELF};

const STANDARD: &[u8] = b"CD001";
const VERSION: u8 = 1;
const PRIMARY: u8 = 1;
const SUPPLEMENTARY: u8 = 2;
const TERMINATOR: u8 = 255;
/// Joliet's sign: UCS-2 at level 3.
const UCS2_LEVEL_3: &[u8] = b"%/E";
/// What we call ourselves as the disc's preparer and application.
const MAKER: &str = "VIRT-RECONTEXT";
const NO_DATE: &[u8] = b"0000000000000000\0";

/// Where one tree is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Roots {
    /// Bytes of each path table.
    pub path_table_bytes: u64,
    /// First block of the little-endian path table.
    pub little_path_table: u64,
    /// First block of the big-endian path table.
    pub big_path_table: u64,
    /// First block of the root directory, and so of all directories.
    pub directory: u64,
    /// Bytes of the root directory.
    pub directory_bytes: u64,
}

/// What both descriptors say of the volume.
#[derive(Debug, Clone, Copy)]
pub struct Volume<'l> {
    /// Its name.
    pub label: &'l Label,
    /// When it was made.
    pub date: VolumeDate,
    /// Its size in blocks.
    pub blocks: u32,
}

impl Volume<'_> {
    /// Writes the descriptor of the primary tree.
    pub fn write_primary(&self, out: &mut Vec<u8>, roots: Roots) {
        self.write(out, roots, PRIMARY, b"", Charset::Ascii);
    }

    /// Writes the descriptor of the Joliet tree.
    pub fn write_joliet(&self, out: &mut Vec<u8>, roots: Roots) {
        self.write(out, roots, SUPPLEMENTARY, UCS2_LEVEL_3, Charset::Ucs2);
    }

    /// The fields in the order of ECMA-119, 8.4 and 8.5; the comments give those whose values don't tell their names.
    fn write(&self, out: &mut Vec<u8>, roots: Roots, kind: u8, escape: &[u8], charset: Charset) {
        let begin = out.len();
        out.push(kind);
        out.extend_from_slice(STANDARD);
        out.extend([VERSION, 0]);
        text(out, 32, "", charset); // system
        text(out, 32, self.label.as_str(), charset);
        out.extend([0; 8]);
        out.extend(both32(self.blocks));
        out.extend_from_slice(escape);
        out.resize(begin + 120, 0);
        out.extend([both16(1), both16(1), both16(2048)].as_flattened()); // volumes, number of this one, block size
        out.extend(both32(byte_count(roots.path_table_bytes)));
        // Each path table may have a second copy; there is none.
        out.extend([block_number(roots.little_path_table).to_le_bytes(), [0; 4]].as_flattened());
        out.extend([block_number(roots.big_path_table).to_be_bytes(), [0; 4]].as_flattened());
        let Roots { directory: block, directory_bytes: bytes, .. } = roots;
        let root = Record { identifier: &[SELF], block, bytes, is_directory: true, date: self.date };
        root.write(out, 0, |_| ());
        text(out, 128, "", charset); // volume set
        text(out, 128, "", charset); // publisher
        text(out, 128, MAKER, charset); // preparer
        text(out, 128, MAKER, charset); // application
        for _ in ["copyright file", "abstract file", "bibliographic file"] {
            text(out, 37, "", charset);
        }
        out.extend(self.date.in_descriptor()); // creation
        out.extend(self.date.in_descriptor()); // modification
        out.extend([NO_DATE, NO_DATE].concat()); // expiration, effective from
        out.extend([1, 0]); // version of the directories' structure
        out.extend_from_slice(filler(out.len()));
    }
}

/// Writes the descriptor that ends the list.
pub fn write_terminator(out: &mut Vec<u8>) {
    out.push(TERMINATOR);
    out.extend_from_slice(STANDARD);
    out.push(VERSION);
    out.extend_from_slice(filler(out.len()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_at_its_offset() {
        let label = "config-2".parse().unwrap();
        let volume = Volume { label: &label, date: VolumeDate::from_unix_centis(0), blocks: 512 };
        let roots = Roots {
            path_table_bytes: 10,
            little_path_table: 19,
            big_path_table: 20,
            directory: 23,
            directory_bytes: 2048,
        };
        let mut out = Vec::new();
        volume.write_primary(&mut out, roots);
        volume.write_joliet(&mut out, roots);
        write_terminator(&mut out);
        assert_eq!(out.len(), 3 * 2048);
        let (primary, joliet) = out.split_at(2048);
        assert_eq!(primary[40..72], *b"config-2                        ");
        assert_eq!(joliet[40..56], *b"\0c\0o\0n\0f\0i\0g\0-\x002");
        assert_eq!(joliet[88..91], *b"%/E");
        for descriptor in [primary, joliet] {
            assert_eq!(descriptor[1..6], *b"CD001");
            assert_eq!(descriptor[80..84], 512_u32.to_le_bytes());
            assert_eq!(descriptor[156..158], [34, 0], "the root directory");
            assert_eq!(descriptor[813..829], *b"1970010100000000");
            assert_eq!(descriptor[830..846], *b"1970010100000000");
            assert_eq!(descriptor[847..880], *[&[b'0'; 16][..], &[0], &[b'0'; 16]].concat());
            assert_eq!(descriptor[881], 1);
        }
    }
}
