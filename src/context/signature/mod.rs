//! Signed discs: a guest knows whose context it reads, and that nobody has changed it since.
//!
//! What is made here is what `ssh-keygen -Y sign` makes, so that a guest needs OpenSSH alone to check it. Keys and
//! certificates are OpenSSH's files too (PROTOCOL.key, PROTOCOL.certkeys and PROTOCOL.sshsig in its sources). The
//! signature of a certificate is not checked here: guests do.

mod armor;
mod key;
mod public;
#[cfg(test)]
mod samples;
mod sshsig;
mod wire;

pub use key::SigningKey;
pub use public::{PublicKey, Validity};
pub use sshsig::{signed_by, taken};

/// What our signatures are for: one made for something else, or by a key for something else, counts for nothing.
pub const NAMESPACE: &str = "virt-recontext";
