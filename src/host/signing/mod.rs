//! Who signs this host's discs, and with what: the key in `/etc/virt-recontext/signing_key`, or a program that asks an agent, a
//! TPM or an HSM. A key that is there and cannot be used is an error: no disc leaves such a host unsigned. What to do about it
//! stands in its message behind the last semicolon, or is a command at its end.

#[cfg(feature = "libvirt")]
pub(crate) mod command;

use std::fmt;
use std::fs::{Metadata, symlink_metadata};
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, bail, ensure};

use super::clock;
use super::config::{Config, is_signer};
use super::file;
use super::judge::{Judge, Strict};
use super::paths::Host;
use crate::context::disc::files::Files;
use crate::context::disc::sums::{SIGNATURE, SUMS};
use crate::context::moment::Moment;
#[cfg(feature = "libvirt")]
use crate::context::signature::taken;
use crate::context::signature::{PublicKey, SigningKey, Validity};

/// What signs this host's discs.
pub(crate) struct Signing {
    signer: String,
    with: With,
}

enum With {
    Key(Box<SigningKey>),
    /// `sign_command` has the private part.
    Command(PublicKey),
}

/// Gives the signature of the sums of a disc that `sign_command` signs; `None` where there is none of these.
pub(crate) type Ask<'a> = dyn FnMut(&[u8]) -> Result<Option<String>> + 'a;

/// `sign_command` has not signed the disc with these sums.
#[derive(Debug)]
pub(crate) struct NotSigned {
    /// What it is to sign.
    pub sums: Vec<u8>,
}

impl fmt::Display for NotSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sign_command has not signed this disc yet; the helper will run it")
    }
}

impl std::error::Error for NotSigned {}

impl Signing {
    /// What signs the discs of this host now; `None` if they are not signed.
    ///
    /// # Errors
    /// When they are to be signed and cannot be: with what is wrong with the key, and what to do.
    pub(crate) fn of(host: &Host, config: &Config) -> Result<Option<Signing>> {
        let with = match config.sign_command.is_empty() {
            false => With::Command(public_key(host, &mut Strict)?),
            true => match key(host, config)? {
                None => return Ok(None),
                Some(key) => With::Key(Box::new(key)),
            },
        };
        let signer = usable(host, config, public_of(&with))?;
        Ok(Some(Signing { signer, with }))
    }

    /// The name by which a guest knows whose disc it is.
    pub(crate) fn signer(&self) -> &str {
        &self.signer
    }

    pub(crate) fn public(&self) -> &PublicKey {
        public_of(&self.with)
    }

    /// Who signs, with which key, and for how long, for a person.
    #[cfg(feature = "libvirt")]
    pub(crate) fn told(&self) -> String {
        let public = self.public();
        let until = match public.validity() {
            Some(Validity { before: Some(before), .. }) => {
                format!(", by a certificate that expires at {}", Moment(before.saturating_mul(100)))
            }
            Some(_) => ", by a certificate that does not expire".to_owned(),
            None => String::new(),
        };
        format!("signed by {} with {} {}{until}", self.signer, public.kind(), public.fingerprint())
    }

    /// Adds the signature of the sums of `files`.
    ///
    /// # Errors
    /// [`NotSigned`], when `sign_command` signs and `ask` has no signature of its key.
    pub(crate) fn sign(&self, files: &mut Files, ask: &mut Ask) -> Result<()> {
        let sums = files.get(&SUMS.parse()?).map(|file| file.bytes.clone()).unwrap_or_default();
        let signature = match &self.with {
            With::Key(key) => key.sign(&sums),
            With::Command(public) => {
                let given = ask(&sums)?;
                let given = given.and_then(|signature| is_true(&signature, public, &sums).then_some(signature));
                given.ok_or_else(|| Error::new(NotSigned { sums: sums.to_vec() }))?
            }
        };
        files.make(SIGNATURE, |_| Ok(signature.into_bytes()))
    }
}

/// Judges what is known of the key that signs without its private part, which lies on hosts alone.
///
/// # Errors
/// As of [`Signing::of`].
#[cfg(feature = "libvirt")]
pub(crate) fn judge_public(host: &Host, config: &Config, judge: &mut dyn Judge) -> Result<()> {
    if config.sign_command.is_empty() && !is_there(&host.signing_certificate())? {
        return Ok(());
    }
    usable(host, config, &public_key(host, judge)?).map(drop)
}

/// The name under which this key signs, if guests can take it now.
fn usable(host: &Host, config: &Config, public: &PublicKey) -> Result<String> {
    let used = || format!("signing with {}", used_name(host, config));
    let signer = signer(public, config).with_context(used)?;
    check_now(public).with_context(used)?;
    Ok(signer.to_owned())
}

/// Whether `sign_command` has made this signature of these sums.
#[cfg(feature = "libvirt")]
fn is_true(signature: &str, public: &PublicKey, sums: &[u8]) -> bool {
    taken(signature, public, sums).is_ok()
}

/// The hook has none of these.
#[cfg(not(feature = "libvirt"))]
fn is_true(_: &str, _: &PublicKey, _: &[u8]) -> bool {
    false
}

fn public_of(with: &With) -> &PublicKey {
    match with {
        With::Key(key) => key.public(),
        With::Command(public) => public,
    }
}

/// The file that says with which key is signed.
pub(crate) fn used_name(host: &Host, config: &Config) -> String {
    let file = match (is_there(&host.signing_certificate()), config.sign_command.is_empty()) {
        (Ok(true), _) => host.signing_certificate(),
        (_, true) => host.signing_key(),
        (_, false) => host.signing_public_key(),
    };
    file.display().to_string()
}

/// Whether something is called so, even if it is a link to nowhere: whoever put it there wants discs to be signed.
fn is_there(path: &Path) -> Result<bool> {
    let found = file::if_there(symlink_metadata(path)).with_context(|| format!("looking at {}", path.display()))?;
    Ok(found.is_some())
}

fn key(host: &Host, config: &Config) -> Result<Option<SigningKey>> {
    let path = host.signing_key();
    if !is_there(&path)? {
        // As in the moment in which somebody puts another one there.
        let certificate = host.signing_certificate();
        let (shown, certified) = (path.display(), certificate.display());
        ensure!(
            !is_there(&certificate)?,
            "{shown} is missing, whose certificate is {certified}; put the key there with mv"
        );
        ensure!(config.signer.is_none(), "signer is set, and {shown} is missing; put the key there with mv");
        return Ok(None);
    }
    let private = file::read_checked_text(&path, |metadata| check_private(&path, metadata))?;
    let certificate = text_if_there(&host.signing_certificate(), &mut Strict)?;
    SigningKey::read(&private, certificate.as_deref()).with_context(|| format!("reading {}", path.display())).map(Some)
}

/// The key with which `sign_command` signs.
fn public_key(host: &Host, judge: &mut dyn Judge) -> Result<PublicKey> {
    let (certificate, plain) = (host.signing_certificate(), host.signing_public_key());
    let found: Option<(PathBuf, String)> = match text_if_there(&certificate, judge)? {
        Some(text) => Some((certificate, text)),
        None => text_if_there(&plain, judge)?.map(|text| (plain.clone(), text)),
    };
    let Some((path, text)) = found else {
        bail!(
            "sign_command is set, and {} is missing; put the public key there with which it signs, or its certificate beside it",
            plain.display()
        );
    };
    PublicKey::read(&text).with_context(|| format!("reading {}", path.display()))
}

fn text_if_there(path: &Path, judge: &mut dyn Judge) -> Result<Option<String>> {
    if !is_there(path)? {
        return Ok(None);
    }
    file::read_checked_text(path, |metadata| judge.check(path, metadata)).map(Some)
}

/// Checks that nobody but root, and at most one group, can read a private key, as ssh has it.
fn check_private(path: &Path, metadata: &Metadata) -> Result<()> {
    use std::os::unix::fs::MetadataExt;

    file::check_trusted(path, metadata)?;
    let shown = path.display();
    ensure!(metadata.mode() & 0o037 == 0, "{shown} is a private key that others may read: chmod 0600 {shown}");
    Ok(())
}

/// The name of whoever signs: as it is configured, or else as the certificate or the key says.
fn signer<'a>(public: &'a PublicKey, config: &'a Config) -> Result<&'a str> {
    let allowed = "a signer's name has up to 64 letters, digits and . _ @ -";
    if public.is_certificate() {
        let principals = public.principals();
        ensure!(
            !principals.is_empty(),
            "the certificate names no principal, so that no guest takes it; make one with ssh-keygen -s CA -n NAME"
        );
        if let Some(signer) = &config.signer {
            ensure!(
                principals.contains(signer),
                "signer = {signer:?} is no principal of the certificate, so that no guest takes it; set signer to one of: {}",
                principals.join(", ")
            );
            return Ok(signer);
        }
        let principal = public.principal().unwrap_or_default();
        ensure!(
            is_signer(principal),
            "the certificate's first principal is {principal:?}, and {allowed}; set signer in config.toml to another one of it"
        );
        return Ok(principal);
    }
    if let Some(signer) = &config.signer {
        return Ok(signer);
    }
    let comment = public.comment();
    ensure!(is_signer(comment), "the key's comment is {comment:?}, and {allowed}; set signer in config.toml");
    Ok(comment)
}

/// Checks that a certificate is valid now.
fn check_now(public: &PublicKey) -> Result<()> {
    let Some(Validity { after, before }) = public.validity() else { return Ok(()) };
    let now = clock::now().0 / 100;
    let day = |seconds: u64| Moment(seconds.saturating_mul(100));
    ensure!(
        after <= now,
        "the certificate is not valid before {}; set this host's clock if it is behind, or have a certificate made that is \
        valid now: {}",
        day(after),
        renewal(public)
    );
    match before {
        Some(before) if before <= now => {
            bail!("the certificate has expired at {}; have a new one made: {}", day(before), renewal(public))
        }
        _ => Ok(()),
    }
}

/// How the CA makes a certificate of the same names.
pub(crate) fn renewal(public: &PublicKey) -> String {
    // What else a certificate may name is no text to be typed into a shell.
    let names = match public.principals() {
        names if names.iter().all(|name| is_signer(name)) => names.join(","),
        _ => "NAMES".to_owned(),
    };
    format!("ssh-keygen -s CA -I ID -n {names} -V +52w signing_key.pub")
}
