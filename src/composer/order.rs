//! What a composer is asked for and what it answers: each a value in JSON behind its length, on one socket.

use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::context::disc::marker::Edition;
use crate::context::domain::Domain;
use crate::host::programs::Printed;
use crate::host::vm::state::Newest;

/// Largest order or answer, in bytes: libvirt has no larger XML, and twice of it is what may be escaped.
const MOST: u32 = 64 << 20;

/// What was signed, and its signature.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Signed {
    pub sums: Vec<u8>,
    pub signature: String,
}

/// A disc to compose, from this host's data as they lie there now.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The domain's XML.
    pub xml: String,
    /// The MACs of its interfaces that are on another network since it came.
    #[serde(default)]
    pub new_networks: Vec<String>,
    /// What programs printed.
    pub printed: Printed,
    /// The newest disc and where it lies, if a new one is only wanted where the content differs.
    pub newest: Option<Newest>,
    /// The new disc, and the file for its image, which is there; without one the disc is composed and goes nowhere.
    pub new: Option<(Edition, Option<PathBuf>)>,
    /// The signature of the new disc, where `sign_command` has signed it.
    pub signed: Option<Signed>,
}

impl Order {
    /// The VM's disc, of which it is still to be said which one is wanted.
    pub(crate) fn of(domain: &Domain, new_networks: Vec<String>, printed: Printed) -> Order {
        Order { xml: domain.xml.to_owned(), new_networks, printed, newest: None, new: None, signed: None }
    }
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The newest disc has the content that a new one would have.
    Same,
    /// It has not, or there is none; no new disc was asked for.
    Differs,
    /// The new disc is composed, and its image, of so many bytes, lies in its file.
    Made(u64),
    /// The new disc is composed, and not made: `sign_command` is to sign these sums of it.
    ToSign(Vec<u8>),
    /// There can be no disc, for this reason.
    Impossible(Why),
}

/// Why there can be no disc, and who can mend it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Why {
    /// This host's data or configuration.
    Host(String),
    /// What the VM carries, or what comes of both.
    Vm(String),
}

impl Why {
    pub(crate) fn message(self) -> String {
        match self {
            Why::Host(message) | Why::Vm(message) => message,
        }
    }
}

pub(super) fn send(to: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut message = vec![0; 4];
    serde_json::to_writer(&mut message, value)?;
    let length = u32::try_from(message.len() - 4).ok().filter(|length| *length <= MOST);
    let length = length.ok_or_else(|| io::Error::from(ErrorKind::FileTooLarge))?;
    message.splice(..4, length.to_le_bytes());
    to.write_all(&message)
}

/// The next value; `None` when the other side has gone.
pub(super) fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u32::from_le_bytes(length);
    if length > MOST {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut message = Vec::new();
    from.take(u64::from(length)).read_to_end(&mut message)?;
    Ok(Some(serde_json::from_slice(&message)?))
}
