//! Reads what others say on pipes, within limits of size and time. The one loop that polls.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use nix::unistd::read;

/// Room for most of what is said, without touching more memory than that needs.
const USUAL: usize = 1 << 14;

pub(crate) struct Stream<'a> {
    /// `None` after its end.
    from: Option<BorrowedFd<'a>>,
    buffer: Vec<u8>,
    len: usize,
    max: usize,
    cuts: bool,
    is_whole: fn(&[u8]) -> bool,
}

/// Why listening ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    All,
    /// One is whole, and may still be open.
    Whole,
    /// One said more than is allowed.
    TooMuch,
    Part,
}

impl<'a> Stream<'a> {
    /// Up to `max` bytes from `from`. More ends the listening.
    pub(crate) fn new(from: BorrowedFd<'a>, max: usize) -> Stream<'a> {
        Stream { from: Some(from), buffer: Vec::new(), len: 0, max, cuts: false, is_whole: |_| false }
    }

    /// The same, but more is read and let go.
    pub(crate) fn cut(self) -> Stream<'a> {
        Stream { cuts: true, ..self }
    }

    /// The same, but the listening ends when what was said `is_whole`, even before.
    pub(crate) fn until(self, is_whole: fn(&[u8]) -> bool) -> Stream<'a> {
        Stream { is_whole, ..self }
    }

    fn is_whole(&self) -> bool {
        self.buffer.get(..self.len).is_some_and(self.is_whole)
    }

    pub(crate) fn said(mut self) -> Vec<u8> {
        self.buffer.truncate(self.len);
        self.buffer
    }

    /// Takes what there is, and tells if that ends the listening. Needs a descriptor that has something, or has ended.
    fn take(&mut self) -> nix::Result<Option<Heard>> {
        let Some(from) = self.from else { return Ok(None) };
        if self.len == self.buffer.len() {
            self.buffer.resize(USUAL.max(self.len.saturating_mul(2)), 0);
        }
        match read(from, self.buffer.get_mut(self.len..).unwrap_or_default())? {
            0 => self.from = None,
            more => self.len += more,
        }
        if self.len > self.max {
            if !self.cuts {
                return Ok(Some(Heard::TooMuch));
            }
            self.len = self.max;
        }
        Ok(self.is_whole().then_some(Heard::Whole))
    }
}

/// Reads from all `streams` until they end, or one is whole or too long, or `end` comes, even if they never fall silent.
/// A signal does not end it.
pub(crate) fn listen(streams: &mut [Stream], end: Instant) -> io::Result<Heard> {
    if streams.iter().any(Stream::is_whole) {
        return Ok(Heard::Whole);
    }
    loop {
        match listen_once(streams, end) {
            Ok(None) | Err(Errno::EINTR) => {}
            Ok(Some(heard)) => return Ok(heard),
            Err(error) => return Err(error.into()),
        }
    }
}

fn listen_once(streams: &mut [Stream], end: Instant) -> nix::Result<Option<Heard>> {
    let mut ready: Vec<PollFd> =
        streams.iter().filter_map(|stream| stream.from).map(|from| PollFd::new(from, PollFlags::POLLIN)).collect();
    if ready.is_empty() {
        return Ok(Some(Heard::All));
    }
    let left = end.saturating_duration_since(Instant::now());
    // Not poll: it counts in milliseconds, and would return before the last one is over.
    if ppoll(&mut ready, Some(TimeSpec::from_duration(left)), None)? == 0 {
        return Ok(Some(Heard::Part));
    }
    let open = streams.iter_mut().filter(|stream| stream.from.is_some());
    for (stream, _) in open.zip(&ready).filter(|(_, fd)| fd.any() != Some(false)) {
        if let Some(heard) = stream.take()? {
            return Ok(Some(heard));
        }
    }
    // What lies there when we come late is still taken, once.
    Ok(left.is_zero().then_some(Heard::Part))
}

#[cfg(test)]
mod tests {
    use std::fs::{File, read_to_string};
    use std::io::{Write, pipe};
    use std::os::fd::AsFd;
    use std::slice;
    use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
    use std::thread::{scope, yield_now};
    use std::time::Duration;

    use nix::libc::{self, c_int};
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    use nix::unistd::gettid;

    use super::*;

    /// So long no test takes.
    const LONG: Duration = Duration::from_secs(60);

    fn one(mut stream: Stream, time: Duration) -> (Heard, Vec<u8>) {
        let heard = listen(slice::from_mut(&mut stream), Instant::now() + time).unwrap();
        (heard, stream.said())
    }

    #[test]
    fn the_deadline_holds_though_there_is_always_more() {
        let endless = File::open("/dev/zero").unwrap();
        let time = Duration::from_millis(20);
        let begin = Instant::now();
        let (heard, said) = one(Stream::new(endless.as_fd(), 3).cut(), time);
        assert_eq!(heard, Heard::Part);
        assert!(said.len() <= 3);
        assert!(begin.elapsed() >= time);
    }

    #[test]
    fn the_deadline_holds_though_nothing_is_said() {
        let (silent, _open) = pipe().unwrap();
        let time = Duration::from_micros(1500);
        let begin = Instant::now();
        assert_eq!(one(Stream::new(silent.as_fd(), 3), time), (Heard::Part, Vec::new()));
        assert!(begin.elapsed() >= time);
    }

    #[test]
    fn as_much_as_is_allowed_is_heard_and_no_more() {
        for (max, expected) in [(100_000, Heard::All), (99_999, Heard::TooMuch)] {
            let (from, mut to) = pipe().unwrap();
            scope(|scope| {
                // More than a pipe holds.
                scope.spawn(move || to.write_all(&[b'x'; 100_000]));
                let (heard, said) = one(Stream::new(from.as_fd(), max), LONG);
                assert_eq!((heard, said), (expected, vec![b'x'; 100_000]));
            });
        }
    }

    #[test]
    fn what_is_whole_need_not_end() {
        let (from, mut to) = pipe().unwrap();
        to.write_all(b"all.").unwrap();
        let stream = Stream::new(from.as_fd(), 10).until(|said| said.ends_with(b"."));
        assert_eq!(one(stream, LONG), (Heard::Whole, b"all.".to_vec()));
    }

    #[test]
    fn what_was_heard_with_a_part_of_it_may_be_the_whole_already() {
        let (from, mut to) = pipe().unwrap();
        to.write_all(b"a part.all.").unwrap();
        let mut stream = Stream::new(from.as_fd(), 20).until(|said| said.starts_with(b"a part."));
        let end = Instant::now() + LONG;
        assert_eq!(listen(slice::from_mut(&mut stream), end).unwrap(), Heard::Whole);
        // Nothing more comes, and it stays open.
        assert_eq!(one(stream.until(|said| said.ends_with(b"all.")), LONG), (Heard::Whole, b"a part.all.".to_vec()));
    }

    #[test]
    fn what_is_there_at_the_deadline_is_taken() {
        let (from, mut to) = pipe().unwrap();
        to.write_all(b"all.").unwrap();
        let stream = Stream::new(from.as_fd(), 10).until(|said| said.ends_with(b"."));
        assert_eq!(one(stream, Duration::ZERO), (Heard::Whole, b"all.".to_vec()));
    }

    #[test]
    fn each_of_two_is_heard_to_its_end() {
        let ((first, mut to_first), (second, mut to_second)) = (pipe().unwrap(), pipe().unwrap());
        let mut streams = [Stream::new(first.as_fd(), 10), Stream::new(second.as_fd(), 2).cut()];
        to_second.write_all(b"abc").unwrap();
        drop(to_second);
        assert_eq!(listen(&mut streams, Instant::now() + Duration::from_millis(5)).unwrap(), Heard::Part);
        to_first.write_all(b"def").unwrap();
        drop(to_first);
        assert_eq!(listen(&mut streams, Instant::now() + LONG).unwrap(), Heard::All);
        assert_eq!(streams.map(Stream::said), [b"def".to_vec(), b"ab".to_vec()]);
    }

    #[test]
    fn a_signal_does_not_end_it() {
        static CAUGHT: AtomicBool = AtomicBool::new(false);
        extern "C" fn catch(_: c_int) {
            CAUGHT.store(true, Ordering::SeqCst);
        }
        let action = SigAction::new(SigHandler::Handler(catch), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler stores a number, and no other test sends this signal.
        unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
        let (from, mut to) = pipe().unwrap();
        let listener = AtomicI32::new(0);
        scope(|scope| {
            let heard = scope.spawn(|| {
                listener.store(gettid().as_raw(), Ordering::SeqCst);
                one(Stream::new(from.as_fd(), 10), LONG)
            });
            let sleeps = || {
                let stat = read_to_string(format!("/proc/self/task/{}/stat", listener.load(Ordering::SeqCst)));
                stat.is_ok_and(|stat| stat.contains(") S "))
            };
            while !sleeps() {
                yield_now();
            }
            // SAFETY: it takes three numbers.
            unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), listener.load(Ordering::SeqCst), libc::SIGUSR1) };
            while !CAUGHT.load(Ordering::SeqCst) {
                yield_now();
            }
            to.write_all(b"said").unwrap();
            drop(to);
            assert_eq!(heard.join().unwrap(), (Heard::All, b"said".to_vec()));
        });
    }
}
