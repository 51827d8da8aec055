//! What signs the discs, as far as that can be known where the directory lies: private keys, and the programs that ask for
//! them, are on hosts.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use super::candidate::Candidate;
use super::findings::Findings;
use super::owners::Owners;
use crate::host::config::Config;
use crate::host::file;
use crate::host::signing::judge_public;

pub(super) fn judge(candidate: &Candidate, config: &Config, findings: &mut Findings) {
    let host = &candidate.host;
    let is_there = |path: PathBuf| path.symlink_metadata().is_ok();
    let mut public_is_here = is_there(host.signing_certificate());
    // What is no absolute path has been told.
    if let Some(program) = config.sign_command.first().filter(|program| program.starts_with('/')) {
        let fault = match fs::metadata(program) {
            Ok(metadata) if file::is_executable(&metadata) => None,
            Ok(_) => Some("may not be executed, or is no file"),
            Err(error) if error.kind() == ErrorKind::NotFound => Some("is not there"),
            // Whoever may not look there knows nothing.
            Err(_) => None,
        };
        match fault {
            Some(fault) if candidate.is_in_use => findings.error(format_args!("sign_command: {program} {fault}")),
            Some(fault) => findings.note(format_args!("sign_command: {program} {fault} on this machine")),
            None => {}
        }
        public_is_here |= candidate.is_in_use || is_there(host.signing_public_key());
        let key = host.signing_key();
        if is_there(key.clone()) {
            findings.note(format_args!("{} does not sign, for sign_command does", key.display()));
        }
    }
    if !public_is_here {
        return;
    }
    let mut owners = Owners::of(candidate);
    if let Err(error) = judge_public(host, config, &mut owners) {
        findings.error(format_args!("{error:#}"));
    }
    owners.faults.found.into_iter().for_each(|finding| findings.push(finding));
}
