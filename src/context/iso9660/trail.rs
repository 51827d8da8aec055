//! The trail: blocks in which the root's Rock Ridge fields go on, one after the other, and say nothing.
//!
//! Whoever mounts a disc reads them, each by itself; firmware, and programs that only look for what a medium holds, such as blkid,
//! read none. So the counters that QEMU keeps of a drive tell the host whether its disc was mounted: see `host::receipt`.

use super::block::BLOCK;
use super::susp::{CE, ST, write_continuation, write_end};

/// How many blocks; Linux follows 31 at most (`RR_MAX_CE_ENTRIES`).
pub(crate) const BLOCKS: u64 = 24;

/// Writes the blocks, the first of which is `first`.
pub(super) fn write(out: &mut Vec<u8>, first: u64) {
    let end = out.len() + BLOCKS as usize * BLOCK;
    for next in first + 1..first + BLOCKS {
        let block = out.len();
        // The last one has nothing but the end.
        let len = if next + 1 < first + BLOCKS { CE } else { ST };
        write_continuation(out, next, 0, len);
        out.resize(block + BLOCK, 0);
    }
    write_end(out);
    out.resize(end, 0);
}
