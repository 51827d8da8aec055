//! The key that signs: an OpenSSH private key file (PROTOCOL.key), which holds what signs and what is known of it.

use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use ed25519_dalek::Signer;

use super::public::PublicKey;
use super::wire::{self, Reader};
use super::{armor, sshsig};

const LABEL: &str = "OPENSSH PRIVATE KEY";
const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";
const KIND: &str = "ssh-ed25519";

/// What is secret in a file has a length that is a multiple of this.
const BLOCK: usize = 8;

/// What signs discs: an ed25519 key, and perhaps a certificate for it.
pub struct SigningKey {
    key: ed25519_dalek::SigningKey,
    public: PublicKey,
}

impl SigningKey {
    /// Reads an OpenSSH private key, ed25519 and without a passphrase, and the line of its certificate if it has one.
    ///
    /// # Errors
    /// When `private` is something else, is damaged, or holds several keys; when `certificate` is none that a guest
    /// takes (`PublicKey::read`), or is for another key. They tell nothing that is secret.
    pub fn read(private: &str, certificate: Option<&str>) -> Result<SigningKey> {
        if let Some(instead) = not_openssh(private) {
            bail!("{instead}; an OpenSSH private key belongs here: ssh-keygen -t ed25519 -N '' makes one");
        }
        let file = armor::read(private, LABEL).context("the private key cannot be read")?;
        let file = File::read(&file).context("the private key is damaged: a length or a mark in it does not fit")?;
        ensure!(file.keys == 1, "the private key's file holds {} keys; one alone can sign", file.keys);
        ensure!(
            file.kind == KIND,
            "the private key is of the type {:?}; only ssh-ed25519 can sign here: \
            ssh-keygen -t ed25519 -N '' makes one, and sign_command can use another",
            file.kind.chars().take(40).collect::<String>()
        );
        ensure!(
            file.cipher == b"none",
            "the private key has a passphrase, and nobody is there to type it; ssh-keygen -p -N '' -f KEY takes it off"
        );
        let (key, comment) =
            pair(&file).context("the private key is damaged: its parts do not fit together; take it from a backup")?;
        let plain = PublicKey::of(KIND, file.public.to_vec(), &comment).context("the private key is damaged")?;
        let public = match certificate {
            Some(line) => certified(line, &plain).context("the private key's certificate")?.or_called(&comment),
            None => plain,
        };
        Ok(SigningKey { key, public })
    }

    /// What others know it by: its certificate, or its public key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The armored signature of `message`; the same each time.
    pub fn sign(&self, message: &[u8]) -> String {
        let signature = self.key.sign(&sshsig::signed_data(message)).to_bytes();
        sshsig::armored(self.public.blob(), &wire::strings(&[KIND.as_bytes(), &signature]))
    }
}

impl fmt::Debug for SigningKey {
    /// Nothing that is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.public).finish()
    }
}

/// What a text is that is no OpenSSH private key, nor the beginning of one.
fn not_openssh(text: &str) -> Option<&'static str> {
    let text = text.trim();
    if text.is_empty() {
        Some("the private key is empty")
    } else if text.starts_with(BEGIN) || BEGIN.starts_with(text) {
        None
    } else if PublicKey::read(text).is_ok() {
        Some("this is a public key")
    } else if text.starts_with("-----BEGIN ") || text.starts_with("---- BEGIN ") || text.starts_with("PuTTY-") {
        Some("the private key is in the format of another program")
    } else {
        Some("this is not a private key")
    }
}

/// The outer part of a file, which nothing encrypts.
struct File<'b> {
    cipher: &'b [u8],
    keys: u32,
    kind: String,
    public: &'b [u8],
    secret: &'b [u8],
}

impl<'b> File<'b> {
    fn read(file: &'b [u8]) -> Option<File<'b>> {
        let mut file = Reader(file.strip_prefix(MAGIC)?);
        let cipher = file.string()?;
        let derivation = (file.string()?, file.string()?);
        let keys = file.u32()?;
        let public = file.string()?;
        let kind = Reader(public).text()?;
        if keys != 1 || kind != KIND || cipher != b"none" {
            // What follows has another form.
            return Some(File { cipher, keys, kind, public, secret: b"" });
        }
        let secret = file.string()?;
        file.end()?;
        (derivation == (b"none", b"")).then_some(File { cipher, keys, kind, public, secret })
    }
}

/// The key and its comment, if all that is said of it twice is the same.
fn pair(file: &File) -> Option<(ed25519_dalek::SigningKey, String)> {
    let mut secret = Reader(file.secret);
    let checks = (secret.u32()?, secret.u32()?);
    let kind = secret.string()?;
    let public = secret.string()?;
    let (seed, again) = secret.string()?.split_first_chunk()?;
    let comment = secret.text()?;
    let padded = file.secret.len().is_multiple_of(BLOCK) && secret.0.iter().copied().eq(1..=secret.0.len() as u8);
    let fits = checks.0 == checks.1
        && kind == KIND.as_bytes()
        && again == public
        && file.public == wire::strings(&[KIND.as_bytes(), public])
        && padded;
    let key = ed25519_dalek::SigningKey::from_bytes(fits.then_some(seed)?);
    (key.verifying_key().as_bytes() == public).then_some((key, comment))
}

/// The certificate in `line`, for the key `plain`.
fn certified(line: &str, plain: &PublicKey) -> Result<PublicKey> {
    let certificate = PublicKey::read(line)?;
    ensure!(
        certificate.is_certificate(),
        "it is a public key; a certificate belongs here, as ssh-keygen -s CA makes it"
    );
    ensure!(
        certificate.plain() == plain.plain(),
        "it is for the key {}, not for the one beside it, {}; let the CA make one for that, or, while the key is being changed, put that one there too",
        certificate.fingerprint(),
        plain.fingerprint()
    );
    Ok(certificate)
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn told(private: &str, certificate: Option<&str>) -> String {
        format!("{:#}", SigningKey::read(private, certificate).unwrap_err())
    }

    /// The sample key with other bytes.
    fn edited(edit: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut bytes = armor::read(samples::KEY, LABEL).unwrap();
        edit(&mut bytes);
        armor::write(&bytes, LABEL)
    }

    #[test]
    fn a_key_signs_what_ssh_keygen_signs_with_it() {
        let key = SigningKey::read(samples::KEY, None).unwrap();
        assert_eq!(key.public(), &PublicKey::read(samples::PUBLIC).unwrap());
        assert_eq!(key.sign(samples::MESSAGE), samples::SIGNATURE);
        assert_eq!(super::super::signed_by(samples::SIGNATURE).unwrap(), key.public().blob());
    }

    #[test]
    fn a_certificate_stands_in_the_signature_for_its_key() {
        let key = SigningKey::read(samples::KEY, Some(samples::CERTIFICATE)).unwrap();
        assert_eq!(key.public(), &PublicKey::read(samples::CERTIFICATE).unwrap());
        assert_eq!(key.sign(samples::MESSAGE), samples::CERTIFIED_SIGNATURE);
        assert_eq!(super::super::signed_by(samples::CERTIFIED_SIGNATURE).unwrap(), key.public().blob());
        // It needs no comment of its own.
        let bare = samples::CERTIFICATE.rsplit_once(' ').unwrap().0;
        assert_eq!(SigningKey::read(samples::KEY, Some(bare)).unwrap().public().comment(), "host-b@site-b");
    }

    #[test]
    fn what_cannot_sign_is_told_with_what_to_do() {
        let here = "an OpenSSH private key belongs here: ssh-keygen -t ed25519 -N '' makes one";
        for (text, begin) in [
            ("", "the private key is empty"),
            (" \n", "the private key is empty"),
            (samples::PUBLIC, "this is a public key"),
            (samples::CERTIFICATE, "this is a public key"),
            ("-----BEGIN PRIVATE KEY-----\nMC4=\n", "the private key is in the format of another program"),
            ("---- BEGIN SSH2 PUBLIC KEY ----\n", "the private key is in the format of another program"),
            ("PuTTY-User-Key-File-3: ssh-ed25519\n", "the private key is in the format of another program"),
            ("hunter2\n", "this is not a private key"),
        ] {
            assert_eq!(told(text, None), format!("{begin}; {here}"));
        }
        let others_type = edited(|bytes| bytes[47..58].copy_from_slice(b"ecdsa-sha2-"));
        assert_eq!(
            told(&others_type, None),
            "the private key is of the type \"ecdsa-sha2-\"; only ssh-ed25519 can sign here: \
            ssh-keygen -t ed25519 -N '' makes one, and sign_command can use another"
        );
        assert_eq!(
            told(&edited(|bytes| bytes[19..23].copy_from_slice(b"some")), None),
            "the private key has a passphrase, and nobody is there to type it; ssh-keygen -p -N '' -f KEY takes it off"
        );
        assert_eq!(
            told(&edited(|bytes| bytes[38] = 2), None),
            "the private key's file holds 2 keys; one alone can sign"
        );
        assert_eq!(
            told(&samples::KEY.repeat(2), None),
            "the private key cannot be read: it holds more than one; leave one of them in it"
        );
    }

    #[test]
    fn a_private_key_in_which_any_byte_but_of_its_comment_is_another_is_refused() {
        // The comment is the last; its length leaves nothing to be filled up.
        let comment = armor::read(samples::KEY, LABEL).unwrap().len() - "host-b@site-b".len();
        for at in 0..comment {
            let text = edited(|bytes| bytes[at] ^= 1);
            assert!(SigningKey::read(&text, None).is_err(), "{at}");
        }
    }

    #[test]
    fn what_fills_a_private_key_up_must_be_what_openssh_fills_it_up_with() {
        let length = armor::read(samples::KEY, LABEL).unwrap().len();
        let shorter = |filling: u8| {
            edited(|bytes| {
                bytes[length - "host-b@site-b".len() - 1] -= 1;
                bytes[length - 1] = filling;
            })
        };
        assert_eq!(SigningKey::read(&shorter(1), None).unwrap().public().comment(), "host-b@site-");
        let told = told(&shorter(2), None);
        assert_eq!(told, "the private key is damaged: its parts do not fit together; take it from a backup");
        // Filled up to the end, but to another length.
        let longer = edited(|bytes| {
            bytes.push(1);
            bytes[length - 144 - 1] += 1;
        });
        assert!(SigningKey::read(&longer, None).is_err());
    }

    #[test]
    fn a_certificate_must_be_one_and_for_this_key() {
        assert_eq!(
            told(samples::KEY, Some(samples::PUBLIC)),
            "the private key's certificate: it is a public key; a certificate belongs here, \
            as ssh-keygen -s CA makes it"
        );
        let blob = armor::decode(samples::CERTIFICATE.split(' ').nth(1).unwrap()).unwrap();
        let line = |blob: &[u8]| {
            let base64 = armor::write(blob, "").lines().filter(|line| !line.starts_with('-')).collect::<String>();
            format!("ssh-ed25519-cert-v01@openssh.com {base64}")
        };
        let changed = |at: usize| {
            let mut blob = blob.clone();
            blob[at] ^= 3;
            told(samples::KEY, Some(&line(&blob)))
        };
        assert!(SigningKey::read(samples::KEY, Some(&line(&blob))).is_ok());
        // The type, the nonce and the key, 32 bytes each behind a length, and the serial number of 8.
        let other = changed(36 + 36 + 4);
        assert!(other.starts_with("the private key's certificate: it is for the key SHA256:"), "{other}");
        assert!(other.contains(&format!("not for the one beside it, {}", samples::FINGERPRINT)), "{other}");
        let host = changed(36 + 36 + 36 + 8 + 3);
        assert!(host.starts_with("the private key's certificate: it is the certificate of a host"), "{host}");
    }

    #[test]
    fn nothing_secret_is_shown() {
        let key = SigningKey::read(samples::KEY, None).unwrap();
        let shown = format!("{key:?}");
        assert!(shown.starts_with("SigningKey(PublicKey {") && shown.contains("host-b@site-b"), "{shown}");
        let seed = format!("{:?}", key.key.as_bytes());
        assert!(!shown.contains(seed.trim_matches(['[', ']'])), "{shown}");
    }
}
