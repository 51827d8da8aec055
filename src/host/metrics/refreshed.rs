//! When this host's data was last brought to all of its VMs.

use serde::{Deserialize, Serialize};

use crate::host::clock;
use crate::host::paths::Host;
use crate::host::vm::record;

#[derive(Debug, Serialize, Deserialize)]
struct Refreshed {
    /// In hundredths of a second since 1970.
    at: u64,
}

/// A refresh of all VMs has ended. Where that cannot be written down, the last one that could be is told of.
pub(crate) fn now(host: &Host) {
    let _an_older_one_is_told = record::write(&host.refreshed_file(), &Refreshed { at: clock::now().0 });
}

/// When that was, in hundredths of a second since 1970; `None` if it was not since the host was started, or is not known.
pub(super) fn last(host: &Host) -> Option<u64> {
    let read = record::read::<Refreshed>(&host.refreshed_file());
    read.ok().flatten().and_then(Result::ok).map(|refreshed| refreshed.at)
}
