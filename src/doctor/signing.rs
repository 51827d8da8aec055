//! What signs the discs of this host.

use super::report::Report;
use crate::context::moment::Moment;
use crate::context::signature::Validity;
use crate::host::clock;
use crate::host::config::{Config, ExposeHost};
use crate::host::paths::Host;
use crate::host::signing::Signing;

/// A certificate that is valid for less is told, in seconds.
const SOON: u64 = 30 * 24 * 60 * 60;

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
            check.bad(format_args!("{fault}; no disc is made"), "mend it; virt-recontext refresh --all then");
            return vec![fault];
        }
    };
    check.good(format_args!("discs are {}", signing.told()));
    let certificate = host.signing_certificate();
    if let Some(Validity { before: Some(before), .. }) = signing.public().validity()
        && before.saturating_sub(clock::now().0 / 100) < SOON
    {
        check.warning(
            format_args!("{} expires at {}; no disc is made then", certificate.display(), Moment(before * 100)),
            "have the key certified anew, with ssh-keygen -s CA, and put the new certificate into its place",
        );
    }
    tell_of_names(host, config, &signing, report);
    Vec::new()
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
