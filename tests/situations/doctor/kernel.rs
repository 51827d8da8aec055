//! Stands in for a file of the kernel that is asked by writing to it and answers when it is read, as those of AppArmor and
//! SELinux are. What is behind it is a terminal, the one thing of that kind which a name can lead to.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::ptr::null;
use std::thread;

use nix::libc;

use crate::site::make_dir;

/// It answers until this is dropped.
pub struct Kernel {
    _asked: OwnedFd,
}

impl Kernel {
    /// Lets `path` be such a file. A question without an answer would be waited for: `answer` must give one to each.
    pub fn at(path: &Path, answer: impl Fn(&[u8]) -> String + Send + 'static) -> Kernel {
        let (mut ours, mut asked) = (0, 0);
        let mut name = [0_u8; 128];
        // SAFETY: the pointers lead to our own variables; the name of a terminal is shorter than `name`, and ends with a NUL.
        unsafe {
            assert_eq!(libc::openpty(&mut ours, &mut asked, name.as_mut_ptr().cast(), null(), null()), 0);
            // Every byte is passed on as it is.
            let mut settings = std::mem::zeroed();
            assert_eq!(libc::tcgetattr(asked, &mut settings), 0);
            libc::cfmakeraw(&mut settings);
            assert_eq!(libc::tcsetattr(asked, libc::TCSANOW, &settings), 0);
        }
        // SAFETY: both were just opened, and are nobody else's.
        let (mut ours, asked) = unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(asked)) };
        let name = name.split(|byte| *byte == 0).next().unwrap();
        make_dir(path.parent().unwrap());
        symlink(std::str::from_utf8(name).unwrap(), path).unwrap();
        thread::spawn(move || {
            let mut question = [0; 4096];
            // The last one who could ask has closed it: then there is an error.
            while let Ok(length @ 1..) = ours.read(&mut question) {
                ours.write_all(answer(&question[..length]).as_bytes()).unwrap();
            }
        });
        Kernel { _asked: asked }
    }
}
