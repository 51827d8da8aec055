//! A public key or a certificate for one, as it stands in a file that ends in `.pub`.

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};

use super::armor;
use super::wire::{self, Reader};

/// The types of keys that OpenSSH signs with, and how many fields follow the type in a key's blob.
const KINDS: [(&str, usize); 7] = [
    ("ssh-ed25519", 1),
    ("ecdsa-sha2-nistp256", 2),
    ("ecdsa-sha2-nistp384", 2),
    ("ecdsa-sha2-nistp521", 2),
    ("ssh-rsa", 2),
    ("sk-ssh-ed25519@openssh.com", 2),
    ("sk-ecdsa-sha2-nistp256@openssh.com", 3),
];

/// What the type of a certificate has behind its key's type, without the domain of the latter.
const CERTIFICATE: &str = "-cert-v01@openssh.com";

/// The number in a certificate that says that it is a user's, not a host's.
const USER: u32 = 1;

/// Most names in a certificate: OpenSSH takes no more.
const MOST_PRINCIPALS: usize = 256;

/// A public key, or a certificate for it, with what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    kind: String,
    blob: Vec<u8>,
    /// The blob of the key alone; the same for a key without a certificate.
    plain: Vec<u8>,
    comment: String,
    certificate: Option<Certificate>,
}

/// What a certificate says of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Certificate {
    usage: u32,
    principals: Vec<String>,
    validity: Validity,
}

/// When a certificate is valid, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub after: u64,
    /// The first second in which it is not valid any more; `None` is for ever.
    pub before: Option<u64>,
}

impl PublicKey {
    /// Reads the line of a `.pub` or `-cert.pub` file: a key of any type that OpenSSH signs with, or its certificate.
    ///
    /// # Errors
    /// When it is none of these or is damaged, and when it is a host's certificate or one without names: no guest takes
    /// a signature by these.
    pub fn read(line: &str) -> Result<PublicKey> {
        let line = line.trim();
        let mut words = line.splitn(3, [' ', '\t']);
        let (kind, base64, comment) =
            (words.next().unwrap_or_default(), words.next(), words.next().unwrap_or_default());
        if kind == "-----BEGIN" && line.contains("PRIVATE KEY") {
            bail!("it is a private key; the public one belongs here, which ssh-keygen -y -f KEY prints");
        }
        ensure!(!line.contains('\n'), "it holds more than one line; leave one key in it");
        ensure!(
            known(kind).is_some(),
            "{:?} is not the type of a key that OpenSSH signs with; the line of a .pub file belongs here",
            kind.chars().take(40).collect::<String>()
        );
        let base64 = base64.with_context(|| format!("it is cut off: nothing follows {kind}"))?;
        PublicKey::of(kind, armor::decode(base64)?, comment.trim())
            .with_context(|| format!("it is damaged: what follows {kind} is not such a key"))?
            .that_guests_take()
    }

    /// That of a blob, which must be of this kind.
    pub(super) fn of(kind: &str, blob: Vec<u8>, comment: &str) -> Option<PublicKey> {
        let (plain, fields) = known(kind)?;
        let mut reader = Reader(&blob);
        if reader.string()? != kind.as_bytes() {
            return None;
        }
        let is_certificate = kind != plain;
        if is_certificate {
            let _nonce = reader.string()?;
        }
        let plain = key(&mut reader, plain, fields)?;
        let certificate = if is_certificate { Some(certificate(&mut reader)?) } else { None };
        reader.end()?;
        Some(PublicKey { kind: kind.to_owned(), plain, comment: comment.to_owned(), certificate, blob })
    }

    fn that_guests_take(self) -> Result<PublicKey> {
        let Some(certificate) = &self.certificate else { return Ok(self) };
        ensure!(
            certificate.usage == USER,
            "it is the certificate of a host, and ssh-keygen checks signatures by those of users alone; let the CA \
            make one without -h: ssh-keygen -s CA -I NAME -n NAME KEY.pub"
        );
        ensure!(
            !certificate.principals.is_empty(),
            "it is a certificate without names (principals), which ssh-keygen takes for nobody's; let the CA make one \
            with names: ssh-keygen -s CA -I NAME -n NAME KEY.pub"
        );
        Ok(self)
    }

    /// The same, called `comment` where it is not called anything.
    pub(super) fn or_called(self, comment: &str) -> PublicKey {
        if self.comment.is_empty() { PublicKey { comment: comment.to_owned(), ..self } } else { self }
    }

    /// The key without a certificate, in bytes.
    pub(super) fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// The bytes that stand for it in a signature; a certificate's if it is one.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// What follows the key in its line; may be empty.
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// The first name of a certificate; a key without one has none.
    pub fn principal(&self) -> Option<&str> {
        self.principals().first().map(String::as_str)
    }

    /// All names of a certificate.
    pub fn principals(&self) -> &[String] {
        self.certificate.as_ref().map_or(&[], |certificate| &certificate.principals)
    }

    /// When a certificate is valid; `None` for a key without one.
    pub fn validity(&self) -> Option<Validity> {
        self.certificate.as_ref().map(|certificate| certificate.validity)
    }

    /// Whether it is a certificate, not a key alone.
    pub fn is_certificate(&self) -> bool {
        self.certificate.is_some()
    }

    /// Its type as it stands in the file, such as `ssh-ed25519`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Whether it is told here what it has signed; of other types than ed25519 only their own programs tell.
    pub fn can_be_verified(&self) -> bool {
        self.ed25519().is_some()
    }

    pub(super) fn ed25519(&self) -> Option<VerifyingKey> {
        let mut reader = Reader(&self.plain);
        let is_one = reader.text()? == "ssh-ed25519";
        VerifyingKey::from_bytes(reader.string().filter(|_| is_one)?.try_into().ok()?).ok()
    }

    /// The fingerprint of the key, as `ssh-keygen -l` prints it; a certificate has its key's.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&self.plain)))
    }
}

/// The type of the key alone and its fields, for the type of a key or of a certificate for one.
fn known(kind: &str) -> Option<(&'static str, usize)> {
    let certified = kind.strip_suffix(CERTIFICATE);
    KINDS.into_iter().find(|(plain, _)| match certified {
        // A security key's type has its domain behind all.
        Some(begin) => begin == plain.strip_suffix("@openssh.com").unwrap_or(plain),
        None => kind == *plain,
    })
}

/// The blob of the key alone, of which so many `fields` are next.
fn key(reader: &mut Reader, kind: &str, fields: usize) -> Option<Vec<u8>> {
    let fields = reader.span(|reader| (0..fields).try_for_each(|_| reader.string().map(drop)))?;
    // What else can be wrong with a key is found by whoever uses it.
    let fits = !kind.contains("ssh-ed25519") || Reader(fields).string()?.len() == ed25519_dalek::PUBLIC_KEY_LENGTH;
    fits.then(|| [&wire::strings(&[kind.as_bytes()]), fields].concat())
}

/// What follows the key in a certificate. The CA's signature is not checked.
fn certificate(reader: &mut Reader) -> Option<Certificate> {
    let _serial = reader.u64()?;
    let usage = reader.u32()?;
    let _key_id = reader.string()?;
    let mut names = Reader(reader.string()?);
    let (after, before) = (reader.u64()?, reader.u64()?);
    // Critical options, extensions, what is reserved, the CA's key and its signature.
    for _ in 0..5 {
        reader.string()?;
    }
    let mut principals = Vec::new();
    while names.end().is_none() {
        principals.push(names.text()?);
        if principals.len() > MOST_PRINCIPALS {
            return None;
        }
    }
    let validity = Validity { after, before: (before != u64::MAX).then_some(before) };
    Some(Certificate { usage, principals, validity })
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_key_is_told_as_its_file_has_it() {
        let key = PublicKey::read(samples::PUBLIC).unwrap();
        assert_eq!((key.kind(), key.comment(), key.is_certificate()), ("ssh-ed25519", "host-b@site-b", false));
        assert_eq!((key.principal(), key.principals(), key.validity()), (None, &[][..], None));
        assert_eq!((key.blob(), key.fingerprint()), (key.plain(), samples::FINGERPRINT.to_owned()));
        assert_eq!(PublicKey::read(&format!("\n{}\r\n", samples::PUBLIC)).unwrap(), key);
    }

    #[test]
    fn a_certificate_is_told_as_its_file_has_it() {
        let certificate = PublicKey::read(samples::CERTIFICATE).unwrap();
        assert_eq!(certificate.kind(), "ssh-ed25519-cert-v01@openssh.com");
        assert_eq!((certificate.comment(), certificate.is_certificate()), ("host-b@site-b", true));
        assert_eq!((certificate.principal(), certificate.principals().len()), (Some("host-b.site-b"), 2));
        let validity = Validity { after: 1_767_225_600, before: Some(1_798_761_600) };
        assert_eq!(
            (certificate.validity(), certificate.fingerprint()),
            (Some(validity), samples::FINGERPRINT.to_owned())
        );
        assert!(certificate.blob().len() > 400 && certificate.plain().len() == 51);
    }

    #[test]
    fn a_type_is_known_with_its_certificate() {
        for (kind, fields) in KINDS {
            assert_eq!(known(kind), Some((kind, fields)));
            let begin = kind.split('@').next().unwrap();
            assert_eq!(known(&format!("{begin}{CERTIFICATE}")), Some((kind, fields)));
        }
        for kind in ["", "ssh-dss", "ssh-ed25519@openssh.com", "sk-ssh-ed25519@openssh.com-cert-v01@openssh.com"] {
            assert_eq!(known(kind), None, "{kind}");
        }
    }

    #[test]
    fn what_is_no_public_key_is_told() {
        let two = format!("{}\n{}", samples::PUBLIC, samples::PUBLIC);
        let lied = samples::PUBLIC.replace("ssh-ed25519", "ssh-rsa");
        let (begin, comment) = samples::PUBLIC.rsplit_once(' ').unwrap();
        let short = format!("{} {comment}", &begin[..begin.len() - 4]);
        for (line, begin) in [
            ("", "\"\" is not the type of a key"),
            ("ssh-dss AAAA", "\"ssh-dss\" is not the type of a key"),
            (samples::KEY, "it is a private key; the public one belongs here"),
            (&two, "it holds more than one line"),
            ("ssh-ed25519", "it is cut off: nothing follows ssh-ed25519"),
            ("ssh-ed25519 A*", "it is damaged: there is something in it that is no base64"),
            ("ssh-ed25519 AAAA", "it is damaged: what follows ssh-ed25519 is not such a key"),
            (&lied, "it is damaged: what follows ssh-rsa is not such a key"),
            (&short, "it is damaged: what follows ssh-ed25519 is not such a key"),
        ] {
            let told = PublicKey::read(line).unwrap_err().to_string();
            assert!(told.starts_with(begin), "{told}");
        }
    }

    #[test]
    fn a_certificate_has_no_more_names_than_openssh_reads() {
        let certificate = |names: usize| {
            let kind = b"ssh-ed25519-cert-v01@openssh.com";
            let names = wire::strings(&vec![&b"name"[..]; names]);
            let begin = wire::strings(&[kind, b"nonce", &[7; 32]]);
            let middle = [&[0; 8][..], &USER.to_be_bytes(), &wire::strings(&[b"id", &names])].concat();
            let end = [&[0; 8][..], &[0xff; 8], &wire::strings(&[b"", b"", b"", b"ca", b"signature"])].concat();
            PublicKey::of("ssh-ed25519-cert-v01@openssh.com", [begin, middle, end].concat(), "")
        };
        assert_eq!(certificate(MOST_PRINCIPALS).unwrap().principals().len(), MOST_PRINCIPALS);
        assert_eq!(certificate(MOST_PRINCIPALS + 1), None);
        assert_eq!(certificate(1).unwrap().validity(), Some(Validity { after: 0, before: None }));
        let nobodys = certificate(0).unwrap().that_guests_take().unwrap_err().to_string();
        assert!(nobodys.starts_with("it is a certificate without names (principals)"), "{nobodys}");
    }
}
