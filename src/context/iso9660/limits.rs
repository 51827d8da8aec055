//! What a disc can hold.

/// Most names in a path: ECMA-119, 6.8.2.1 allows eight levels of directories, and the root, which is the first, holds
/// the first name.
pub const MAX_LEVELS: usize = 8;

/// Most directories: their numbers in the path tables have 16 bits.
pub const MAX_DIRECTORIES: u16 = u16::MAX;
