//! As many composers as there are processors, for all who ask at the same time.

use std::num::NonZero;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use anyhow::Result;

use super::order::{Answer, Order};
use super::process::{Composer, Fault};

/// The composers that this process has started.
pub(crate) struct Composers {
    standing_by: Mutex<StandingBy>,
    given_back: Condvar,
}

struct StandingBy {
    composers: Vec<Composer>,
    /// How many more may be at work.
    free: usize,
}

impl Composers {
    pub(crate) fn new() -> Composers {
        let free = available_parallelism().map_or(1, NonZero::get);
        Composers { standing_by: Mutex::new(StandingBy { composers: Vec::new(), free }), given_back: Condvar::new() }
    }

    /// Has one stand by, so that the first disc need not wait for it.
    pub(crate) fn stand_by(&self) -> Result<()> {
        let mut standing_by = self.lock();
        if standing_by.composers.is_empty() {
            standing_by.composers.push(Composer::start()?);
        }
        Ok(())
    }

    /// Has a disc composed; waits while as many as there are processors are at it. If a composer was killed, another tries.
    pub(crate) fn compose(&self, order: &Order) -> Result<Answer, Fault> {
        let _place = self.place();
        match self.ask_one(order) {
            Err(Fault::Composer(_)) => self.ask_one(order),
            answered => answered,
        }
    }

    fn ask_one(&self, order: &Order) -> Result<Answer, Fault> {
        let standing_by = self.lock().composers.pop();
        let started = standing_by.map_or_else(Composer::start, Ok);
        let mut composer = started.map_err(|error| Fault::Composer(format!("{error:#}")))?;
        let answer = composer.ask(order)?;
        self.lock().composers.push(composer);
        Ok(answer)
    }

    fn place(&self) -> Place<'_> {
        let mut standing_by = self.lock();
        while standing_by.free == 0 {
            standing_by = self.given_back.wait(standing_by).unwrap_or_else(PoisonError::into_inner);
        }
        standing_by.free -= 1;
        Place(self)
    }

    fn lock(&self) -> MutexGuard<'_, StandingBy> {
        self.standing_by.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to have a composer at work.
struct Place<'c>(&'c Composers);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.lock().free += 1;
        self.0.given_back.notify_one();
    }
}
