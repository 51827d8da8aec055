//! What guests may know of this host's identity: its name, a pseudonym, or nothing.

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::config::{Config, ExposeHost};
use super::file;
use super::paths::Host;

/// Bytes of a pseudonym, each in two hexadecimal digits.
const BYTES: usize = 8;

/// The host's identity as guests see it; `None` if they see none.
///
/// # Errors
/// When a pseudonym is wanted and the host has no machine id to make it from.
pub(crate) fn shown(host: &Host, config: &Config) -> Result<Option<String>> {
    match config.expose_host {
        ExposeHost::Name => Ok(Some(host.name.clone())),
        ExposeHost::None => Ok(None),
        ExposeHost::Hash => {
            // Without the machine id, which no guest knows, a name could be found out by trying.
            let machine = file::read_text(&host.machine_id_file())
                .context("expose_host = \"hash\" needs a machine id; systemd-machine-id-setup makes one")?;
            let hash = Sha256::new().chain_update("virt-recontext host ").chain_update(machine.trim()).finalize();
            Ok(Some(hash.iter().take(BYTES).map(|byte| format!("{byte:02x}")).collect()))
        }
    }
}
