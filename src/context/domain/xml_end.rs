//! Where an element ends of which nothing is kept, as nothing is of most of a domain's XML: looked for in a fraction of the time
//! that reading takes. Only what could look like a tag and is none is told from tags: comments, CDATA sections, processing
//! instructions, values of attributes.

use memchr::{memchr, memrchr};

/// So many bytes lie in front of the end tag of an element, of which this follows behind the start tag; `None` if that does
/// not come, or there is a document type.
pub(super) fn end_tag(behind_start: &[u8]) -> Option<usize> {
    let (mut at, mut open) = (0, 0_usize);
    loop {
        at += memchr(b'<', behind_start.get(at..)?)?;
        let markup = behind_start.get(at..)?;
        at += match markup.get(1)? {
            b'/' if open == 0 => return Some(at),
            b'/' => {
                open -= 1;
                memchr(b'>', markup)? + 1
            }
            b'?' => behind(markup, b"?>")?,
            b'!' if markup.starts_with(b"<!--") => 4 + behind(markup.get(4..)?, b"-->")?,
            b'!' if markup.starts_with(b"<![CDATA[") => behind(markup, b"]]>")?,
            b'!' => return None,
            _ => {
                let len = start_tag(markup)?;
                open += usize::from(!markup.get(..len)?.ends_with(b"/>"));
                len
            }
        };
    }
}

/// The length of a start tag.
fn start_tag(markup: &[u8]) -> Option<usize> {
    // No value has a `<` in it. If there is one `>` in front of the next, that is it, and the values need not be looked at.
    let next = memchr(b'<', markup.get(1..)?).map_or(markup.len(), |next| next + 1);
    let until = markup.get(..next)?;
    if let Some(end) = memchr(b'>', until)
        && memrchr(b'>', until) == Some(end)
    {
        return Some(end + 1);
    }
    let mut len = 0;
    loop {
        len += markup.get(len..)?.iter().position(|byte| matches!(byte, b'>' | b'"' | b'\''))?;
        match *markup.get(len)? {
            b'>' => return Some(len + 1),
            quote => len += 2 + memchr(quote, markup.get(len + 1..)?)?,
        }
    }
}

/// How far it is to behind the first `mark`.
fn behind(text: &[u8], mark: &[u8]) -> Option<usize> {
    text.windows(mark.len()).position(|there| there == mark).map(|at| at + mark.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_looks_like_a_tag_is_none() {
        for inside in [
            "",
            "text > text",
            "<b/>",
            "<b></b><c><c/></c >",
            "<b c='>' d=\"/>'\"/>",
            "<b c='/>'>></b>",
            "<!-- </a> <b> -->",
            "<!--></a>-->",
            "<![CDATA[</a>]]>",
            "<?p </a> <b> ?>",
            "\u{e9}<b\u{e9} c='\u{e9}'\n/>\n",
        ] {
            let text = format!("{inside}</a></b>");
            assert_eq!(end_tag(text.as_bytes()), Some(inside.len()), "{inside}");
        }
    }

    #[test]
    fn what_does_not_end_has_no_end() {
        for text in
            ["", "<", "<b>", "<b></b>", "<b", "<b c='", "<b c='</a>", "<!-- </a>", "<![CDATA[</a>", "<?p", "</b"]
        {
            let text = format!("<c>{text}");
            assert_eq!(end_tag(text.as_bytes()), None, "{text}");
        }
        assert_eq!(end_tag(b"<!DOCTYPE b></a>"), None);
    }
}
