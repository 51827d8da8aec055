//! What our programs need of the machine: the helper, the log, and the directories that they write.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::sys::statvfs::statvfs;

use super::former;
use super::mount::Mount;
use super::report::{Check, Report};
use crate::host::config::Config;
use crate::host::file;
use crate::host::paths::Host;
use crate::libvirt::survey::Vm;

pub(super) fn check_helper(host: &Host, report: &mut Report) {
    let helper = host.helper();
    let usable = || -> Result<()> {
        let metadata = fs::metadata(&helper).with_context(|| format!("looking for {}", helper.display()))?;
        let executable = metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
        ensure!(executable, "{} is not an executable file", helper.display());
        file::check_trusted(&helper, &metadata)?;
        let mount = Mount::of(&helper)?;
        ensure!(!mount.has("noexec"), "{} is mounted noexec", mount.at.display());
        Ok(())
    };
    let check = &mut report.check("helper");
    match usable() {
        Ok(()) => check.good(format_args!("{} is there for the hook to start", helper.display())),
        Err(error) => check.bad(
            format_args!("the hook cannot start it, so guests are not notified of their discs: {error:#}"),
            format_args!("install virt-recontext as {}, owned by root, with mode 755", helper.display()),
        ),
    }
}

/// Checks that somebody takes log lines. None is sent.
pub(super) fn check_log(host: &Host, report: &mut Report) {
    let connect = |socket: &PathBuf| UnixDatagram::unbound().and_then(|unbound| unbound.connect(socket));
    let (journal, syslog) = (host.journal_socket(), host.log_socket());
    let socket = if connect(&journal).is_ok() { journal } else { syslog };
    let check = &mut report.check("log");
    match connect(&socket) {
        Ok(()) => {
            check.good(format_args!("{} accepts lines; see them with: journalctl -t virt-recontext", socket.display()))
        }
        Err(error) => check.warning(
            format_args!("connecting to {}: {error}; all else works, but nothing is logged", socket.display()),
            "start systemd-journald, or install rsyslog",
        ),
    }
}

/// `vms` are those that libvirt knows, if it tells.
pub(super) fn check_images(host: &Host, config: &Config, vms: Option<&[Vm]>, report: &mut Report) {
    let check = &mut report.check("images");
    let shown = config.image_dir.display();
    let dir = host.under_root(&config.image_dir);
    let mount = match Mount::of(&dir) {
        Ok(mount) => mount,
        Err(error) => return check.warning(format_args!("{shown}: {error:#}"), "check that /proc is mounted"),
    };
    let kind = &mount.kind;
    if mount.has("ro") {
        check.bad(format_args!("{shown} is on {}, which is mounted read-only", mount.at.display()), "mount it rw");
    }
    if mount.is_shared() {
        check.warning(
            format_args!(
                "{shown} is on {kind}, which hosts may share: both hosts of a migration would write the same image"
            ),
            "set image_dir to a directory that only this host has",
        );
    }
    if mount.is_in_memory() {
        let most = config.limits.disc_size >> 20;
        check.warning(
            format_args!("{shown} is on {kind}, in this host's memory: up to {most} MiB per VM"),
            "set image_dir to a directory on a disk, or limits.disc_size to what fits",
        );
    }
    check_space(&dir, &mount, config, check);
    if let Some(vms) = vms {
        former::check(host, config, vms, check);
    }
    let how = match fs::metadata(&dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => "will be created with the first disc",
        Err(error) => return check.bad(format_args!("{shown}: {error}"), "check what is there"),
        Ok(metadata) if !metadata.is_dir() => {
            let message = format!("{shown} is not a directory: no disc can be made");
            return check.bad(message, format_args!("rm {shown}"));
        }
        Ok(metadata) => {
            if let Err(error) = file::check_trusted(&dir, &metadata) {
                check.bad(format_args!("{error:#}"), "run that command: whoever can write there decides what VMs read");
            }
            let is_closed = |part: &&Path| fs::metadata(part).is_ok_and(|metadata| metadata.mode() & 0o001 == 0);
            if let Some(closed) = dir.ancestors().find(is_closed) {
                let closed = closed.display();
                check.bad(
                    format_args!("QEMU's user cannot reach the images through {closed}"),
                    format_args!("chmod o+x {closed}"),
                );
            }
            "is writable only by root, and QEMU's user can reach the images"
        }
    };
    if check.is_clean() {
        check.good(format_args!("{shown}, on {kind}, {how}"));
    }
}

fn check_space(dir: &Path, mount: &Mount, config: &Config, check: &mut Check) {
    let there = dir.ancestors().find(|part| part.exists()).unwrap_or(Path::new("/"));
    let Ok(space) = statvfs(there) else { return };
    let free = space.blocks_available().saturating_mul(space.fragment_size());
    if free < config.limits.disc_size {
        let (free, one) = (free >> 20, config.limits.disc_size >> 20);
        check.warning(
            format_args!("{} has {free} MiB left; one disc may take {one} MiB", dir.display()),
            format_args!("free space on {}", mount.at.display()),
        );
    }
}

pub(super) fn check_run_dir(host: &Host, report: &mut Report) {
    let check = &mut report.check("run-directory");
    let dir = host.run_dir();
    let shown = dir.display();
    let usable = || -> Result<&str> {
        let metadata = match fs::metadata(&dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok("will be created when it is needed"),
            metadata => metadata.with_context(|| format!("looking at {shown}"))?,
        };
        ensure!(metadata.is_dir(), "{shown} is not a directory");
        file::check_trusted(&dir, &metadata)?;
        let mount = Mount::of(&dir)?;
        ensure!(!mount.has("ro"), "{} is mounted read-only", mount.at.display());
        Ok("is writable only by root")
    };
    match usable() {
        Ok(how) => check.good(format_args!("{shown} {how}")),
        Err(error) => {
            check.bad(format_args!("no job or state can be written: {error:#}"), format_args!("fix or remove {shown}"))
        }
    }
}
