//! The rules that most programs don't check: a second, independent reading of whole discs, against random trees.

use std::collections::BTreeSet;

use proptest::prelude::*;
use virt_recontext::context::disc::files::{File, Files, Origin};
use virt_recontext::context::iso9660::Image;
use virt_recontext::context::iso9660::date::VolumeDate;

const BLOCK: usize = 2048;
const DATE: [u8; 7] = [126, 11, 23, 1, 2, 56, 0];

/// A directory record.
struct Record {
    identifier: Vec<u8>,
    block: usize,
    size: usize,
    is_directory: bool,
    system_use: Vec<u8>,
}

/// One of the trees of names on a disc.
struct View<'d> {
    disc: &'d [u8],
    is_joliet: bool,
    /// Blocks that directories and files occupy: first and one past the last.
    used: BTreeSet<(usize, usize)>,
    files: usize,
}

fn little16(bytes: &[u8]) -> usize {
    u16::from_le_bytes(bytes[..2].try_into().unwrap()).into()
}

fn little32(bytes: &[u8]) -> usize {
    u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize
}

/// A number that must say the same in both byte orders.
fn both32(bytes: &[u8]) -> usize {
    let big = u32::from_be_bytes(bytes[4..8].try_into().unwrap());
    assert_eq!(little32(bytes), big as usize);
    big as usize
}

impl Record {
    fn parse(bytes: &[u8]) -> Self {
        let identifier = bytes[33..33 + usize::from(bytes[32])].to_vec();
        let system_use = (33 + identifier.len()).next_multiple_of(2);
        assert_eq!(bytes.len() % 2, 0);
        assert_eq!(bytes[18..25], DATE);
        Record {
            block: both32(&bytes[2..]),
            size: both32(&bytes[10..]),
            is_directory: bytes[25] & 2 != 0,
            system_use: bytes[system_use..].to_vec(),
            identifier,
        }
    }

    /// Name, extension: what records are ordered by (ECMA-119, 9.3).
    fn key(&self, is_joliet: bool) -> (Vec<u8>, Vec<u8>) {
        if is_joliet {
            return (self.identifier.clone(), Vec::new());
        }
        let name = String::from_utf8(self.identifier.clone()).unwrap();
        let name = name.strip_suffix(";1").unwrap_or(&name);
        let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
        assert!(!stem.is_empty() && stem.len() <= 8 && extension.len() <= 3, "{name}");
        let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        assert!(stem.chars().chain(extension.chars()).all(allowed), "{name}");
        (format!("{stem:8}").into_bytes(), format!("{extension:3}").into_bytes())
    }
}

impl View<'_> {
    /// All records of a directory, which must fill its blocks without crossing one.
    fn records(&self, block: usize, size: usize) -> Vec<Record> {
        assert!(size > 0 && size.is_multiple_of(BLOCK));
        let mut records = Vec::new();
        for block in self.disc[block * BLOCK..][..size].chunks(BLOCK) {
            let mut rest = block;
            while let Some(len) = rest.first().copied().filter(|len| *len > 0) {
                let (record, after) = rest.split_at(len.into());
                records.push(Record::parse(record));
                rest = after;
            }
            assert!(rest.iter().all(|byte| *byte == 0));
        }
        records
    }

    /// Reads the path table at `table`, and every directory in it.
    fn check(&mut self, descriptor: &[u8]) {
        let size = both32(&descriptor[132..]);
        let little = &self.disc[little32(&descriptor[140..]) * BLOCK..][..size];
        let big_at = u32::from_be_bytes(descriptor[148..152].try_into().unwrap()) as usize;
        let big = &self.disc[big_at * BLOCK..][..size];

        // The directories that the path table has to list: those of each directory, in order, one after the other.
        let root = Record::parse(&descriptor[156..190]);
        let mut queue = vec![(vec![0], root.block, root.size, 1, root.block, root.size)];
        let (mut at, mut number) = (0, 0);
        while number < queue.len() {
            let (identifier, block, size, parent, parent_block, parent_size) = queue[number].clone();
            number += 1;
            let entry = &little[at..];
            assert_eq!(entry[8..8 + usize::from(entry[0])], identifier);
            assert_eq!((little32(&entry[2..]), little16(&entry[6..])), (block, parent));
            assert_eq!(big[at..at + 2], entry[..2]);
            assert_eq!(big[at + 2..at + 6], (block as u32).to_be_bytes());
            assert_eq!(big[at + 6..at + 8], (parent as u16).to_be_bytes());
            at += 8 + identifier.len().next_multiple_of(2);

            let records = self.records(block, size);
            self.take(block, size);
            assert_eq!((records[0].identifier.as_slice(), records[0].block, records[0].size), (&[0][..], block, size));
            assert_eq!(
                (records[1].identifier.as_slice(), records[1].block, records[1].size),
                (&[1][..], parent_block, parent_size)
            );
            let named = &records[2..];
            let subdirectories = named.iter().filter(|record| record.is_directory).count();
            if !self.is_joliet {
                self.check_links(&records[0], 2 + subdirectories);
            }
            if self.is_joliet {
                windows_opens_each(named);
            }
            assert!(named.is_sorted_by(|a, b| a.key(self.is_joliet) < b.key(self.is_joliet)));
            for record in named {
                if record.is_directory {
                    queue.push((record.identifier.clone(), record.block, record.size, number, block, size));
                } else {
                    self.files += 1;
                    self.take(record.block, record.size);
                }
                if self.is_joliet {
                    assert!(record.system_use.is_empty());
                    assert!(record.identifier.len() <= 128 && record.identifier.len().is_multiple_of(2));
                } else {
                    self.check_continuation(record);
                }
            }
        }
        assert_eq!(at, size);
    }

    fn take(&mut self, block: usize, size: usize) {
        let end = block + size.div_ceil(BLOCK);
        assert!(end * BLOCK <= self.disc.len());
        if size > 0 {
            assert!(self.used.insert((block, end)));
        }
    }

    fn check_links(&self, own: &Record, links: usize) {
        let at = own.system_use.windows(4).position(|field| field == b"PX\x24\x01").unwrap();
        assert_eq!(both32(&own.system_use[at + 12..]), links);
    }

    /// A continuation lies within one block and consists of names, up to its last byte.
    fn check_continuation(&self, record: &Record) {
        let mut rest = record.system_use.as_slice();
        while rest.len() >= 4 {
            let (field, after) = rest.split_at(rest[2].into());
            if field.starts_with(b"CE") {
                let (block, offset, len) = (both32(&field[4..]), both32(&field[12..]), both32(&field[20..]));
                assert!(offset + len <= BLOCK);
                let mut names = &self.disc[block * BLOCK + offset..][..len];
                while !names.is_empty() {
                    assert!(names.starts_with(b"NM"));
                    names = &names[names[2].into()..];
                }
            }
            rest = after;
        }
    }
}

/// Fails unless the names are of characters that Windows takes, and no two are one to it.
fn windows_opens_each(records: &[Record]) {
    let mut names = BTreeSet::new();
    for Record { identifier, .. } in records {
        let units: Vec<u16> = identifier.chunks(2).map(|unit| u16::from_be_bytes(unit.try_into().unwrap())).collect();
        let name = String::from_utf16(&units).unwrap();
        assert!(!name.contains(['"', '*', '/', ':', ';', '<', '>', '?', '\\', '|']), "{name}");
        assert!(!name.ends_with(['.', ' ']), "{name}");
        let lower = |letter: char| Some(letter.to_lowercase()).filter(|lower| lower.len() == 1)?.next();
        let folded: String = name.chars().map(|letter| lower(letter).unwrap_or(letter)).collect();
        assert!(names.insert(folded), "{name} is there twice");
    }
}

/// Fails unless the disc of `tree` keeps all rules.
fn check(tree: &Files) {
    let image = Image::new(tree, &"cidata".parse().unwrap(), VolumeDate::from_unix_centis(179_539_577_642)).unwrap();
    let disc = image.to_bytes();
    let mut directories = BTreeSet::new();
    for (number, is_joliet) in [(16, false), (17, true)] {
        let descriptor = &disc[number * BLOCK..][..BLOCK];
        let mut view = View { disc: &disc, is_joliet, used: BTreeSet::new(), files: 0 };
        view.check(descriptor);
        assert_eq!(view.files, tree.iter().len());
        directories.extend(view.used);
    }
    // Both trees share the files, and nothing else overlaps.
    let (begins, ends) = (directories.iter().skip(1).map(|used| used.0), directories.iter().map(|used| used.1));
    assert!(begins.zip(ends).all(|(begin, end)| end <= begin));
}

/// Names of all lengths, with many equal beginnings.
fn name() -> impl Strategy<Value = String> {
    let name =
        prop_oneof!["[a-c]{1,3}", "[ab._ -]{1,12}", "same-beginning-[a-z0-9]{0,60}", "\\PC{1,60}", "[a-z]{120,250}"];
    name.prop_filter("no path", |name| name.len() <= 253 && !name.contains('/') && name != "." && name != "..")
}

fn any_tree() -> impl Strategy<Value = Files> {
    let path = prop::collection::vec(name(), 1..=8);
    let bytes = prop::collection::vec(any::<u8>(), 0..3000);
    prop::collection::vec((path, bytes), 0..60).prop_map(|files| {
        let mut tree = Files::default();
        for (path, bytes) in files {
            if let Ok(path) = path.join("/").parse() {
                let _ = tree.insert(path, File { bytes: bytes.into(), mode: 0o444 }, Origin::default());
            }
        }
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_disc_keeps_the_rules_that_few_readers_check(tree in any_tree()) {
        check(&tree);
    }
}

#[test]
fn the_samples_keep_the_rules_that_few_readers_check() {
    for sample in super::samples::all() {
        check(&sample.tree);
    }
}
