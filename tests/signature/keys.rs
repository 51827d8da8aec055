//! Keys and certificates as ssh-keygen makes them, in a directory of their own, and what it thinks of a signature.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A directory for keys; each file is called by its name in it.
pub struct Keys(TempDir);

impl Keys {
    pub fn new() -> Keys {
        Keys(TempDir::new().unwrap())
    }

    /// With an ed25519 key, `key`.
    pub fn with_key() -> Keys {
        let keys = Keys::new();
        keys.make("key", "ed25519", &["-C", "site-c"]);
        keys
    }

    /// With a key as well that signs certificates, `ca`, and one of its certificates for `key`.
    pub fn with_certificate() -> Keys {
        let keys = Keys::with_key();
        keys.make("ca", "ed25519", &[]);
        keys.certify("ca", "key", &["-n", "host-b.site-b,second"]);
        keys
    }

    pub fn make(&self, name: &str, kind: &str, more: &[&str]) {
        self.keygen(&[&["-q", "-N", "", "-f", name, "-t", kind], more].concat());
    }

    pub fn certify(&self, ca: &str, name: &str, more: &[&str]) {
        let public = format!("{name}.pub");
        self.keygen(&[&["-q", "-s", ca, "-I", "id"], more, &[&public]].concat());
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), text).unwrap();
    }

    /// What ssh-keygen prints; it must go well.
    pub fn keygen(&self, args: &[&str]) -> String {
        let output = self.try_keygen(args, b"");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ssh-keygen {args:?}: {}\n{said}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    fn try_keygen(&self, args: &[&str], stdin: &[u8]) -> Output {
        let mut command = Command::new("ssh-keygen");
        command
            .args(args)
            .current_dir(self.path())
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .env_remove("SSH_AUTH_SOCK");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("ssh-keygen: {error}; run tests/packages first"));
        // One that refuses its arguments reads nothing.
        let _ignored = child.stdin.take().unwrap().write_all(stdin);
        child.wait_with_output().unwrap()
    }

    /// The signature that ssh-keygen makes with the key of this file, or of a certificate's file and the key beside it.
    pub fn signed(&self, name: &str, namespace: &str, message: &[u8], more: &[&str]) -> String {
        let output = self.try_keygen(&[&["-Y", "sign", "-f", name, "-n", namespace], more].concat(), message);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Whether a guest takes `message` for that of `signer`, whose keys `allowed` tells.
    pub fn verified(&self, allowed: &str, signer: &str, message: &[u8], signature: &str) -> bool {
        self.write("allowed_signers", allowed);
        self.write("signature", signature);
        let args = ["-Y", "verify", "-f", "allowed_signers", "-I", signer, "-n", "virt-recontext", "-s", "signature"];
        self.try_keygen(&args, message).status.success()
    }
}
