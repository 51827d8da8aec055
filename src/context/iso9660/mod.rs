//! A writer of ISO 9660 discs with Rock Ridge and Joliet, for exactly our files.
//!
//! A disc has one set of files and two trees of names over it: the primary one (8.3 names, and real names and modes in
//! Rock Ridge fields), which Linux and BSD read, and Joliet's (up to 64 UCS-2 units), which Windows reads. How names
//! become those of Joliet is told in `joliet_name`.
//!
//! Follows ECMA-119 (4th edition) at interchange level 1, SUSP 1.12, RRIP 1.09 and the Joliet specification. The same
//! tree, label and date always give the same bytes: nothing is read from the clock or the host.
//!
//! Limits: eight levels of names, which no path exceeds (no `rr_moved` relocation), less than 4 GiB per file, 65535 directories, regular files
//! and directories only, all owned by root. Linux's driver shows at most 253 bytes of a name.

#![forbid(unsafe_code)]

pub mod date;
pub mod label;
pub mod unrepresentable;

mod block;
mod contents;
mod distinct;
mod entry;
mod field;
mod hierarchy;
mod joliet_name;
mod layout;
pub mod limits;
mod path_table;
mod primary_name;
mod record;
mod rock_ridge;
mod susp;
pub(crate) mod trail;
mod view;
mod volume_descriptor;

use std::io::{self, ErrorKind, IoSlice, Write};
use std::sync::Arc;

use self::block::{filler, system_area};
use self::date::VolumeDate;
use self::label::Label;
use self::unrepresentable::Unrepresentable;
use crate::context::disc::files::Files;

/// Most pieces in one write; Linux takes no more.
const PIECES: usize = 1024;

/// A disc, laid out and ready to be written. Shares the contents of its files.
#[derive(Debug, Clone)]
pub struct Image {
    /// Everything between the system area and the first file's content, in whole blocks.
    head: Vec<u8>,
    /// In the order of their blocks; none is empty.
    contents: Vec<Arc<Vec<u8>>>,
    len: u64,
}

impl Image {
    /// Lays out a disc.
    ///
    /// # Errors
    /// When a file is larger, or the directories are more, than a disc can hold.
    pub fn new(files: &Files, label: &Label, date: VolumeDate) -> Result<Image, Unrepresentable> {
        let (leaves, content_blocks) = contents::place(files)?;
        let (head, len) = layout::head(&leaves, content_blocks, label, date)?;
        let contents = leaves.iter().map(|leaf| &leaf.file.bytes).filter(|bytes| !bytes.is_empty()).cloned().collect();
        Ok(Image { head, contents, len })
    }

    /// The size of the disc in bytes: a multiple of 1 MiB. The volume descriptors give the same size.
    #[allow(clippy::len_without_is_empty, reason = "no disc is empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Writes the disc up to its last byte that isn't padding. The rest, up to [`Image::len`], is zeros.
    ///
    /// Nothing is copied.
    ///
    /// # Errors
    /// Those of `out`. It has then got an unknown part of the disc.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let pieces: Vec<IoSlice<'_>> = self.pieces().map(IoSlice::new).collect();
        pieces.chunks(PIECES).try_for_each(|pieces| write_all(out, &mut pieces.to_vec()))
    }

    /// The whole disc, padding included.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len as usize);
        self.pieces().for_each(|piece| bytes.extend_from_slice(piece));
        bytes.resize(self.len as usize, 0);
        bytes
    }

    /// What the disc is made of, without the padding; none is empty.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let before =
            std::iter::once(self.head.as_slice()).chain(self.contents.iter().map(|content| content.as_slice()));
        let contents =
            self.contents.iter().zip(before).flat_map(|(content, before)| [filler(before.len()), content.as_slice()]);
        let pieces = system_area().chain([self.head.as_slice()]).chain(contents);
        pieces.filter(|piece| !piece.is_empty())
    }
}

fn write_all(out: &mut impl Write, mut pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !pieces.is_empty() {
        match out.write_vectored(pieces) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut pieces, written),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
