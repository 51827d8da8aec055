//! Keys, certificates and signatures that are cut off or changed, and noise: no panic, and the same key or none.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use virt_recontext::context::signature::{NAMESPACE, PublicKey, SigningKey, signed_by};

use super::keys::Keys;

/// The bytes in an armored text, and the text of such bytes.
fn opened(text: &str) -> Vec<u8> {
    STANDARD.decode(text.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap()
}

fn closed(bytes: &[u8]) -> String {
    format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n", STANDARD.encode(bytes))
}

#[test]
fn a_key_that_is_cut_off_anywhere_is_refused() {
    let keys = Keys::with_key();
    let text = keys.text("key");
    for length in 0..text.len() - 1 {
        let told = format!("{:#}", SigningKey::read(&text[..length], None).expect_err(&text[..length]));
        let expected = match length {
            0 => "the private key is empty; an OpenSSH private key belongs here",
            1..35 => "the private key cannot be read: it does not begin with -----BEGIN OPENSSH PRIVATE KEY-----",
            _ => "the private key cannot be read: it is cut off: -----END OPENSSH PRIVATE KEY----- is missing",
        };
        assert!(told.starts_with(expected), "{length}: {told}");
    }
    let bytes = opened(&text);
    assert!(SigningKey::read(&closed(&bytes), None).is_ok());
    for length in 0..bytes.len() {
        let told = SigningKey::read(&closed(&bytes[..length]), None).unwrap_err().to_string();
        assert!(told.starts_with("the private key is damaged"), "{length}: {told}");
    }
}

#[test]
fn a_certificate_and_a_public_key_that_are_cut_off_anywhere_are_refused() {
    let keys = Keys::with_certificate();
    for name in ["key.pub", "key-cert.pub"] {
        let line = keys.text(name);
        let comment = line.rfind(' ').unwrap();
        for length in 0..line.len() {
            assert_eq!(PublicKey::read(&line[..length]).is_ok(), length >= comment, "{name}: {length}");
        }
    }
}

/// A text of which pieces are removed, repeated or replaced by others, or noise.
fn spoiled(text: String) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[A-Za-z0-9+/=]{0,8}",
        2 => "\\PC{0,4}",
        1 => Just("-----BEGIN OPENSSH PRIVATE KEY-----\n".to_owned()),
        1 => Just("\n-----END SSH SIGNATURE-----".to_owned()),
    ];
    let change = (any::<prop::sample::Index>(), 0..40_usize, piece);
    let changed = proptest::collection::vec(change, 1..4).prop_map(move |changes| {
        changes.into_iter().fold(text.clone(), |text, (at, length, piece)| {
            let text: Vec<char> = text.chars().collect();
            let at = at.index(text.len() + 1);
            let end = (at + length).min(text.len());
            text[..at].iter().copied().chain(piece.chars()).chain(text[end..].iter().copied()).collect()
        })
    });
    prop_oneof![9 => changed, 1 => "\\PC{0,200}"]
}

/// The bytes of a text with some of them changed, which base64 alone would seldom let through.
fn flipped(bytes: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4).prop_map(move |changes| {
        let mut bytes = bytes.clone();
        changes.into_iter().for_each(|(at, byte)| *at.get_mut(&mut bytes) = byte);
        bytes
    })
}

/// Properties of one key, its certificate and their signature, for random changes.
fn holds<T: std::fmt::Debug>(cases: u32, strategy: impl Strategy<Value = T>, property: impl Fn(T)) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let outcome = runner.run(&strategy, |value| {
        property(value);
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn a_private_key_that_is_changed_is_the_same_key_or_none() {
    let keys = Keys::with_certificate();
    let (text, certificate) = (keys.text("key"), keys.text("key-cert.pub"));
    let same = SigningKey::read(&text, None).unwrap().public().fingerprint();
    let property = |private: &str| {
        for certificate in [None, Some(&certificate[..])] {
            let key = SigningKey::read(private, certificate);
            assert!(key.is_err() || key.is_ok_and(|key| key.public().fingerprint() == same));
        }
    };
    holds(400, spoiled(text.clone()), |text| property(&text));
    holds(400, flipped(opened(&text)), |bytes| property(&closed(&bytes)));
}

#[test]
fn a_certificate_that_is_changed_is_for_the_same_key_or_none() {
    let keys = Keys::with_certificate();
    let (private, line) = (keys.text("key"), keys.text("key-cert.pub"));
    let same = PublicKey::read(&line).unwrap().fingerprint();
    let property = |line: &str| {
        // Most are refused as what they are; reading a private key for the others would take longer than all the rest.
        if PublicKey::read(line).is_ok_and(|key| key.fingerprint() != same) {
            assert!(SigningKey::read(&private, Some(line)).is_err());
        }
    };
    let blob = STANDARD.decode(line.split(' ').nth(1).unwrap()).unwrap();
    holds(400, spoiled(line), |line| property(&line));
    holds(400, flipped(blob), |blob| {
        property(&format!("ssh-ed25519-cert-v01@openssh.com {} x", STANDARD.encode(blob)));
    });
}

#[test]
fn a_signature_that_is_changed_names_a_key_or_is_none() {
    let keys = Keys::with_certificate();
    let signature = keys.signed("key-cert.pub", NAMESPACE, b"the sums", &[]);
    let bytes = opened(&signature);
    let property = |text: &str| assert!(signed_by(text).is_err() || signed_by(text).is_ok_and(|key| !key.is_empty()));
    holds(400, spoiled(signature), |text| property(&text));
    holds(400, flipped(bytes), |bytes| {
        property(&closed(&bytes).replace("OPENSSH PRIVATE KEY", "SSH SIGNATURE"));
    });
}
