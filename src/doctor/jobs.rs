//! The spool: is something left in it that nobody does?

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::report::Report;
use crate::host::paths::Host;
use crate::host::vm::job::Job;

/// A job that waits for longer, in seconds, should be in a helper's hands.
pub(super) const SOON: u64 = 60;

pub(super) fn check(host: &Host, report: &mut Report) {
    let check = &mut report.check("jobs");
    let jobs = match Job::all(host) {
        Ok(jobs) => jobs,
        Err(error) => return check.bad(format_args!("{error:#}"), "fix or remove it"),
    };
    for file in Job::of_newer_version(host) {
        check.warning(
            format_args!("{} is the job of a newer version of virt-recontext; this one leaves it", file.display()),
            "install that version, or virt-recontext refresh VM, if that VM is running here",
        );
    }
    let at_work = helper_is_at_work(host);
    let names = |jobs: &[&Job]| jobs.iter().map(|job| job.name.as_str()).collect::<Vec<_>>().join(", ");
    let (late, fresh): (Vec<&Job>, Vec<&Job>) = jobs.iter().partition(|job| job.age() > SOON);
    if !late.is_empty() && !at_work {
        check.warning(
            format_args!(
                "no helper is running, and a disc has been waiting for more than {SOON} s for: {}",
                names(&late)
            ),
            "virt-recontext refresh VM, for each that is running here; see the log for the reason",
        );
    } else if jobs.is_empty() {
        check.good("none is waiting");
    } else if at_work {
        check.good(format_args!("a helper is working for: {}", names(&jobs.iter().collect::<Vec<_>>())));
    } else {
        check.good(format_args!("noted a moment ago for: {}", names(&fresh)));
    }
}

/// Whether somebody holds the helper's lock. Read from /proc/locks: to try the lock would be to hold it, and a helper
/// that starts just then would leave again.
pub(super) fn helper_is_at_work(host: &Host) -> bool {
    let Ok(lock) = fs::metadata(host.helper_lock_file()) else { return false };
    let inode = format!(":{}", lock.ino());
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    locks.lines().filter(|line| line.contains("FLOCK")).any(|line| line.split(' ').any(|word| word.ends_with(&inode)))
}
