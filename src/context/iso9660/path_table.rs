//! Path tables: all directories in a flat list (ECMA-119, 6.9 and 9.4).

use super::field::block_number;
use super::hierarchy::Directory;

/// Which of the two copies: all numbers in one are little-endian, in the other big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The type L path table.
    Little,
    /// The type M path table.
    Big,
}

/// How many bytes the table of `directories` has.
pub fn size(directories: &[Directory<'_>]) -> u64 {
    directories.iter().map(|directory| (8 + directory.identifier.len().next_multiple_of(2)) as u64).sum()
}

/// Writes the table of `directories`, whose tree begins at block `first`.
pub fn write(out: &mut Vec<u8>, directories: &[Directory<'_>], first: u64, order: Order) {
    for Directory { identifier, here, above, .. } in directories {
        let block = block_number(first + here.block);
        out.extend([identifier.len() as u8, 0]);
        match order {
            Order::Little => out.extend(block.to_le_bytes().into_iter().chain(above.number.to_le_bytes())),
            Order::Big => out.extend(block.to_be_bytes().into_iter().chain(above.number.to_be_bytes())),
        }
        out.extend_from_slice(identifier);
        if identifier.len() % 2 == 1 {
            out.push(0);
        }
    }
}
