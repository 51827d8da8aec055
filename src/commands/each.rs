//! What is done for several VMs: each is told by its name, and one at which it fails keeps no other from it.

use std::io::{self, Write};

use anyhow::Result;
use clap::Args;

use super::exit::{DONE, FAILED, worse};
use super::vm;
use crate::host::config::Config;
use crate::host::paths::Host;

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Vms {
    /// Names or UUIDs.
    #[arg(value_name = "VM")]
    pub vms: Vec<String>,
    /// All VMs that are running.
    #[arg(long)]
    pub all_running: bool,
}

impl Vms {
    /// Acts on one after the other; gives the worst of their exit codes.
    ///
    /// # Errors
    /// When libvirt does not tell which VMs are running, or there is but one and it fails.
    pub(super) fn each(&self, host: &Host, config: &Config, mut act: impl FnMut(&str) -> Result<u8>) -> Result<u8> {
        if let [only] = self.vms.as_slice() {
            return act(only);
        }
        let running = || -> Result<Vec<String>> {
            let libvirt = vm::connect(host, config)?;
            // By UUID: a name may be another one's when its turn comes.
            Ok(libvirt.running()?.iter().filter_map(|vm| vm.uuid().ok()).map(|uuid| uuid.to_string()).collect())
        };
        let vms = if self.all_running { running()? } else { self.vms.clone() };
        let mut code = DONE;
        for vm in &vms {
            let done = act(vm).unwrap_or_else(|error| {
                let line = vm::on_one_line(&format!("{vm}: {error:#}"));
                let _nobody_reads = writeln!(io::stderr(), "virt-recontext: {line}");
                FAILED
            });
            code = worse(code, done);
        }
        Ok(code)
    }
}
