//! What an attempt came to. It says what happened; what to do next is the coordinator's to decide.

use crate::host::metrics::counters::Way;
use crate::libvirt::trouble::Trouble;

/// What there is to say of a VM that takes no part any more.
pub(crate) const ASKS_FOR_NONE: &str = "the VM no longer asks for context";

/// What came of a job that is done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Done {
    /// Where the disc is now, and what else there is to say.
    pub line: String,
    /// How long its parts took; empty where they took no time worth telling.
    pub took: String,
    /// How the guest got a newer disc; `None` where there was nothing to bring.
    pub way: Option<Way>,
}

impl From<String> for Done {
    fn from(line: String) -> Done {
        Done { line, took: String::new(), way: None }
    }
}

/// How a job came out of one attempt.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done(Done),
    /// The drive holds a disc of the same content; nothing was done.
    Unchanged,
    /// The newest content cannot get to the guest before its next start, restore or arrival; the line says why.
    AtNextStart(String),
    /// The VM is still arriving: wait for the event.
    NotYet,
    /// The guest, which runs, holds the old disc.
    Held,
    /// The guest stands still, and nothing can be done before it goes on; the line says why.
    StandsStill(String),
    /// The VM has only just been started, and its firmware may be at the drive.
    TooEarly,
    Busy(String),
    Gone,
    Lost,
    /// It cannot work until somebody changes something.
    Hopeless(String),
    /// This host's data or configuration is faulty, and may be half written.
    HostsFault(String),
    /// It did not work, and may work another time.
    Failed(String),
}

impl Outcome {
    pub(crate) fn hopeless(error: anyhow::Error) -> Outcome {
        Outcome::Hopeless(format!("{error:#}"))
    }

    /// The old disc is held by a guest that cannot let go.
    pub(crate) fn held_still() -> Outcome {
        Outcome::StandsStill(
            "the VM is paused and holds the old disc; the disc is changed when the VM runs again".to_owned(),
        )
    }

    pub(crate) fn hosts_fault(error: anyhow::Error) -> Outcome {
        Outcome::HostsFault(format!("{error:#}"))
    }
}

impl From<Trouble> for Outcome {
    fn from(trouble: Trouble) -> Outcome {
        match trouble {
            Trouble::Gone => Outcome::Gone,
            Trouble::Lost => Outcome::Lost,
            Trouble::Busy(message) => Outcome::Busy(message),
            Trouble::Refused(message) | Trouble::Other(message) => Outcome::Failed(message),
        }
    }
}
