//! Lines as journald takes them itself: one datagram of fields, by which they are found. Its socket is systemd's, and needs no
//! connection: it outlives journald, and a line that it refuses is syslog's. A line is far smaller than the datagram that a
//! socket sends (some 200 KiB); should a VM's name not be, syslog takes that, too.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process;

use syslog::Severity;

use super::{Event, Subject};

/// `LOG_DAEMON`, as the journal counts facilities.
const FACILITY: u8 = 3;

pub(super) struct Journal {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Journal {
    pub(super) fn at(path: PathBuf) -> Journal {
        Journal { path, socket: None }
    }

    /// Hands a line to the journal, and does not wait for it.
    ///
    /// # Errors
    /// When it is not there, nobody reads or it is full: the line is for somebody else.
    pub(super) fn take(
        &mut self,
        severity: Severity,
        line: &str,
        event: Option<Event>,
        subject: &Subject,
    ) -> io::Result<()> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                socket
            }
        };
        // One that is of no use is closed, so that syslog's may be the only one that a limit on open files allows.
        socket.send_to(&entry(severity, line, event, subject), &self.path)?;
        self.socket = Some(socket);
        Ok(())
    }
}

fn entry(severity: Severity, line: &str, event: Option<Event>, subject: &Subject) -> Vec<u8> {
    let mut entry = Vec::new();
    let mut put = |field, value: &str| field_into(&mut entry, field, value);
    put("MESSAGE", line);
    put("PRIORITY", &(severity as u8).to_string());
    put("SYSLOG_FACILITY", &FACILITY.to_string());
    put("SYSLOG_IDENTIFIER", "virt-recontext");
    put("SYSLOG_PID", &process::id().to_string());
    if let Some(event) = event {
        let (id, name) = event.id_and_name();
        put("MESSAGE_ID", id);
        put("VIRT_RECONTEXT_EVENT", name);
    }
    let Subject { name, uuid, reason, generation } = subject;
    if let Some(name) = name {
        put("VIRT_RECONTEXT_NAME", name);
    }
    if let Some(uuid) = uuid {
        put("VIRT_RECONTEXT_UUID", &uuid.to_string());
    }
    if let Some(reason) = reason {
        put("VIRT_RECONTEXT_REASON", &reason.to_string());
    }
    if let Some(generation) = generation {
        put("VIRT_RECONTEXT_GENERATION", &generation.0.to_string());
    }
    entry
}

/// Appends a field. A value that is more than a line, as a VM's name may be, has its length before it, and so starts no field
/// of its own.
fn field_into(entry: &mut Vec<u8>, field: &str, value: &str) {
    entry.extend_from_slice(field.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_several_lines_is_one_value() {
        let subject = Subject { name: Some("a\nPRIORITY=0".to_owned()), ..Subject::default() };
        let entry = String::from_utf8(entry(Severity::LOG_INFO, "a: told", None, &subject)).unwrap();
        let begin = "MESSAGE=a: told\nPRIORITY=6\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=virt-recontext\nSYSLOG_PID=";
        assert!(entry.starts_with(begin), "{entry:?}");
        assert!(entry.ends_with("\nVIRT_RECONTEXT_NAME\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\n"), "{entry:?}");
    }
}
