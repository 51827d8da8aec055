//! Exit codes of the command line, as `--help` and the manual page tell them.

/// Exit code of a command that did what was asked.
pub const DONE: u8 = 0;
/// Exit code of a command that failed; the message says at what, and what to do.
pub const FAILED: u8 = 1;
/// Exit code when nobody reads on what is printed, as `head` does not: a shell shows the same of tools that SIGPIPE ends.
pub const NOBODY_READS: u8 = 141;
/// Exit code when all is on its way, but a guest has not taken its disc yet.
pub(crate) const WAITING: u8 = 3;

/// The exit code of two outcomes: of two waits or successes the higher, and of a failure and anything else the failure.
pub(crate) fn worse(one: u8, other: u8) -> u8 {
    if [one, other].contains(&FAILED) { FAILED } else { one.max(other) }
}
