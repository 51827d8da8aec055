//! The system's clock, which may be set back at any time.

use std::time::SystemTime;

use crate::context::moment::Moment;

pub(crate) fn now() -> Moment {
    Moment::from(SystemTime::now())
}

/// Whole seconds from `then`, in hundredths of a second since 1970, to now; 0 when the clock was set back.
pub(crate) fn seconds_since(then: u64) -> u64 {
    now().0.saturating_sub(then) / 100
}
