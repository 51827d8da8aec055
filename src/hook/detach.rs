//! Starts the helper so that it keeps nothing of libvirtd: a session of its own, and none of our descriptors. libvirtd
//! reads our pipes until their end, so one that the helper kept would hold up the VM.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result, ensure};
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{ForkResult, chdir, dup2_stderr, dup2_stdin, dup2_stdout, execve, fork, setsid};

use crate::host::child::limit_memory;
use crate::host::file;
use crate::host::log::{Event, Log};
use crate::host::paths::{Host, ROOT_VARIABLE};
use crate::host::vm::lock::HelperLock;

/// Starts `virt-recontext deliver` and does not wait for it, unless a helper is at work: that one looks at the spool once
/// more before it ends, and so finds the job that the caller has noted. A program that turns out not to be one is told
/// in the log.
pub(super) fn start_helper(host: &Host) -> Result<()> {
    let helper = host.helper();
    let metadata = helper.metadata().with_context(|| format!("looking for the helper {}", helper.display()))?;
    ensure!(file::is_executable(&metadata), "{} is not an executable file", helper.display());
    // Given back at once: the helper takes it.
    if HelperLock::try_now(host)?.is_none() {
        return Ok(());
    }
    let path = CString::new(helper.as_os_str().as_bytes())?;
    let args = [path.clone(), c"deliver".to_owned()];
    let mut environment = vec![c"PATH=/usr/sbin:/usr/bin:/sbin:/bin".to_owned(), c"LC_ALL=C".to_owned()];
    if let Some(root) = std::env::var_os(ROOT_VARIABLE) {
        environment.push(CString::new([ROOT_VARIABLE.as_bytes(), b"=", root.as_bytes()].concat())?);
    }
    // SAFETY: this process has one thread, so the child finds every lock and the heap in a usable state.
    match unsafe { fork() }.context("starting the helper")? {
        ForkResult::Parent { .. } => Ok(()),
        ForkResult::Child => {
            let Err(errno) = become_free().and_then(|()| execve(&path, &args, &environment));
            Log::open(host)
                .event(Event::JobsLeft)
                .error(format_args!("starting the helper {}: {errno}", helper.display()));
            // SAFETY: ends this process at once, without running what the parent registered for its own end.
            unsafe { libc::_exit(127) }
        }
    }
}

pub(super) fn stdio_to_null() -> nix::Result<()> {
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)
}

fn become_free() -> nix::Result<()> {
    setsid()?;
    stdio_to_null()?;
    close_others()?;
    chdir("/")?;
    umask(Mode::from_bits_truncate(0o022));
    // What the work may use is too little for the helper.
    limit_memory(u64::MAX)
}

/// Closes every descriptor from 3 on.
fn close_others() -> nix::Result<()> {
    // SAFETY: the process is about to become another program; nothing in it uses these descriptors any more.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
    if done == 0 {
        return Ok(());
    }
    // A kernel before 5.9. No descriptor is above the limit, unless it was lowered since.
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    for fd in 3..i32::try_from(soft).unwrap_or(i32::MAX).min(1 << 20) {
        // SAFETY: as above.
        unsafe { libc::close(fd) };
    }
    Ok(())
}
