//! OpenSSH's binary form (RFC 4251, section 5): numbers are big-endian, and a string is its length and then its bytes.

/// Reads one field after the other; `None` where there are not so many bytes. Copies and allocates nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'b>(pub &'b [u8]);

impl<'b> Reader<'b> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_be_bytes)
    }

    pub fn string(&mut self) -> Option<&'b [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }

    /// A string that is meant to be read; what is no UTF-8 in it is replaced.
    pub fn text(&mut self) -> Option<String> {
        self.string().map(|text| String::from_utf8_lossy(text).into_owned())
    }

    /// The fields that `read` takes, as they stand here.
    pub fn span(&mut self, read: impl FnOnce(&mut Self) -> Option<()>) -> Option<&'b [u8]> {
        let all = self.0;
        read(self)?;
        all.get(..all.len() - self.0.len())
    }

    /// That nothing is left.
    pub fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// Appends a string.
///
/// Nothing is lost: what is written here is a key, a digest or a constant, all far below 4 GiB.
pub(super) fn write(out: &mut Vec<u8>, string: &[u8]) {
    out.extend((string.len() as u32).to_be_bytes());
    out.extend(string);
}

/// Some strings, one after the other.
pub(super) fn strings(strings: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    strings.iter().for_each(|string| write(&mut out, string));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_no_more() {
        let bytes = strings(&[b"ssh", b"", b"\0\xff"]);
        let mut reader = Reader(&bytes);
        assert_eq!(reader.span(|reader| reader.string().map(drop)), Some(&b"\0\0\0\x03ssh"[..]));
        assert_eq!((reader.string(), reader.end()), (Some(&b""[..]), None));
        assert_eq!((reader.text(), reader.end()), (Some("\0\u{fffd}".to_owned()), Some(())));
        assert_eq!((reader.string(), reader.u32(), reader.u64()), (None, None, None));
    }

    #[test]
    fn a_length_that_reaches_beyond_the_end_is_no_string() {
        for bytes in [&b"\0\0\0\x02a"[..], b"\xff\xff\xff\xffa", b"\0\0\0", b"\x80\0\0\0"] {
            assert_eq!(Reader(bytes).string(), None, "{bytes:?}");
        }
    }
}
