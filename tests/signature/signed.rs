//! What signs, and what others make of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use virt_recontext::context::signature::{NAMESPACE, PublicKey, SigningKey, Validity, signed_by};

use super::keys::Keys;

/// Random messages; the same in each run.
fn each_message(cases: u32, mut test: impl FnMut(Vec<u8>)) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[0; 32]));
    let test = std::cell::RefCell::new(&mut test);
    let outcome = runner.run(&proptest::collection::vec(any::<u8>(), 0..3000), |message| {
        test.borrow_mut()(message);
        Ok(())
    });
    outcome.unwrap();
}

/// The line of a guest's allowed_signers for a public key.
fn allowed(who: &str, options: &str, public: &str) -> String {
    format!("{who} {options}namespaces=\"{NAMESPACE}\" {public}")
}

#[test]
fn a_key_signs_as_ssh_keygen_does_and_a_guest_that_knows_it_sees_that() {
    let keys = Keys::with_key();
    let key = SigningKey::read(&keys.text("key"), None).unwrap();
    let (here, elsewhere) =
        (allowed("site-c", "", &keys.text("key.pub")), allowed("site-d", "", &keys.text("key.pub")));
    each_message(12, |mut message| {
        let signature = key.sign(&message);
        assert_eq!(signature, keys.signed("key", NAMESPACE, &message, &["-O", "hashalg=sha256"]));
        assert!(keys.verified(&here, "site-c", &message, &signature));
        message.push(0);
        assert!(!keys.verified(&here, "site-c", &message, &signature));
        message.pop();
        assert!(!keys.verified(&elsewhere, "site-c", &message, &signature));
    });
}

#[test]
fn a_certificate_signs_as_ssh_keygen_does_and_a_guest_that_knows_the_ca_sees_that() {
    for (kind, bits) in [("ed25519", "256"), ("ecdsa", "384"), ("rsa", "2048")] {
        let keys = Keys::with_key();
        keys.make("ca", kind, &["-b", bits]);
        keys.certify("ca", "key", &["-n", "host-b.site-b,second"]);
        let key = SigningKey::read(&keys.text("key"), Some(&keys.text("key-cert.pub"))).unwrap();
        let ca = allowed("*.site-b", "cert-authority,", &keys.text("ca.pub"));
        each_message(4, |mut message| {
            let signature = key.sign(&message);
            assert_eq!(signature, keys.signed("key-cert.pub", NAMESPACE, &message, &["-O", "hashalg=sha256"]));
            assert!(keys.verified(&ca, "host-b.site-b", &message, &signature));
            assert!(!keys.verified(&ca, "host-a.site-b", &message, &signature), "the certificate does not list it");
            message.push(0);
            assert!(!keys.verified(&ca, "host-b.site-b", &message, &signature));
        });
    }
}

#[test]
fn what_is_told_of_a_certificate_is_what_is_in_it() {
    let keys = Keys::with_certificate();
    let read = |more: &[&str]| {
        keys.certify("ca", "key", more);
        SigningKey::read(&keys.text("key"), Some(&keys.text("key-cert.pub"))).unwrap().public().clone()
    };
    let year = read(&["-n", "host-b.site-b,second", "-V", "20260101000000:20270101000000"]);
    assert_eq!(year.validity(), Some(Validity { after: 1_767_225_600, before: Some(1_798_761_600) }));
    assert_eq!(
        (year.principal(), year.principals()),
        (Some("host-b.site-b"), &["host-b.site-b", "second"].map(String::from)[..])
    );
    assert_eq!((year.kind(), year.comment()), ("ssh-ed25519-cert-v01@openssh.com", "site-c"));
    let ever = read(&["-n", "x", "-V", "always:forever", "-O", "force-command=true"]);
    assert_eq!(ever.validity(), Some(Validity { after: 0, before: None }));
    assert_eq!((ever.principal(), ever.is_certificate()), (Some("x"), true));
}

/// Keys of each type that OpenSSH signs with. A security key's is made of another key, without one.
fn of_each_type() -> Keys {
    let keys = Keys::with_key();
    keys.make("ca", "ed25519", &[]);
    for (name, kind, bits) in
        [("rsa", "rsa", "2048"), ("p256", "ecdsa", "256"), ("p384", "ecdsa", "384"), ("p521", "ecdsa", "521")]
    {
        keys.make(name, kind, &["-b", bits, "-C", "two words"]);
    }
    for (name, from, kind) in
        [("sk", "key", "sk-ssh-ed25519@openssh.com"), ("sk-p256", "p256", "sk-ecdsa-sha2-nistp256@openssh.com")]
    {
        let line = keys.text(&format!("{from}.pub"));
        let blob = STANDARD.decode(line.split(' ').nth(1).unwrap()).unwrap();
        let begin = 4 + line.split(' ').next().unwrap().len();
        let length = |text: &str| (text.len() as u32).to_be_bytes();
        let blob = [&length(kind)[..], kind.as_bytes(), &blob[begin..], &length("ssh:"), b"ssh:"].concat();
        keys.write(&format!("{name}.pub"), format!("{kind} {} token\n", STANDARD.encode(blob)));
    }
    keys
}

#[test]
fn a_key_of_any_type_and_a_certificate_for_it_are_known_by_their_fingerprint() {
    let keys = of_each_type();
    for name in ["key", "rsa", "p256", "p384", "p521", "sk", "sk-p256"] {
        keys.certify("ca", name, &["-n", name]);
        for (file, is_certificate) in [(format!("{name}.pub"), false), (format!("{name}-cert.pub"), true)] {
            let line = keys.text(&file);
            let key = PublicKey::read(&line).unwrap_or_else(|error| panic!("{file}: {error:#}"));
            // 256 SHA256:… comment (ED25519)
            let listed = keys.keygen(&["-l", "-f", &file]);
            assert_eq!(listed.split(' ').nth(1), Some(&key.fingerprint()[..]), "{file}");
            assert_eq!(line.trim_end(), format!("{} {} {}", key.kind(), STANDARD.encode(key.blob()), key.comment()));
            assert_eq!(key.is_certificate(), is_certificate, "{file}");
            assert_eq!(key.principal(), is_certificate.then_some(name), "{file}");
        }
    }
}

#[test]
fn what_another_program_signed_names_its_key() {
    let keys = of_each_type();
    for (name, hash) in
        [("key", "sha512"), ("rsa", "sha256"), ("p256", "sha512"), ("p384", "sha256"), ("p521", "sha512")]
    {
        keys.certify("ca", name, &["-n", name]);
        let option = format!("hashalg={hash}");
        for file in [name.to_owned(), format!("{name}-cert.pub")] {
            let public = if file == name { format!("{name}.pub") } else { file.clone() };
            let signature = keys.signed(&file, NAMESPACE, b"the sums", &["-O", &option]);
            let key = PublicKey::read(&keys.text(&public)).unwrap();
            assert_eq!(signed_by(&signature).unwrap(), key.blob(), "{file}");
        }
    }
    let other = signed_by(&keys.signed("key", "file", b"the sums", &[])).unwrap_err().to_string();
    assert_eq!(other, "a signature is for \"file\", not for \"virt-recontext\"");
}
