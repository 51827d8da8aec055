//! The domain's XML from libvirtd: bounded in size and time.

use std::io::stdin;
use std::os::fd::AsFd;
use std::slice;
use std::time::Instant;

use crate::host::child::listen::{Heard, Stream, listen};

/// Largest XML that is read. libvirt's own are some ten KiB; what is larger is not looked at.
pub(super) const MAX_XML: usize = 8 << 20;

/// The text on stdin until it ends; `None` when it is too large, unreadable or does not end before `end`.
///
/// Leaving early is harmless: libvirtd does not mind that nobody reads on.
pub(super) fn read(end: Instant) -> Option<String> {
    let stdin = stdin();
    let mut xml = Stream::new(stdin.as_fd(), MAX_XML);
    let heard = listen(slice::from_mut(&mut xml), end).ok()?;
    if heard == Heard::All { String::from_utf8(xml.said()).ok() } else { None }
}
