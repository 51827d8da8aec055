//! What cannot sign: each fault has its own sentence.

use std::process::Command;

use virt_recontext::context::signature::{NAMESPACE, PublicKey, SigningKey};

use crate::reader::run;

use super::keys::Keys;

fn told(private: &str, certificate: Option<&str>) -> String {
    format!("{:#}", SigningKey::read(private, certificate).expect_err(private))
}

#[test]
fn a_key_of_another_type_is_refused() {
    let keys = Keys::new();
    for (name, kind, bits, inside) in
        [("rsa", "rsa", "2048", "ssh-rsa"), ("ecdsa", "ecdsa", "521", "ecdsa-sha2-nistp521")]
    {
        keys.make(name, kind, &["-b", bits]);
        let begin = format!("the private key is of the type \"{inside}\"; only ssh-ed25519 can sign here");
        let told_plain = told(&keys.text(name), None);
        assert!(told_plain.starts_with(&begin), "{told_plain}");
        // Its passphrase is the smaller fault.
        keys.keygen(&["-q", "-p", "-N", "secret", "-f", name]);
        assert_eq!(told(&keys.text(name), None), told_plain);
    }
}

#[test]
fn a_key_with_a_passphrase_is_refused_and_the_command_that_is_named_takes_it_off() {
    let keys = Keys::with_key();
    for cipher in ["aes256-ctr", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"] {
        keys.keygen(&["-q", "-p", "-N", "secret", "-Z", cipher, "-f", "key"]);
        assert_eq!(
            told(&keys.text("key"), None),
            "the private key has a passphrase, and nobody is there to type it; ssh-keygen -p -N '' -f KEY takes it off"
        );
        keys.keygen(&["-q", "-p", "-P", "secret", "-N", "", "-f", "key"]);
        assert!(SigningKey::read(&keys.text("key"), None).is_ok());
    }
}

#[test]
fn a_key_in_another_programs_format_is_refused() {
    let keys = Keys::with_key();
    keys.make("pem", "rsa", &["-b", "2048", "-m", "PEM"]);
    keys.make("pkcs8", "ecdsa", &["-m", "PKCS8"]);
    let openssl = run(Command::new("openssl").args(["genpkey", "-algorithm", "ed25519"]), "openssl");
    let rfc4716 = keys.keygen(&["-e", "-m", "RFC4716", "-f", "key.pub"]);
    for text in [keys.text("pem"), keys.text("pkcs8"), String::from_utf8(openssl).unwrap(), rfc4716] {
        assert_eq!(
            told(&text, None),
            "the private key is in the format of another program; an OpenSSH private key belongs here: \
            ssh-keygen -t ed25519 -N '' makes one"
        );
    }
}

#[test]
fn a_file_in_anothers_place_is_refused() {
    let keys = Keys::with_certificate();
    for name in ["key.pub", "key-cert.pub"] {
        let told = told(&keys.text(name), None);
        assert!(told.starts_with("this is a public key; an OpenSSH private key belongs here"), "{told}");
    }
    let private = told(&keys.text("key"), Some(&keys.text("key")));
    assert!(private.starts_with("the private key's certificate: it is a private key"), "{private}");
    let public = told(&keys.text("key"), Some(&keys.text("key.pub")));
    assert!(public.starts_with("the private key's certificate: it is a public key"), "{public}");
    let public = PublicKey::read(&keys.text("key")).unwrap_err().to_string();
    assert!(public.starts_with("it is a private key; the public one belongs here"), "{public}");
}

#[test]
fn a_certificate_for_another_key_is_refused_and_both_are_named() {
    let keys = Keys::with_certificate();
    keys.make("other", "ed25519", &[]);
    let (certificate, own) = (keys.text("key-cert.pub"), PublicKey::read(&keys.text("other.pub")).unwrap());
    assert_eq!(
        told(&keys.text("other"), Some(&certificate)),
        format!(
            "the private key's certificate: it is for the key {}, not for the one beside it, {}; \
            let the CA make one for that, or, while the key is being changed, put that one there too",
            PublicKey::read(&certificate).unwrap().fingerprint(),
            own.fingerprint()
        )
    );
}

#[test]
fn a_hosts_certificate_is_refused() {
    let keys = Keys::with_certificate();
    keys.certify("ca", "key", &["-h", "-n", "host-b.site-b"]);
    let begin = "it is the certificate of a host, and ssh-keygen checks signatures by those of users alone";
    let certificate = keys.text("key-cert.pub");
    assert!(PublicKey::read(&certificate).unwrap_err().to_string().starts_with(begin));
    let told = told(&keys.text("key"), Some(&certificate));
    assert!(told.starts_with(&format!("the private key's certificate: {begin}")), "{told}");
}

#[test]
fn a_certificate_by_which_no_guest_would_take_a_signature_is_refused() {
    let keys = Keys::with_certificate();
    let taken = |signer: &str| {
        let signature = keys.signed("key-cert.pub", NAMESPACE, b"the sums", &[]);
        let allowed = format!("* cert-authority,namespaces=\"{NAMESPACE}\" {}", keys.text("ca.pub"));
        keys.verified(&allowed, signer, b"the sums", &signature)
    };
    assert!(taken("second") && PublicKey::read(&keys.text("key-cert.pub")).is_ok());
    keys.certify("ca", "key", &["-h", "-n", "second"]);
    assert!(!taken("second") && PublicKey::read(&keys.text("key-cert.pub")).is_err());
    keys.certify("ca", "key", &[]);
    let nameless = PublicKey::read(&keys.text("key-cert.pub")).unwrap_err().to_string();
    assert!(!taken("second") && nameless.starts_with("it is a certificate without names (principals)"), "{nameless}");
}
