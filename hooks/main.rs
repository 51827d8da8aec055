//! libvirt's hook, for QEMU and for Xen. It exits with 0 whatever happens: anything else would refuse, or kill, a VM.

// Called by the C library at once: Rust's own start reads /proc/self/maps and makes 19 system calls to tell of a full
// stack, which nobody would read. Without it, and without memchr (`hook::run`), a call for a VM that does not take part
// needs 0.40 ms and not 0.56.
#![no_main]

// As packaging/build makes it.
#[cfg(all(panic = "abort", target_feature = "crt-static"))]
mod no_unwinding;

use std::ffi::{CStr, OsStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::panic::set_hook;
use std::process::{ExitCode, exit};

#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, words: *const *const c_char) -> c_int {
    // libvirtd would show a panic's message to nobody, and take its exit code for a refusal. So it ends right here, and
    // the hook may be built to unwind or not.
    set_hook(Box::new(|_| exit(0)));
    // Not from std, which knows them of glibc alone when its own start is left out.
    let mut args = (0..usize::try_from(count).unwrap_or_default()).map(|at| {
        // SAFETY: the C library gives as many words as it says, each of which ends in a NUL and lasts as long as this process.
        let word: &'static CStr = unsafe { CStr::from_ptr(*words.add(at)) };
        OsStr::from_bytes(word.to_bytes()).to_owned()
    });
    let program = args.next().unwrap_or_default();
    let code = virt_recontext::hook::run(&program, args);
    c_int::from(code != ExitCode::SUCCESS)
}
