//! Fields that say where a system use field goes on, and that it ends: CE and ST of SUSP 1.12.

use super::block::BLOCK;
use super::field::{block_number, both32};

/// Of every field.
pub(super) const VERSION: u8 = 1;

/// Their sizes in bytes.
pub(super) const CE: usize = 28;
pub(super) const ST: usize = 4;

/// CE: `len` bytes of fields follow, from the byte `offset` of the area on whose first block is `area`.
pub(super) fn write_continuation(out: &mut Vec<u8>, area: u64, offset: usize, len: usize) {
    let (blocks, within) = (offset / BLOCK, offset % BLOCK);
    out.extend([b'C', b'E', CE as u8, VERSION]);
    out.extend([block_number(area + blocks as u64), within as u32, len as u32].into_iter().flat_map(both32));
}

/// ST: no fields follow.
pub(super) fn write_end(out: &mut Vec<u8>) {
    out.extend([b'S', b'T', ST as u8, VERSION]);
}
