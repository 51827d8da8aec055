//! The domain's XML from libvirtd: bounded in size and time.

use std::io::stdin;
use std::os::fd::AsFd;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::read as read_some;

/// Largest XML that is read. libvirt's own are some ten KiB; what is larger is not looked at.
const MAX_XML: usize = 8 << 20;

/// Room for most XML, without touching more memory than that needs.
const USUAL_XML: usize = 1 << 14;

/// Everything on stdin until it ends; `None` when it is too large, unreadable or does not end before `end`.
///
/// Leaving early is harmless: libvirtd does not mind that nobody reads on.
pub fn read(end: Instant) -> Option<Vec<u8>> {
    let stdin = stdin();
    let mut xml = vec![0; USUAL_XML];
    let mut len = 0;
    loop {
        let mut ready = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        let left = PollTimeout::try_from(end.saturating_duration_since(Instant::now())).ok()?;
        if poll(&mut ready, left).ok()? == 0 {
            return None;
        }
        match read_some(&stdin, xml.get_mut(len..)?).ok()? {
            0 => break,
            more => len += more,
        }
        if len > MAX_XML {
            return None;
        }
        if len == xml.len() {
            xml.resize(len * 2, 0);
        }
    }
    xml.truncate(len);
    Some(xml)
}
