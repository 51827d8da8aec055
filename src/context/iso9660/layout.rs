//! Which block holds what, and all blocks before the files' contents.
//!
//! In this order: system area, descriptors, path tables, primary directories, trail, continuation area, Joliet directories,
//! contents. The continuation area, of which the trail is the first part, must follow the primary directories directly (see `ContinuationArea`).

use super::block::{BLOCK, SYSTEM_AREA, blocks, filler};
use super::contents::Leaf;
use super::date::VolumeDate;
use super::entry::{Entry, What};
use super::hierarchy::{Directory, Place, lay_out};
use super::label::Label;
use super::path_table::{self, Order};
use super::record::{PARENT, Record, SELF};
use super::rock_ridge::{Attributes, ContinuationArea, SystemUse};
use super::trail;
use super::unrepresentable::Unrepresentable;
use super::view::View;
use super::volume_descriptor::{Roots, Volume, write_terminator};

/// Sizes are multiples of this, so that small changes of content seldom change the size of the disc.
const SIZE_STEP: u64 = 1 << 20;

/// Primary, Joliet, terminator.
const DESCRIPTORS: u64 = 3;

/// One tree and where it is.
struct Tree<'a> {
    directories: Vec<Directory<'a>>,
    roots: Roots,
}

/// Where the things begin that records point to, and the date that all have.
#[derive(Clone, Copy)]
struct Targets {
    long_names: u64,
    contents: u64,
    date: VolumeDate,
}

/// Everything between the system area and the contents of `files`, which take `content_blocks`; and the size of the whole disc in bytes.
pub fn head(
    files: &[Leaf<'_>],
    content_blocks: u64,
    label: &Label,
    date: VolumeDate,
) -> Result<(Vec<u8>, u64), Unrepresentable> {
    let mut long_names = ContinuationArea::default();
    let mut primary = Tree::new(lay_out(files, View::Primary(&mut long_names))?);
    let mut joliet = Tree::new(lay_out(files, View::Joliet)?);

    let mut next = SYSTEM_AREA as u64 + DESCRIPTORS;
    let mut take = |blocks: u64| {
        next += blocks;
        next - blocks
    };
    for tree in [&mut primary, &mut joliet] {
        tree.roots.little_path_table = take(blocks(tree.roots.path_table_bytes));
        tree.roots.big_path_table = take(blocks(tree.roots.path_table_bytes));
    }
    primary.roots.directory = take(primary.blocks());
    let trail_at = take(trail::BLOCKS);
    let long_names_at = take(blocks(long_names.bytes().len() as u64));
    joliet.roots.directory = take(joliet.blocks());
    let contents = take(content_blocks);

    let len = (next * BLOCK as u64).next_multiple_of(SIZE_STEP);
    let head_len = (contents - SYSTEM_AREA as u64) * BLOCK as u64;
    // No directory or path table is larger than the head, so this bounds all sizes that fields hold.
    let (Ok(volume_blocks), Ok(_)) = (u32::try_from(len / BLOCK as u64), u32::try_from(head_len)) else {
        return Err(Unrepresentable::DiscTooLarge);
    };

    let targets = Targets { long_names: long_names_at, contents, date };
    let mut out = Vec::with_capacity(head_len as usize);
    let volume = Volume { label, date, blocks: volume_blocks };
    volume.write_primary(&mut out, primary.roots);
    volume.write_joliet(&mut out, joliet.roots);
    write_terminator(&mut out);
    primary.write_path_tables(&mut out);
    joliet.write_path_tables(&mut out);
    primary.write_directories(&mut out, targets);
    trail::write(&mut out, trail_at);
    out.extend_from_slice(long_names.bytes());
    finish_block(&mut out);
    joliet.write_directories(&mut out, targets);
    Ok((out, len))
}

impl<'a> Tree<'a> {
    fn new(directories: Vec<Directory<'a>>) -> Self {
        let path_table_bytes = path_table::size(&directories);
        let directory_bytes = directories.first().map_or(0, |root| root.here.bytes());
        Tree { directories, roots: Roots { path_table_bytes, directory_bytes, ..Roots::default() } }
    }

    fn blocks(&self) -> u64 {
        self.directories.iter().map(|directory| directory.here.blocks).sum()
    }

    fn write_path_tables(&self, out: &mut Vec<u8>) {
        for order in [Order::Little, Order::Big] {
            path_table::write(out, &self.directories, self.roots.directory, order);
            finish_block(out);
        }
    }

    fn write_directories(&self, out: &mut Vec<u8>, targets: Targets) {
        // Directories are in the order in which their entries come by; see `lay_out`.
        let mut below = self.directories.iter().skip(1).map(|directory| directory.here);
        for Directory { here, above, own, parent, entries, .. } in &self.directories {
            self.write_directory_record(out, &[SELF], *here, *own, targets);
            self.write_directory_record(out, &[PARENT], *above, *parent, targets);
            for Entry { identifier, system_use, what } in entries {
                match what {
                    What::File(leaf) => write_file_record(out, identifier, leaf, *system_use, targets),
                    What::Directory(_) => {
                        let here = below.next().unwrap_or(*here);
                        self.write_directory_record(out, identifier, here, *system_use, targets);
                    }
                }
            }
            finish_block(out);
        }
    }

    fn write_directory_record(
        &self,
        out: &mut Vec<u8>,
        identifier: &[u8],
        place: Place,
        system_use: SystemUse<'_>,
        Targets { long_names, date, .. }: Targets,
    ) {
        let block = self.roots.directory + place.block;
        let record = Record { identifier, block, bytes: place.bytes(), is_directory: true, date };
        let attributes = Attributes::directory(place.links, date);
        record.write(out, system_use.len(), |out| system_use.write(out, attributes, long_names));
    }
}

fn write_file_record(
    out: &mut Vec<u8>,
    identifier: &[u8],
    leaf: &Leaf<'_>,
    system_use: SystemUse<'_>,
    Targets { long_names, contents, date }: Targets,
) {
    let bytes = leaf.file.bytes.len() as u64;
    // An empty file has no extent, and the next free block may be beyond the end of the disc.
    let block = if bytes == 0 { 0 } else { contents + leaf.block };
    let attributes = Attributes::file(leaf.file.mode, date);
    Record { identifier, block, bytes, is_directory: false, date }
        .write(out, system_use.len(), |out| system_use.write(out, attributes, long_names));
}

fn finish_block(out: &mut Vec<u8>) {
    out.extend_from_slice(filler(out.len()));
}
