//! What the hook decides to do about a VM: a value, which is carried out later (`carry_out`). Each operation decides in a file
//! of its own.

use std::path::PathBuf;

use crate::context::disc::marker::Reason;
use crate::context::domain::drive::Drive;
use crate::context::domain::request::Request;

#[derive(Debug, Default, PartialEq)]
pub(super) struct Decision<'d> {
    pub job: JobStep,
    pub disc: DiscStep<'d>,
    /// The drive that is to hold the disc in the answer.
    pub answer: Option<&'d Drive>,
    pub helper: HelperStep,
}

/// What becomes of the VM's job.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum JobStep {
    #[default]
    Keep,
    Drop,
    Note(Reason),
}

/// What becomes of the VM's disc, and of what is known of it.
#[derive(Debug, Default, PartialEq)]
pub(super) enum DiscStep<'d> {
    #[default]
    Keep,
    Make {
        request: &'d Request,
        place: PathBuf,
        reason: Reason,
    },
    Fail {
        reason: Reason,
        because: String,
    },
    /// There is none in the drive yet, for this reason.
    Await(&'static str),
    /// It is left, though the VM has ended.
    Leave,
    /// It goes, with all else of the VM.
    Forget,
}

/// Whether the helper is started.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum HelperStep {
    #[default]
    No,
    Now,
    /// When libvirtd has its answer, if a job waits then.
    Afterwards,
}
