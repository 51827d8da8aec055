//! The image files: where they lie, and how a new one takes the place of the old.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufReader, Read};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::held::Vm;
use crate::context::disc::marker::Edition;
use crate::context::domain::image_name;
use crate::context::iso9660::Image;
use crate::context::uuid::Uuid;
use crate::host::config::Config;
use crate::host::file;
use crate::host::paths::Host;

/// Search only: QEMU opens images by name, nobody lists them.
const DIR_MODE: u32 = 0o711;

/// So many bytes of an image are compared at once.
const CHUNK: usize = 8192;

/// One file, however it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    dev: u64,
    ino: u64,
    /// When its content was written, in nanoseconds since 1970: file systems give a number to the next file at once when its
    /// file is gone, so that every second disc in one place has the same. 0.1.0 did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    written: Option<i64>,
}

impl From<&fs::Metadata> for Identity {
    fn from(metadata: &fs::Metadata) -> Identity {
        let written = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        Identity { dev: metadata.dev(), ino: metadata.ino(), written: Some(written) }
    }
}

impl Identity {
    /// The file of the definition of the VM of QEMU called `name`, as it is now; `None` if there is none.
    pub(crate) fn of_definition(host: &Host, name: &str) -> Option<Identity> {
        host.definition(name).metadata().ok().as_ref().map(Identity::from)
    }

    /// Whether this is the file that is found as `there`.
    fn is(self, there: Identity) -> bool {
        self == Identity { written: self.written.and(there.written), ..there }
    }
}

#[derive(Debug)]
pub struct Disc<'p> {
    /// Its number and reason.
    pub(crate) edition: Edition,
    /// Where it lies, as the VM's XML names it.
    pub(crate) path: &'p Path,
    /// Its signature, where `sign_command` made it.
    pub(super) signature: Option<String>,
    pub(super) identity: Identity,
}

#[cfg(feature = "libvirt")]
impl Disc<'_> {
    /// The same, if `sign_command` has made its signature.
    pub(crate) fn signed(self, signature: Option<String>) -> Self {
        Disc { signature, ..self }
    }
}

/// Where the VM's image lies on this host, as its XML should name it.
pub fn path(config: &Config, uuid: &Uuid) -> PathBuf {
    config.image_dir.join(image_name(uuid))
}

/// Whether the VM's disc may be made at `path`, which its XML names: directly in our directory, and not the place of
/// another VM's (a copied VM still names its original's).
pub fn may_be_made_at(config: &Config, path: &Path, uuid: &Uuid) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let others = stem.parse::<Uuid>().is_ok_and(|other| other != *uuid);
    let odd = stem.is_empty() || stem.starts_with('.') || stem.contains(char::is_control);
    path.parent() == Some(&config.image_dir) && path.extension().is_some_and(|end| end == "iso") && !odd && !others
}

/// Whether a file is called as the VM's image is on any host.
pub(crate) fn is_called_ours(path: &str, uuid: &Uuid) -> bool {
    path.rsplit('/').next() == Some(image_name(uuid).as_str())
}

pub(crate) fn exists(host: &Host, path: &Path) -> bool {
    host.under_root(path).is_file()
}

/// How much room the image at `path` takes, in bytes.
#[cfg(feature = "libvirt")]
pub(crate) fn room(host: &Host, path: &Path) -> Option<u64> {
    host.under_root(path).metadata().ok().map(|found| found.blocks() * 512)
}

/// A new image beside its place. It is removed with this value, unless it has been published.
#[derive(Debug)]
pub(crate) struct New {
    file: NamedTempFile,
    place: PathBuf,
}

impl New {
    /// An empty one, for the place `path`.
    pub(crate) fn begin(host: &Host, path: &Path) -> Result<New> {
        let place = host.under_root(path);
        file::make_dir(place.parent().unwrap_or(Path::new("/")), DIR_MODE)?;
        Ok(New { file: file::beside(&place)?, place })
    }

    /// One with this image.
    pub(crate) fn with(host: &Host, path: &Path, image: &Image) -> Result<New> {
        let mut new = New::begin(host, path)?;
        write(image, new.file.as_file_mut()).with_context(|| format!("writing {}", new.place.display()))?;
        Ok(new)
    }

    /// Where it really lies now.
    #[cfg(feature = "libvirt")]
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }
}

/// Writes an image; its padding is a hole.
pub(crate) fn write(image: &Image, file: &mut fs::File) -> Result<()> {
    image.write_to(file)?;
    Ok(file.set_len(image.len())?)
}

impl Vm<'_> {
    /// Puts a new image, which is meant for the place `path`, there. A QEMU that has the old one open keeps it until its medium
    /// is changed.
    ///
    /// # Errors
    /// When it cannot be put there; the old image is still there then.
    pub(crate) fn publish<'p>(&self, config: &Config, path: &'p Path, edition: Edition, new: New) -> Result<Disc<'p>> {
        let New { file, place } = new;
        if config.image_owner.or(config.image_group).is_some() {
            let owned = fchown(file.as_file(), config.image_owner, config.image_group);
            owned.with_context(|| format!("setting the owner of {}", place.display()))?;
        }
        let file = file::put(file, &place, config.image_mode)?;
        let metadata = file.metadata().with_context(|| format!("looking at {}", place.display()))?;
        Ok(Disc { edition, path, signature: None, identity: Identity::from(&metadata) })
    }
}

/// Whether the file at `path` holds exactly `image`.
pub(crate) fn holds(host: &Host, path: &Path, image: &Image) -> Result<bool> {
    let real = host.under_root(path);
    let there = file::if_there(fs::File::open(&real)).with_context(|| format!("reading {}", real.display()))?;
    let Some(there) = there else { return Ok(false) };
    let size = there.metadata().with_context(|| format!("looking at {}", real.display()))?.len();
    if size != image.len() {
        return Ok(false);
    }
    let mut there = BufReader::new(there);
    let mut buffer = [0; CHUNK];
    for chunk in image.pieces().flat_map(|piece| piece.chunks(CHUNK)) {
        let (read, _) = buffer.split_at_mut(chunk.len());
        there.read_exact(read).with_context(|| format!("comparing {}", real.display()))?;
        if read != chunk {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes the image at `path` if it is the very file that was made here: on a directory that hosts share, another host
/// may have put its own in that place.
pub(super) fn remove(host: &Host, path: &Path, identity: Identity) -> Result<()> {
    let real = host.under_root(path);
    match fs::symlink_metadata(&real) {
        Ok(metadata) if identity.is(Identity::from(&metadata)) => file::remove(&real),
        _ => Ok(()),
    }
}

/// An image under a second name, which goes when this does.
pub(crate) struct Kept {
    place: PathBuf,
    kept: PathBuf,
}

/// Keeps the image at `path` under a second name while a new one takes its place; `None` when there is none, or it cannot
/// have one. The name is that of a file that is being written: should we be killed, it is tidied up as such.
pub(super) fn keep(host: &Host, path: &Path) -> Option<Kept> {
    let place = host.under_root(path);
    let name = place.file_name().unwrap_or_default();
    let kept =
        place.with_file_name([OsStr::new(file::NEW), OsStr::new("last-"), name].into_iter().collect::<OsString>());
    file::remove(&kept).ok()?;
    fs::hard_link(&place, &kept).ok()?;
    Some(Kept { place, kept })
}

impl Kept {
    /// Puts it back into its place; what is there now is gone then.
    pub(super) fn put_back(self) -> Result<()> {
        fs::rename(&self.kept, &self.place).with_context(|| format!("putting the last {} back", self.place.display()))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // One that stays is tidied up later.
        let _stays = file::remove(&self.kept);
    }
}
