//! The journal of a host, as its socket takes it: entries of fields.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use super::{Site, make_dir};

pub const SOCKET: &str = "run/systemd/journal/socket";

/// What one line in the journal has.
pub type Entry = BTreeMap<String, String>;

/// Takes what the programs of a host tell their journal.
pub struct Journal(UnixDatagram);

impl Journal {
    /// From now on the host has one.
    pub fn on(site: &Site) -> Journal {
        let path = site.path(SOCKET);
        make_dir(path.parent().unwrap());
        let _first_one = fs::remove_file(&path);
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Journal(socket)
    }

    /// What came since this was last asked for.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut entry = vec![0; 1 << 20];
        while let Ok(length) = self.0.recv(&mut entry) {
            entries.push(read(&entry[..length]));
        }
        entries
    }

    /// The events among them, each with the VM that it is about.
    pub fn events(&self) -> Vec<(String, String)> {
        let event = |entry: &Entry| {
            let id = entry.get("MESSAGE_ID")?;
            assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
            Some((entry["VIRT_RECONTEXT_EVENT"].clone(), entry.get("VIRT_RECONTEXT_NAME").cloned().unwrap_or_default()))
        };
        self.entries().iter().filter_map(event).collect()
    }
}

/// The fields of an entry: `FIELD=value`, or the field, the value's length and the value.
fn read(mut entry: &[u8]) -> Entry {
    let mut fields = Entry::new();
    while !entry.is_empty() {
        let end = entry.iter().position(|byte| matches!(byte, b'=' | b'\n')).unwrap();
        let (field, rest) = entry.split_at(end);
        let (begin, length) = match rest[0] {
            b'=' => (1, rest[1..].iter().position(|byte| *byte == b'\n').unwrap()),
            _ => (9, usize::try_from(u64::from_le_bytes(rest[1..9].try_into().unwrap())).unwrap()),
        };
        assert_eq!(rest[begin + length], b'\n');
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(fields.insert(text(field), text(&rest[begin..begin + length])), None, "twice: {}", text(field));
        entry = &rest[begin + length + 1..];
    }
    fields
}

/// Fills a socket that nobody reads until it takes no more.
pub fn fill(path: &Path) {
    let full = UnixDatagram::unbound().unwrap();
    full.set_nonblocking(true).unwrap();
    full.connect(path).unwrap();
    let error = loop {
        if let Err(error) = full.send(b"<30>Nov 23 01:02:03 test[1]: full") {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}
