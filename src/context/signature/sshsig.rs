//! The form of a signature (PROTOCOL.sshsig): what is signed for a message, and the file that holds it.

use anyhow::{Context, Result, bail, ensure};
use ed25519_dalek::Signature;
use sha2::{Digest, Sha256, Sha512};

use super::public::PublicKey;
use super::wire::{self, Reader};
use super::{NAMESPACE, armor};

const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;
const LABEL: &str = "SSH SIGNATURE";
/// What we hash a message with; a program that signs for us may take sha512.
const HASH: &[u8] = b"sha256";

/// What a key signs for `message`.
pub(super) fn signed_data(message: &[u8]) -> Vec<u8> {
    let hash = Sha256::digest(message);
    [MAGIC, &wire::strings(&[NAMESPACE.as_bytes(), b"", HASH, &hash])].concat()
}

/// The file, of the blobs of a public key and of its signature over [`signed_data`].
pub(super) fn armored(public: &[u8], signature: &[u8]) -> String {
    let fields = wire::strings(&[public, NAMESPACE.as_bytes(), b"", HASH, signature]);
    armor::write(&[MAGIC, &VERSION.to_be_bytes(), &fields].concat(), LABEL)
}

/// The blob of the public key in a signature of ours: by whom it says it is. Whether that is true is not checked.
///
/// # Errors
/// When it is not the form of a signature, or is one for another purpose.
pub fn signed_by(armored: &str) -> Result<Vec<u8>> {
    let blob = armor::read(armored, LABEL).context("reading a signature")?;
    Ok(ours(&blob)?.public.to_vec())
}

/// A signature by the key that `public` is, over `message`, that a program has made, as we write it ourselves. That it is true
/// is checked of ed25519 keys; of others only their own program can tell.
///
/// # Errors
/// As of [`signed_by`]; when it is of another key, or of another message.
pub fn taken(armored: &str, public: &PublicKey, message: &[u8]) -> Result<String> {
    let blob = armor::read(armored, LABEL).context("reading a signature")?;
    let fields = ours(&blob)?;
    check_signer(fields.public, public)?;
    if let Some(key) = public.ed25519() {
        let is_true = signature_of(&fields).is_some_and(|signature| {
            let hash =
                if fields.hash == HASH { Sha256::digest(message).to_vec() } else { Sha512::digest(message).to_vec() };
            let signed = wire::strings(&[fields.namespace, fields.reserved, fields.hash, &hash]);
            key.verify_strict(&[MAGIC, &signed].concat(), &signature).is_ok()
        });
        ensure!(is_true, "it is not a signature of this disc");
    }
    Ok(armor::write(&blob, LABEL))
}

/// Checks that the blob in a signature is that of `public`, and says in what it differs.
fn check_signer(signed: &[u8], public: &PublicKey) -> Result<()> {
    if signed == public.blob() {
        return Ok(());
    }
    let by = Reader(signed).text().and_then(|kind| PublicKey::of(&kind, signed.to_vec(), ""));
    let by = by.context("it is a signature by another key")?;
    ensure!(by.plain() == public.plain(), "it is a signature by another key, {}", by.fingerprint());
    match (by.is_certificate(), public.is_certificate()) {
        (false, _) => bail!(
            "it is a signature by this key without its certificate: ssh-keygen -Y sign signs by the certificate if -f \
            names that, and if an agent has the key, the agent must hold the certificate too, which ssh-add KEY gives it \
            if KEY-cert.pub lies beside KEY"
        ),
        (true, true) => bail!("it is a signature by another certificate of this key"),
        (true, false) => bail!("it is a signature by a certificate of this key, not by the key itself"),
    }
}

fn signature_of(fields: &Fields) -> Option<Signature> {
    let mut reader = Reader(fields.signature);
    let _kind = reader.string()?;
    Signature::from_slice(reader.string()?).ok()
}

/// The fields of a signature for our purpose.
fn ours(blob: &[u8]) -> Result<Fields<'_>> {
    let fields = fields(blob).context("a signature is damaged: a length or a mark in it does not fit")?;
    ensure!(fields.version == VERSION, "a signature is of version {}; only {VERSION} is known", fields.version);
    let namespace = fields.namespace.escape_ascii();
    ensure!(fields.namespace == NAMESPACE.as_bytes(), "a signature is for \"{namespace}\", not for \"{NAMESPACE}\"");
    let hash = fields.hash.escape_ascii();
    ensure!([HASH, b"sha512"].contains(&fields.hash), "a signature is over \"{hash}\", not over sha256 or sha512");
    Ok(fields)
}

struct Fields<'b> {
    version: u32,
    public: &'b [u8],
    namespace: &'b [u8],
    reserved: &'b [u8],
    hash: &'b [u8],
    signature: &'b [u8],
}

/// Of another version nothing more than that is known.
fn fields(blob: &[u8]) -> Option<Fields<'_>> {
    let mut reader = Reader(blob.strip_prefix(MAGIC)?);
    let version = reader.u32()?;
    if version != VERSION {
        return Some(Fields { version, public: b"", namespace: b"", reserved: b"", hash: b"", signature: b"" });
    }
    let public = reader.string()?;
    let namespace = reader.string()?;
    let reserved = reader.string()?;
    let hash = reader.string()?;
    let whole = reader.string()?;
    let mut signature = Reader(whole);
    reader.end()?;
    // The type of each; a security key's signature goes on after its bytes.
    let (_, _, _) = (Reader(public).string()?, signature.string()?, signature.string()?);
    Some(Fields { version, public, namespace, reserved, hash, signature: whole })
}

#[cfg(test)]
mod tests {
    use super::super::{SigningKey, samples};
    use super::*;

    const PUBLIC: &[u8] = b"\0\0\0\x01k!";
    const SIGNATURE: &[u8] = b"\0\0\0\x01k\0\0\0\x01s\x01\0\0\0\x05";

    fn made(version: u32, namespace: &[u8], hash: &[u8], after: &[u8]) -> String {
        let fields = wire::strings(&[PUBLIC, namespace, b"", hash, SIGNATURE]);
        armor::write(&[MAGIC, &version.to_be_bytes(), &fields, after].concat(), LABEL)
    }

    #[test]
    fn a_signature_names_its_key() {
        assert_eq!(signed_by(&armored(PUBLIC, SIGNATURE)).unwrap(), PUBLIC);
        assert_eq!(signed_by(&made(1, NAMESPACE.as_bytes(), b"sha512", b"")).unwrap(), PUBLIC);
    }

    #[test]
    fn what_is_no_signature_of_ours_is_told() {
        let ours = NAMESPACE.as_bytes();
        for (text, told) in [
            (String::new(), "reading a signature: it does not begin with -----BEGIN SSH SIGNATURE-----"),
            (made(2, ours, HASH, b""), "a signature is of version 2; only 1 is known"),
            (made(1, b"gi\nt", HASH, b""), "a signature is for \"gi\\nt\", not for \"virt-recontext\""),
            (made(1, ours, b"md5", b""), "a signature is over \"md5\", not over sha256 or sha512"),
            (made(1, ours, HASH, b"x"), "a signature is damaged: a length or a mark in it does not fit"),
            (armored(b"", SIGNATURE), "a signature is damaged: a length or a mark in it does not fit"),
            (armored(PUBLIC, b""), "a signature is damaged: a length or a mark in it does not fit"),
        ] {
            assert_eq!(format!("{:#}", signed_by(&text).unwrap_err()), told);
        }
    }

    #[test]
    fn what_a_program_has_signed_is_taken_if_it_is_of_this_key_and_message_and_written_anew() {
        let key = SigningKey::read(samples::KEY, None).unwrap();
        let other = SigningKey::read(samples::KEY, Some(samples::CERTIFICATE)).unwrap();
        let signature = key.sign(b"sums");
        let taken = |text: &str, message: &[u8]| taken(text, key.public(), message).map_err(|error| error.to_string());
        assert_eq!(taken(&signature, b"sums"), Ok(signature.clone()));
        assert_eq!(taken(&format!("\n  {}\n\n", signature.replace('\n', "\r\n")), b"sums"), Ok(signature.clone()));
        assert_eq!(taken(&signature, b"others"), Err("it is not a signature of this disc".to_owned()));
        assert!(super::taken(&other.sign(b"sums"), other.public(), b"sums").is_ok());
    }

    #[test]
    fn a_signature_by_another_key_is_told_apart_from_one_by_the_key_with_or_without_a_certificate() {
        let plain = SigningKey::read(samples::KEY, None).unwrap();
        let certified = SigningKey::read(samples::KEY, Some(samples::CERTIFICATE)).unwrap();
        let told = |by: &SigningKey, public| taken(&by.sign(b"sums"), public, b"sums").unwrap_err().to_string();
        let without = told(&plain, certified.public());
        assert!(without.starts_with("it is a signature by this key without its certificate: "), "{without}");
        let with = told(&certified, plain.public());
        assert!(with.starts_with("it is a signature by a certificate of this key, "), "{with}");
        // Another nonce.
        let mut blob = certified.public().blob().to_vec();
        blob[40] ^= 1;
        let renewed = PublicKey::of("ssh-ed25519-cert-v01@openssh.com", blob, "").unwrap();
        let renewed = told(&certified, &renewed);
        assert_eq!(renewed, "it is a signature by another certificate of this key");
        let mut blob = plain.public().blob().to_vec();
        blob[40] ^= 1;
        let other = told(&plain, &PublicKey::of("ssh-ed25519", blob, "").unwrap());
        assert_eq!(other, format!("it is a signature by another key, {}", samples::FINGERPRINT));
        let unknown = taken(&armored(PUBLIC, SIGNATURE), plain.public(), b"sums").unwrap_err().to_string();
        assert_eq!(unknown, "it is a signature by another key");
    }

    #[test]
    fn a_signature_of_which_a_byte_is_missing_is_none() {
        let whole = armor::read(&armored(PUBLIC, SIGNATURE), LABEL).unwrap();
        // A security key's signature ends with five bytes that are not looked at.
        for length in 0..whole.len() {
            assert!(signed_by(&armor::write(&whole[..length], LABEL)).is_err(), "{length}");
        }
    }
}
