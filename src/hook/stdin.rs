//! The domain's XML from libvirtd: bounded in size and time.

use std::io::Read;
use std::os::fd::AsFd;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Largest XML that is read. libvirt's own are some ten KiB; what is larger is not looked at.
const MAX_XML: usize = 8 << 20;

/// Everything on stdin until it ends; `None` when it is too large, unreadable or does not end before `end`.
///
/// Leaving early is harmless: libvirtd does not mind that nobody reads on.
pub fn read(end: Instant) -> Option<Vec<u8>> {
    let mut stdin = std::io::stdin().lock();
    let mut xml = Vec::with_capacity(1 << 15);
    let mut chunk = [0; 1 << 14];
    loop {
        let mut ready = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        let left = PollTimeout::try_from(end.saturating_duration_since(Instant::now())).ok()?;
        if poll(&mut ready, left).ok()? == 0 {
            return None;
        }
        let read = stdin.read(&mut chunk).ok()?;
        match chunk.get(..read)? {
            [] => return Some(xml),
            more if xml.len() + more.len() > MAX_XML => return None,
            more => xml.extend_from_slice(more),
        }
    }
}
