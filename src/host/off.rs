//! The switch for a bad day: while `/etc/virt-recontext/disabled` is there, whatever it is, the hook lets every VM pass and the
//! helper does nothing. Jobs stay in the spool.

#[cfg(feature = "libvirt")]
use super::file;
use super::paths::Host;

/// Longest text of the file that is shown, in characters.
#[cfg(feature = "libvirt")]
const SHOWN: usize = 200;

pub(crate) fn is_off(host: &Host) -> bool {
    host.off_switch().symlink_metadata().is_ok()
}

/// What there is to say while it is off: with the first line of the file, which may tell who has done that, and why.
#[cfg(feature = "libvirt")]
pub(crate) fn told(host: &Host) -> Option<String> {
    is_off(host).then(|| {
        let path = host.off_switch();
        let text = file::read_text(&path).unwrap_or_default();
        let line: String = text.trim().lines().take(1).flat_map(str::chars).take(SHOWN).collect();
        let why = if line.is_empty() { String::new() } else { format!(" ({})", line.escape_debug()) };
        format!("all is switched off on this host{why}, until {} is removed", path.display())
    })
}
