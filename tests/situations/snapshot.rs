//! All files of a host at one moment, and what changed between two moments, for a reader.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use super::difference::visible;
use super::normal::Normal;

/// One file or directory.
#[derive(Clone)]
struct Entry {
    directory: bool,
    identity: (u64, u64),
    /// When its content was written, in nanoseconds since 1970.
    written: i64,
    /// Permission bits, owner and group.
    access: (u32, u32, u32),
    /// Empty for what is no regular file.
    bytes: Vec<u8>,
}

impl Entry {
    /// Whether nothing that a reader could see has changed.
    fn is_same(&self, other: &Entry) -> bool {
        (self.directory, self.identity, self.access, &self.bytes)
            == (other.directory, other.identity, other.access, &other.bytes)
    }
}

/// All files of a host.
pub struct Snapshot {
    entries: BTreeMap<String, Entry>,
}

impl Snapshot {
    /// What is there now. The log's socket is ours, not the program's.
    pub fn of(root: &Path) -> Snapshot {
        let mut entries = BTreeMap::new();
        collect(root, "", &mut entries);
        entries.remove("dev/log");
        Snapshot { entries }
    }

    /// What changed since `before`, a line for each file, and its content indented below it.
    pub fn changes_since(&self, before: &Snapshot, normal: &mut Normal) -> Vec<String> {
        let mut lines = Vec::new();
        for (path, old) in &before.entries {
            if !self.entries.contains_key(path) {
                lines.push(format!("- {path}{}", slash(old)));
            }
        }
        for (path, new) in &self.entries {
            let mark = match before.entries.get(path) {
                Some(old) if old.is_same(new) => continue,
                None => "+",
                Some(_) if new.directory => "~",
                // The old one lives on for whoever has it open.
                Some(old) if old.identity != new.identity => ">",
                Some(_) => "~",
            };
            lines.push(format!("{mark} {path}{} {}", slash(new), access(new)));
            if !new.directory {
                let content = if path.ends_with(".iso") { disc(&new.bytes) } else { shown(&new.bytes) };
                lines.extend(self.with_identities(&content).lines().map(|line| format!("    {line}")));
            }
        }
        lines.iter().map(|line| normal.text(line)).collect()
    }

    /// Whether any file holds `secret`.
    pub fn holds(&self, secret: &[u8]) -> bool {
        self.entries.values().any(|entry| entry.bytes.windows(secret.len()).any(|part| part == secret))
    }

    /// Says which file a state's `identity` means.
    fn with_identities(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (path, entry) in &self.entries {
            let ((dev, ino), written) = (entry.identity, entry.written);
            let identity = format!("{{\"dev\":{dev},\"ino\":{ino},\"written\":{written}}}");
            text = text.replace(&identity, &format!("{{{path}}}"));
        }
        text
    }
}

fn slash(entry: &Entry) -> &'static str {
    if entry.directory { "/" } else { "" }
}

fn access(entry: &Entry) -> String {
    let (mode, uid, gid) = entry.access;
    let owner = if (uid, gid) == (0, 0) { String::new() } else { format!(" {uid}:{gid}") };
    format!("{mode:04o}{owner}")
}

fn collect(dir: &Path, above: &str, entries: &mut BTreeMap<String, Entry>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{above}{}", entry.file_name().to_str().unwrap());
        let metadata = fs::symlink_metadata(entry.path()).unwrap();
        assert!(!metadata.file_type().is_block_device());
        let bytes = if metadata.is_file() { fs::read(entry.path()).unwrap() } else { Vec::new() };
        let access = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
        let identity = (metadata.dev(), metadata.ino());
        let written = metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec();
        if metadata.is_dir() {
            collect(&entry.path(), &format!("{path}/"), entries);
        }
        entries.insert(path, Entry { directory: metadata.is_dir(), identity, written, access, bytes });
    }
}

/// The content of a file: as it is, when it is short text.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok("") => String::new(),
        Ok(text) if bytes.len() <= 3_000 && !text.contains('\0') => text.to_owned(),
        _ if bytes.iter().all(|byte| *byte == bytes[0]) => format!("({} × {:?})\n", bytes.len(), char::from(bytes[0])),
        _ => format!("({} bytes)\n", bytes.len()),
    }
}

/// A disc's size, label and files, as another program reads them.
fn disc(bytes: &[u8]) -> String {
    const DESCRIPTOR: usize = 16 * 2048;
    if bytes.get(DESCRIPTOR + 1..DESCRIPTOR + 6) != Some(b"CD001") {
        return shown(bytes);
    }
    let dir = tempfile::tempdir().unwrap();
    let disc = dir.path().join("disc.iso");
    fs::write(&disc, bytes).unwrap();
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    let mut bsdtar = Command::new("bsdtar");
    bsdtar.env("LC_ALL", "C.UTF-8").args(["-xpPf"]).arg(&disc).arg("-C").arg(&out);
    let bsdtar = bsdtar.output().expect("bsdtar is not installed: apt-get install libarchive-tools");
    assert!(bsdtar.status.success(), "{}", String::from_utf8_lossy(&bsdtar.stderr));
    let label = String::from_utf8_lossy(&bytes[DESCRIPTOR + 40..DESCRIPTOR + 72]).trim_end().to_owned();
    let mut entries = BTreeMap::new();
    collect(&out, "", &mut entries);
    let mut lines = vec![format!("disc {label:?}, {} KiB", bytes.len() >> 10)];
    for (path, entry) in entries.iter().filter(|(_, entry)| !entry.directory) {
        let content = shown(&entry.bytes);
        match content.strip_suffix('\n').filter(|line| !line.contains('\n')) {
            Some(line) => lines.push(format!("/{path} {}: {line}", access(entry))),
            None => {
                lines.push(format!("/{path} {}:", access(entry)));
                lines.extend(content.split_inclusive('\n').map(|line| format!("    {}", visible(line))));
            }
        }
    }
    lines.join("\n")
}
