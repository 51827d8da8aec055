//! What a disc can hold.

/// Most directories: their numbers in the path tables have 16 bits.
pub const MAX_DIRECTORIES: u16 = u16::MAX;
