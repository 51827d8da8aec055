//! `sign_command`: it is given a disc's sums on its stdin and prints their signature, as `ssh-keygen -Y sign -n virt-recontext`
//! does.

use std::fs::File;
use std::io::{Seek, Write};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use super::{Signing, used_name};
use crate::context::signature::taken;
use crate::host::config::Config;
use crate::host::paths::Host;
use crate::host::programs::run::{clean, printed_by};

/// The signature of `sums`.
///
/// # Errors
/// When it fails or signs with another key than the one that lies here, or what it prints is no signature such as guests verify.
pub(crate) fn ask(host: &Host, config: &Config, sums: &[u8]) -> Result<String> {
    let asked = || {
        let [program, arguments @ ..] = config.sign_command.as_slice() else {
            return Ok(String::new());
        };
        let mut command = clean(program.as_ref());
        command.args(arguments);
        let signature = printed_by(command, given(sums)?, &config.limits)?;
        ensure!(!signature.trim().is_empty(), "it printed nothing");
        let signing = Signing::of(host, config)?.context("it signs no more")?;
        let by = || format!("what it printed is no signature of the disc by the key of {}", used_name(host, config));
        taken(&signature, signing.public(), sums).with_context(by)
    };
    asked().with_context(|| format!("running sign_command {}", config.sign_command.join(" ")))
}

/// A file with the sums, which a program need not read to its end.
fn given(sums: &[u8]) -> Result<Stdio> {
    let written = || -> std::io::Result<File> {
        let mut file = tempfile::tempfile()?;
        file.write_all(sums)?;
        file.rewind()?;
        Ok(file)
    };
    Ok(Stdio::from(written().context("writing its input")?))
}
