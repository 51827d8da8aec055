//! What a failed call to libvirt means.

use std::fmt;

use virt::connect::Connect;
use virt::error::{Error, ErrorNumber};

/// What a failed call means for what we do next.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The domain is not there any more, or does not run.
    Gone,
    Lost,
    /// Something else works on the domain, such as a migration; it would work later.
    Busy(String),
    /// The operation did not come about; for a media change without force: the guest holds the tray.
    Refused(String),
    Other(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Gone => f.write_str("the VM is not running here"),
            Trouble::Lost => f.write_str("the connection to libvirt was lost"),
            Trouble::Busy(message) | Trouble::Refused(message) | Trouble::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Trouble {}

impl Trouble {
    /// What this error of a call over `connection` means.
    pub(super) fn of(error: &Error, connection: &Connect) -> Trouble {
        let message = error.message().to_owned();
        match error.code() {
            ErrorNumber::NoDomain => Trouble::Gone,
            ErrorNumber::OperationTimeout => Trouble::Busy(message),
            ErrorNumber::OperationFailed => Trouble::Refused(message),
            _ if !connection.is_alive().unwrap_or(false) => Trouble::Lost,
            _ => Trouble::Other(message),
        }
    }
}
