//! The file of metrics, for node_exporter: written by a process of its own, which is left behind when the file's directory does
//! not answer. One that cannot be written is told once, and is no other trouble: what it tells is in the run directory as well,
//! and the next helper or refresh tries again. Where SELinux confines the helper that libvirtd starts, that is systemd's refresh.

use std::fs::{self, Permissions};
use std::io::{Write, stdout};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::exposition::exposition;
use super::told;
use crate::host::child::program;
use crate::host::config::Config;
use crate::host::file;
use crate::host::log::Log;
use crate::host::off;
use crate::host::paths::Host;
use crate::host::vm::lock;

/// The verb by which the program is started as the process that writes it.
pub const VERB: &str = "write-metrics";

/// So long that process may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// So long it waits for another one that is at it; one that does not end is held by the file's directory.
const TURN: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(5);

/// Its name while it is written: the same each time, since the lock is held meanwhile. It does not end as those that
/// node_exporter reads.
const NEW: &str = ".virt-recontext.new";

/// How much it says: that the file is written; and if not, why.
const WRITTEN: &[u8] = b"written";
const MAX_WHY: usize = 2_000;

/// Has the file written, if there is to be one. Takes some seconds at most; to be called when all else is done, and no lock is
/// held.
pub(crate) fn export(host: &Host) {
    let Ok(config) = Config::load(host) else { return };
    let Some(file) = config.metrics_file.filter(|_| !off::is_off(host)) else { return };
    // Who may not write it is confined otherwise than others: each tells for itself.
    let confined = fs::read("/proc/self/attr/current").unwrap_or_default();
    let kind = format!("metrics_file {}", String::from_utf8_lossy(&confined).trim_end_matches(['\0', '\n']));
    match written() {
        Ok(true) => told::is_over(host, &kind),
        // Somebody else is at it.
        Ok(false) => {}
        Err(error) => {
            let line = format!("metrics_file = {file:?} is not written: {error:#}");
            if told::is_news(host, &kind, &line) {
                Log::open(host).warning(format_args!("metrics: {line}; \"virt-recontext status --metrics\" shows it"));
            }
        }
    }
}

/// Whether the process that is to write it has done so.
fn written() -> Result<bool> {
    // Under this name the program is found even if it has been replaced by a newer one.
    let mut command = Command::new("/proc/self/exe");
    command.arg(VERB);
    let ran = program::run(command, Stdio::null(), Instant::now() + PATIENCE, WRITTEN.len(), MAX_WHY)?;
    ensure!(ran.outcome.ended, "its directory does not answer within {} s", PATIENCE.as_secs());
    let why = String::from_utf8_lossy(&ran.stderr);
    let why = why.trim().strip_prefix("virt-recontext: ").unwrap_or(why.trim());
    ensure!(ran.status.success(), "{}", if why.is_empty() { ran.status.to_string() } else { why.to_owned() });
    Ok(ran.output == WRITTEN)
}

/// Writes it, as that process.
///
/// # Errors
/// When that cannot be done, in the same words each time.
pub fn serve(host: &Host) -> Result<()> {
    let Some(path) = Config::load(host)?.metrics_file else { return Ok(()) };
    let begin = Instant::now();
    let _turn = loop {
        match lock::try_now(host, &host.metrics_lock_file())? {
            Some(turn) => break turn,
            None if begin.elapsed() >= TURN => return Ok(()),
            None => sleep(LOOK),
        }
    };
    // Not before it is our turn: what we read is newer than what was written.
    let text = exposition(host)?;
    replace(&host.under_root(Path::new(&path)), &text)?;
    Ok(stdout().lock().write_all(WRITTEN)?)
}

/// Puts `text` in the place of `path`, which node_exporter's user may read. A link is replaced, not followed; what is neither
/// that nor a file stays, such as a device.
fn replace(path: &Path, text: &str) -> Result<()> {
    if let Some(there) = file::if_there(path.symlink_metadata())? {
        ensure!(there.is_file() || there.is_symlink(), "something else than a file is in its place");
    }
    let dir = path.parent().context("it has no directory")?;
    // One that was killed has left it.
    file::remove(&dir.join(NEW))?;
    let permissions = Permissions::from_mode(0o600);
    let mut new = tempfile::Builder::new().prefix(NEW).rand_bytes(0).permissions(permissions).tempfile_in(dir)?;
    new.write_all(text.as_bytes())?;
    file::put(new, path, 0o644).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn a_link_is_replaced_and_what_is_no_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("theirs"), "theirs").unwrap();
        symlink(path("theirs"), path("link.prom")).unwrap();
        replace(&path("link.prom"), "ours").unwrap();
        assert_eq!(fs::read_to_string(path("theirs")).unwrap(), "theirs");
        let there = path("link.prom").symlink_metadata().unwrap();
        assert!(there.is_file() && there.mode() & 0o7777 == 0o644);
        mkfifo(&path("pipe.prom"), Mode::S_IRWXU).unwrap();
        fs::create_dir(path("dir.prom")).unwrap();
        for there in ["pipe.prom", "dir.prom"] {
            assert!(replace(&path(there), "ours").is_err() && !path(there).is_file(), "{there}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4);
        // What one that was killed has left is in nobody's way.
        fs::write(path(NEW), "half").unwrap();
        replace(&path("link.prom"), "new").unwrap();
        assert_eq!((fs::read_to_string(path("link.prom")).unwrap().as_str(), path(NEW).exists()), ("new", false));
    }
}
