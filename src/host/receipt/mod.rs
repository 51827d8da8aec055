//! A receipt without an agent: whether a guest has read its disc, from what its hypervisor counts of the drive.

#[cfg(feature = "libvirt")]
pub(crate) mod judge;
#[cfg(feature = "libvirt")]
pub(crate) mod seen;

use serde::{Deserialize, Serialize};

/// What has been read from a drive since its hypervisor's process began.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    pub requests: u64,
    pub bytes: u64,
}

#[cfg(feature = "libvirt")]
impl Count {
    /// What was read since `before`; `None` if that is of another process.
    pub(crate) fn since(self, before: Count) -> Option<Count> {
        let (requests, bytes) = (self.requests.checked_sub(before.requests)?, self.bytes.checked_sub(before.bytes)?);
        Some(Count { requests, bytes })
    }
}

#[cfg(all(test, feature = "libvirt"))]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_in_another_process_says_nothing() {
        let count = |requests, bytes| Count { requests, bytes };
        assert_eq!(count(3, 6144).since(count(1, 2048)), Some(count(2, 4096)));
        assert_eq!(count(3, 6144).since(count(4, 2048)), None);
    }
}
