//! What signs the discs of this host, and whether it does.

use super::report::Report;
use crate::context::moment::Moment;
use crate::context::signature::{PublicKey, Validity};
use crate::host::clock;
use crate::host::config::{Config, ExposeHost};
use crate::host::paths::Host;
use crate::host::signing::{Signing, command, renewal};

/// A certificate that is valid for less is told, in seconds.
const SOON: u64 = 30 * 24 * 60 * 60;

/// What `sign_command` is given to sign: no list of sums, so that no guest takes the signature for one of a disc.
const SAMPLE: &[u8] = b"virt-recontext doctor looks whether discs can be signed\n";

/// Gives what is wrong, so that no other check tells it again.
pub(super) fn check(host: &Host, config: &Config, report: &mut Report) -> Vec<String> {
    let check = &mut report.check("signing");
    let signing = match Signing::of(host, config) {
        Ok(Some(signing)) => signing,
        Ok(None) => {
            let public = host.signing_public_key();
            if public.exists() {
                check.warning(
                    format_args!("{} is there, and nothing to sign with: discs are not signed", public.display()),
                    format_args!("put the private key into {}, or set sign_command", host.signing_key().display()),
                );
            }
            return Vec::new();
        }
        Err(error) => {
            let fault = format!("{error:#}");
            let (what, remedy) = remedied(&fault);
            check.bad(
                format_args!("{what}; no disc is made"),
                format_args!("{remedy}; then virt-recontext refresh --all"),
            );
            return vec![fault];
        }
    };
    let mut told = format!("discs are {}", signing.told());
    if !config.sign_command.is_empty() {
        if let Err(error) = command::ask(host, config, SAMPLE) {
            let fault = format!("{error:#}");
            check.bad(
                format_args!("signing a sample: {fault}; no disc with other content than before is made"),
                "let it print a signature of what is on its stdin, run by root without any variable but PATH and LC_ALL, \
                as virt-recontext(8) has it, SIGNED DISCS; an agent must hold the key, with the certificate that is in its \
                place (ssh-add), and is empty after the host's start; then virt-recontext refresh --all",
            );
            return vec![fault];
        }
        told += match signing.public().can_be_verified() {
            true => "; sign_command has signed a sample",
            false => {
                "; sign_command has given a signature of a sample: whether guests take it is not checked of such a key"
            }
        };
    }
    if let names @ 2.. = signing.public().principals().len() {
        told += &match config.signer {
            None => {
                format!("; its certificate has {names} names, of which the first is used, and signer takes another")
            }
            Some(_) => format!("; its certificate has {names} names, of which signer has taken this one"),
        };
    }
    check.good(told);
    let certificate = host.signing_certificate();
    if let Some(Validity { before: Some(before), .. }) = signing.public().validity()
        && before.saturating_sub(clock::now().0 / 100) < SOON
    {
        let agent = if config.sign_command.is_empty() { "" } else { " (an agent is given it first, by ssh-add)" };
        check.warning(
            format_args!(
                "{} expires at {}; no disc is made then, and guests refuse those that were",
                certificate.display(),
                Moment(before * 100)
            ),
            format_args!(
                "have a new one made, and put it into its place with mv{agent}: {}",
                renewal(signing.public())
            ),
        );
    }
    tell_of_default(host, config, signing.public(), report);
    tell_of_names(host, config, &signing, report);
    Vec::new()
}

/// What is wrong, and what to do, of a fault of [`Signing::of`].
fn remedied(fault: &str) -> (&str, &str) {
    let is_command = |(_, end): &(&str, &str)| end.starts_with("chown ") || end.starts_with("chmod ");
    let parts = fault.rsplit_once("; ").or_else(|| fault.rsplit_once(": ").filter(is_command));
    parts.unwrap_or((fault, "see virt-recontext(8), SIGNED DISCS"))
}

/// `ssh-keygen` calls a key that is made without a name by who made it and where: as it is of a key in its place before its
/// certificate is.
fn tell_of_default(host: &Host, config: &Config, public: &PublicKey, report: &mut Report) {
    let is_default = public.comment().rsplit_once('@').is_some_and(|(user, at)| !user.is_empty() && at == host.name);
    if config.signer.is_none() && !public.is_certificate() && is_default {
        report.check("signing").warning(
            format_args!(
                "guests are told that {} signs: so ssh-keygen calls a key that is made here without -C, and neither signer \
                nor a certificate says another name",
                public.comment()
            ),
            format_args!(
                "if no guest knows it by that name: put its certificate into {}, or set signer; then virt-recontext refresh \
                --all",
                host.signing_certificate().display()
            ),
        );
    }
}

/// A signature may tell guests more of the host than `expose_host` lets them know.
fn tell_of_names(host: &Host, config: &Config, signing: &Signing, report: &mut Report) {
    let short = host.name.split('.').next().unwrap_or_default();
    let names_host = !short.is_empty() && signing.signer().contains(short);
    let what = match config.expose_host {
        ExposeHost::Name => return,
        ExposeHost::Hash | ExposeHost::None if names_host => "the signer's name has this host's in it",
        // The key, if not its certificate's identity and number, is another one on each host.
        ExposeHost::None if signing.public().is_certificate() => {
            "a certificate tells hosts apart, by its key and its identity"
        }
        ExposeHost::Hash | ExposeHost::None => return,
    };
    let setting = if config.expose_host == ExposeHost::None { "none" } else { "hash" };
    report.check("signing").warning(
        format_args!("expose_host = \"{setting}\", and {what}, which each guest can read"),
        "sign with one key for the whole site, and set signer to the site's name; or set expose_host = \"name\"",
    );
}
