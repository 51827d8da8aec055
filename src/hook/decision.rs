//! What the hook decides to do about a VM: a value, which is carried out later (`carry_out`). Each operation decides in a file
//! of its own.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::context::disc::marker::Reason;
use crate::context::domain::drive::Drive;
use crate::context::domain::request::Request;
use crate::host::vm::job::Job;
use crate::host::vm::state::State;

/// What is to be done.
#[derive(Debug, Default, PartialEq)]
pub struct Decision<'d> {
    /// About its job.
    pub job: JobStep,
    /// About its disc.
    pub disc: DiscStep<'d>,
    /// The drive that is to hold the disc in the answer.
    pub answer: Option<&'d Drive>,
    /// About the helper.
    pub helper: HelperStep,
}

/// What becomes of the VM's job.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum JobStep {
    /// It stays.
    #[default]
    Keep,
    /// It goes.
    Drop,
    /// A new one takes its place.
    Note(Reason),
}

/// What becomes of the VM's disc, and of what is known of it.
#[derive(Debug, Default, PartialEq)]
pub enum DiscStep<'d> {
    /// It stays.
    #[default]
    Keep,
    /// A new one is made.
    Make {
        /// What the VM asks for.
        request: &'d Request,
        /// Where.
        place: PathBuf,
        /// What for.
        reason: Reason,
    },
    /// None can be made.
    Fail {
        /// What it was for.
        reason: Reason,
        /// Why it cannot be.
        because: String,
    },
    /// The drive holds none yet.
    Await,
    /// It is left, though the VM has ended.
    Leave,
    /// It goes, with all else of the VM.
    Forget,
}

/// Whether the helper is started.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum HelperStep {
    /// It is not.
    #[default]
    No,
    /// At once.
    Now,
    /// When libvirtd has its answer, if a job waits then.
    Afterwards,
}

/// What of this host a decision goes by; each is looked at when it is needed.
pub trait Look {
    /// The VM's job.
    fn job(&self) -> Result<Option<Job>>;
    /// The VM's state.
    fn state(&self) -> Result<Option<State>>;
    /// Whether there is a file at `path`.
    fn is_there(&self, path: &Path) -> bool;
    /// The name of another VM whose disc lies at `path`.
    fn other_at(&self, path: &Path) -> Result<Option<String>>;
    /// Whether libvirt keeps snapshots of the VM.
    fn has_snapshots(&self) -> bool;
}
