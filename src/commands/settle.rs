//! How a refresh waits before it begins: for the rest of a change that comes in parts, and for a time of its own in a fleet.
//!
//! Whoever comes while another one settles leaves the work to that one. It gives the lock back before it looks at anything,
//! so what had changed when somebody came is seen by the one that this was left to; who comes later settles anew. Nor does it
//! give it back before it may begin, or ever more would wait behind a slow one. A settler
//! that is killed gives the lock back too: its work, with that of those who left theirs to it, is done by the next refresh.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::host::config;
use crate::host::paths::Host;
use crate::host::vm::lock::SettleLock;

/// Others rely on whoever waits.
const MOST: Duration = Duration::from_secs(60 * 60);

#[derive(Debug, Args)]
pub(super) struct Settle {
    /// Wait so long first, and do it for all who ask meanwhile.
    // One of other VMs, or one that asks for more, is not to be left to this one.
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with_all = ["vms", "force", "accept_loss"])]
    settle: Option<Duration>,
    /// Wait a random time first, of up to this, for a fleet.
    #[arg(long, value_name = "TIME", value_parser = time)]
    spread: Option<Duration>,
}

/// Whose the work is.
#[derive(Debug)]
pub(super) enum Turn {
    /// Others leave theirs to it as long as the lock is held, if it settles.
    Mine(Option<SettleLock>),
    /// It is done by one that has not begun yet.
    Anothers,
}

impl Settle {
    /// Waits until it is time to begin, unless another one that waits does the same work.
    pub(super) fn wait(&self, host: &Host) -> Result<Turn> {
        let spread = self.spread.map(random_up_to).unwrap_or_default();
        let Some(settle) = self.settle else {
            sleep(spread);
            return Ok(Turn::Mine(None));
        };
        let Some(lock) = SettleLock::try_now(host)? else { return Ok(Turn::Anothers) };
        sleep(settle.saturating_add(spread));
        Ok(Turn::Mine(Some(lock)))
    }
}

/// A time that somebody may wait.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let time = config::seconds(text).ok_or("it is not a time such as \"1s\", \"2m\" or \"1h\"")?;
    if time > MOST { Err("it is more than an hour".to_owned()) } else { Ok(time) }
}

/// Another one in each process: the standard library's hashes begin at random.
fn random_up_to(most: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    most.mul_f64(random as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_all_times_up_to_its_end() {
        let times: Vec<Duration> = (0..200).map(|_| random_up_to(Duration::from_secs(4))).collect();
        assert!(times.iter().all(|time| *time <= Duration::from_secs(4)));
        let of_quarter = |quarter: u64| times.iter().filter(|time| time.as_secs() == quarter).count();
        assert!((0..4).all(|quarter| of_quarter(quarter) > 10), "{times:?}");
        assert_eq!(random_up_to(Duration::ZERO), Duration::ZERO);
    }
}
