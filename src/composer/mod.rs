//! Composes discs in a process of its own, so that what one VM brings along, or one file of the host, can cost that VM its
//! disc and nobody anything else: not the time, the memory or the life of whoever asks.
//!
//! A composer is this very program, started afresh: without threads, without a connection to libvirt, and with limits on its
//! memory and on its processor time for each disc. It composes one disc after another. One that goes beyond a limit, dies or
//! does not answer ends with that disc, and another takes its place.

mod apart;
mod kept;
mod order;
mod pool;
mod process;
mod serve;

/// The word by which this program is a composer; it is nothing for people.
pub const VERB: &str = "compose";

pub(crate) use self::apart::{Confined, apart};
pub(crate) use self::kept::hint;
pub(crate) use self::order::{Answer, Order, Signed, Why};
pub(crate) use self::pool::Composers;
pub(crate) use self::process::Fault;
pub use self::serve::serve;
pub(crate) use self::serve::{limit_own_memory, outside_own_limit};
