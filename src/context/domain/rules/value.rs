//! What a place takes: each new value is checked before libvirt sees it, whose own refusal would come later and say less.

use std::net::IpAddr;
use std::path::{Component, Path};

use anyhow::{Result, bail, ensure};

use crate::context::uuid::Uuid;

/// Longest path of a socket, in bytes, with the kernel's NUL behind it.
const SOCKET: usize = 107;

/// Longest path of the kernel, in bytes, with the NUL behind it; no value of another kind is longer.
const LONGEST: usize = 4095;

/// Most CPUs that libvirt counts.
const CPUS: usize = 16_384;

/// What kind of value a place takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The name of a network interface of the host, such as a bridge.
    Device,
    /// libvirt's name of something, such as a network or a pool.
    Name,
    /// A path in the host's file system.
    Path,
    /// That of a socket.
    Socket,
    /// The name of an image at a storage server.
    Image,
    /// A host's name or address.
    Host,
    /// An IP address.
    Address,
    /// The number of a TCP port.
    Port,
    /// The number of a VLAN.
    Vlan,
    Uuid,
    /// A set of CPUs or of NUMA nodes, such as `0-3,^2,8`.
    Set,
    /// A network attachment, as `attachment.rs` writes it.
    Attachment,
    /// A list of servers, as `hosts.rs` writes it.
    Hosts,
}

impl Kind {
    /// # Errors
    /// When a value is none of this kind: with what is.
    pub(super) fn check(self, value: &str) -> Result<()> {
        ensure!(!value.is_empty(), "an empty value is none");
        let most = value.len() <= LONGEST;
        ensure!(most, "a value of {} bytes is longer than the {LONGEST} that a path may have", value.len());
        // The last two are characters, but none of XML.
        let is_wrong = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
        ensure!(!value.chars().any(is_wrong), "{value:?} has control characters in it");
        match self {
            Kind::Device => {
                let fits = value.len() <= 15 && !matches!(value, "." | "..") && !value.contains(['/', ' ', ':']);
                ensure!(fits, "{value:?} is no network interface's name, which has at most 15 bytes and no / or :");
            }
            Kind::Name => ensure!(!value.contains('/'), "{value:?} is no name in libvirt: it has a / in it"),
            Kind::Path => check_path(value)?,
            Kind::Socket => {
                check_path(value)?;
                ensure!(value.len() <= SOCKET, "{value:?} is longer than the {SOCKET} bytes of a socket's path");
            }
            Kind::Image => {}
            Kind::Host => {
                let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
                ensure!(value.chars().all(fits), "{value:?} is neither a host's name nor an address");
            }
            Kind::Address => {
                ensure!(value.parse::<IpAddr>().is_ok(), "{value:?} is no IP address");
            }
            Kind::Port => {
                let is_port = value.parse::<u16>().is_ok_and(|port| port > 0);
                ensure!(is_port, "{value:?} is no port from 1 to 65535");
            }
            Kind::Vlan => {
                let is_vlan = value.parse::<u16>().is_ok_and(|vlan| (1..=4094).contains(&vlan));
                ensure!(is_vlan, "{value:?} is no VLAN from 1 to 4094");
            }
            Kind::Uuid => {
                value.parse::<Uuid>()?;
            }
            Kind::Set => check_set(value)?,
            Kind::Attachment | Kind::Hosts => bail!("{value:?} is checked by its parts"),
        }
        Ok(())
    }
}

fn check_path(value: &str) -> Result<()> {
    ensure!(value.starts_with('/'), "{value:?} is no absolute path");
    let climbs = Path::new(value).components().any(|part| part == Component::ParentDir);
    ensure!(!climbs, "{value:?} has \"..\" in it");
    Ok(())
}

/// As libvirt reads it: a range goes upwards, `^` takes one out, and something has to remain.
fn check_set(value: &str) -> Result<()> {
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<usize>().ok().filter(|number| is_number && *number < CPUS)
    };
    let mut set = vec![false; CPUS];
    let mut put = |part: &str| {
        let (part, is_in) = part.strip_prefix('^').map_or((part, true), |out| (out, false));
        let (from, to) = part.split_once('-').filter(|_| is_in).unwrap_or((part, part));
        let (from, to) = (number(from)?, number(to)?);
        set.get_mut(from..=to).filter(|part| !part.is_empty())?.fill(is_in);
        Some(())
    };
    let is_set = value.split(',').all(|part| put(part.trim()).is_some()) && set.contains(&true);
    ensure!(is_set, "{value:?} is no set such as \"0-3,^2,8\"");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_takes_what_it_is_and_nothing_else() {
        for (kind, good, bad) in [
            (
                Kind::Device,
                vec!["br0", "ovs.br-int", "a23456789012345"],
                vec!["a234567890123456", "a/b", "..", "a b", "eth0:1"],
            ),
            (Kind::Name, vec!["prod", "a b"], vec!["a/b", "a\nb"]),
            (Kind::Path, vec!["/a", "/a/..b/c d"], vec!["a", "/a/../b", "/..", "/a\0", "/a\u{7f}", "/a\u{ffff}"]),
            (Kind::Socket, vec!["/run/x"], vec!["/a/..", "x"]),
            (Kind::Image, vec!["pool/image@x"], vec!["a\tb"]),
            (Kind::Host, vec!["mon1.example", "::1", "10.0.0.1"], vec!["a b", "a/b", "a,b"]),
            (Kind::Address, vec!["0.0.0.0", "::"], vec!["localhost", "10.0.0", "10.0.0.1/8"]),
            (Kind::Port, vec!["1", "65535"], vec!["0", "65536", "-1", "http"]),
            (Kind::Vlan, vec!["1", "4094"], vec!["0", "4095", "x"]),
            (Kind::Uuid, vec!["6695eb01-f6a4-8304-79aa-97f2502e193f"], vec!["x", "6695eb01"]),
            (
                Kind::Set,
                vec!["0", "0-3,^2,8", "1,^0", "16383"],
                vec!["a", "0-", "-1", "0,,1", "^", "16384", "5-3", "^1", "0-3,^^1", "1,^1"],
            ),
        ] {
            assert!(good.iter().all(|value| kind.check(value).is_ok()), "{kind:?}: {good:?}");
            for value in bad.into_iter().chain([""]) {
                assert!(kind.check(value).is_err(), "{kind:?} takes {value:?}");
            }
        }
        assert!(Kind::Path.check(&format!("/{}", "x".repeat(4095))).is_err());
        assert!(Kind::Socket.check(&format!("/{}", "x".repeat(107))).is_err());
    }
}
