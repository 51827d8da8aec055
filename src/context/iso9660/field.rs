//! Numbers and texts as the fields of descriptors and records want them.

/// A 16-bit number, little-endian and then big-endian (ECMA-119, 7.2.3).
pub fn both16(number: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (number.to_le_bytes(), number.to_be_bytes());
    [a, b, c, d]
}

/// A 32-bit number, little-endian and then big-endian (ECMA-119, 7.3.3).
pub fn both32(number: u32) -> [u8; 8] {
    let ([a, b, c, d], [e, f, g, h]) = (number.to_le_bytes(), number.to_be_bytes());
    [a, b, c, d, e, f, g, h]
}

/// The place of a block as fields hold it.
///
/// Nothing is lost: `Image::new` refuses discs of 2^32 blocks and more.
pub fn block_number(block: u64) -> u32 {
    block as u32
}

/// A size in bytes as fields hold it.
///
/// Nothing is lost: `Image::new` refuses files, directories and path tables of 4 GiB and more.
pub fn byte_count(bytes: u64) -> u32 {
    bytes as u32
}

/// How a descriptor writes its texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// One byte per character, filled up with spaces: the primary descriptor.
    Ascii,
    /// Two bytes per character, big-endian, filled up with spaces: the Joliet descriptor.
    Ucs2,
}

/// Writes `text` into a field of `width` bytes; what doesn't fit is left out.
pub fn text(out: &mut Vec<u8>, width: usize, text: &str, charset: Charset) {
    let end = out.len() + width;
    match charset {
        Charset::Ascii => {
            out.extend(text.bytes().take(width));
            out.resize(end, b' ');
        }
        Charset::Ucs2 => {
            let units = text.encode_utf16().chain(std::iter::repeat(u16::from(b' ')));
            out.extend(units.take(width / 2).flat_map(u16::to_be_bytes));
            // Three fields have an odd width.
            out.resize(end, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_both_ways_round() {
        assert_eq!(both16(0x0102), [2, 1, 1, 2]);
        assert_eq!(both32(0x0102_0304), [4, 3, 2, 1, 1, 2, 3, 4]);
    }

    #[test]
    fn a_text_fills_its_field_exactly() {
        for (width, charset) in [(32, Charset::Ascii), (32, Charset::Ucs2), (37, Charset::Ucs2), (4, Charset::Ascii)] {
            let mut out = vec![7];
            text(&mut out, width, "config-2", charset);
            assert_eq!(out.len(), 1 + width);
        }
        let mut out = Vec::new();
        text(&mut out, 7, "ab", Charset::Ucs2);
        assert_eq!(out, b"\0a\0b\0 \0");
    }
}
