//! The VM that a line in the log is about, for who looks lines up by it.

use crate::context::disc::marker::{Edition, Generation, Reason};
use crate::context::uuid::Uuid;

/// A VM, as far as it is known, and perhaps one of its discs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Subject {
    pub name: Option<String>,
    pub uuid: Option<Uuid>,
    pub reason: Option<Reason>,
    pub generation: Option<Generation>,
}

impl Subject {
    pub(crate) fn called(name: &str) -> Subject {
        Subject { name: Some(name.to_owned()), ..Subject::default() }
    }

    pub(crate) fn vm(name: &str, uuid: &Uuid) -> Subject {
        Subject { uuid: Some(uuid.clone()), ..Subject::called(name) }
    }

    /// With this disc; what is done about it may have another reason than that for which it was made.
    pub(crate) fn disc(self, Edition { generation, reason }: Edition) -> Subject {
        Subject { reason: self.reason.or(Some(reason)), generation: Some(generation), ..self }
    }
}
