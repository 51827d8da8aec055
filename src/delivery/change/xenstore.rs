//! Xenstore, as much of it as we need: one question to the store by which Xen's two halves of a device find each other,
//! through the kernel's own connection. (The protocol is in Xen's `public/io/xs_wire.h`.)

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::host::paths::Host;

/// The kind of a message that asks for a value, and of its answer.
const READ: u32 = 2;

/// Longest value, in bytes.
const MAX_VALUE: usize = 4096;

/// The state in which both halves of a device are connected.
const CONNECTED: &str = "4";

/// Whether the disk `target` of the domain `id` is connected with its backend.
pub(super) fn is_connected(host: &Host, id: u32, target: &str) -> Result<bool> {
    let number = number(target).with_context(|| format!("{target} is not the name of a Xen disk"))?;
    let path = format!("/local/domain/0/backend/vbd/{id}/{number}/state");
    let state = read(host, &path).with_context(|| format!("asking xenstore for {path}"))?;
    Ok(state == CONNECTED)
}

/// The number by which Xen knows a disk, such as 51744 for xvdc.
fn number(target: &str) -> Option<u32> {
    let letters = target.strip_prefix("xvd")?.as_bytes();
    let digit = |letter: &u8| letter.is_ascii_lowercase().then(|| u32::from(letter - b'a'));
    let index = match letters {
        [one] => digit(one)?,
        [first, second] => (digit(first)? + 1) * 26 + digit(second)?,
        _ => return None,
    };
    Some(if index < 16 { (202 << 8) | (index << 4) } else { (1 << 28) | (index << 8) })
}

fn read(host: &Host, path: &str) -> Result<String> {
    let device = host.under_root(Path::new("/dev/xen/xenbus"));
    let mut store = OpenOptions::new().read(true).write(true).open(device)?;
    let name = [path.as_bytes(), b"\0"].concat();
    let length = u32::try_from(name.len())?;
    // Kind, number of the question, number of the transaction, and length of what follows.
    let header = [READ, 1, 0, length].map(u32::to_ne_bytes).concat();
    store.write_all(&[header, name].concat())?;
    let mut word = || {
        let mut bytes = [0; 4];
        store.read_exact(&mut bytes).map(|()| u32::from_ne_bytes(bytes))
    };
    let [kind, _, _, length] = [word()?, word()?, word()?, word()?];
    let length = usize::try_from(length)?;
    ensure!(length <= MAX_VALUE, "the value has {length} bytes, more than {MAX_VALUE}");
    let mut value = vec![0; length];
    store.read_exact(&mut value)?;
    let value = String::from_utf8_lossy(&value).trim_end_matches('\0').to_owned();
    ensure!(kind == READ, "{value}");
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_the_number_that_xen_gives_it() {
        for (target, wanted) in [
            ("xvda", Some(51712)),
            ("xvdc", Some(51744)),
            ("xvdp", Some(51952)),
            ("xvdq", Some(268_439_552)),
            ("xvdaa", Some(268_442_112)),
            ("hda", None),
            ("xvd", None),
            ("xvdA", None),
        ] {
            assert_eq!(number(target), wanted, "{target}");
        }
    }
}
