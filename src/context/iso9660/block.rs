//! Logical blocks: everything on the disc begins at a multiple of 2048 bytes (ECMA-119, 6.2.2).

/// Size of a block in bytes; of a logical sector too.
pub const BLOCK: usize = 2048;

/// Blocks that ECMA-119, 6.2.1 leaves to the system.
pub const SYSTEM_AREA: usize = 16;

static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// How many blocks `bytes` take.
pub fn blocks(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK as u64)
}

/// The blocks that are left to the system.
pub fn system_area<'a>() -> impl Iterator<Item = &'a [u8]> {
    std::iter::repeat_n(ZEROS.as_slice(), SYSTEM_AREA)
}

/// The zeros between the end of `bytes` bytes and the next block; none when they end with a block.
pub fn filler(bytes: usize) -> &'static [u8] {
    let used = bytes % BLOCK;
    ZEROS.get(..(BLOCK - used) % BLOCK).unwrap_or_default()
}

/// Where the next `len` bytes go after `at` bytes: right there, or at the next block if they would cross into it.
///
/// Directory records (ECMA-119, 6.8.1.1) and, for Linux, continuation areas must lie within one block.
pub fn without_crossing(at: usize, len: usize) -> usize {
    if at % BLOCK + len > BLOCK { at.next_multiple_of(BLOCK) } else { at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filler_completes_the_block_and_no_more() {
        for (bytes, zeros) in [(0, 0), (1, 2047), (2047, 1), (2048, 0), (2049, 2047)] {
            assert_eq!(filler(bytes).len(), zeros, "after {bytes} bytes");
        }
    }

    #[test]
    fn what_would_cross_a_block_begins_the_next() {
        assert_eq!(without_crossing(2000, 48), 2000);
        assert_eq!(without_crossing(2000, 49), 2048);
        assert_eq!(without_crossing(2048, 254), 2048);
    }
}
