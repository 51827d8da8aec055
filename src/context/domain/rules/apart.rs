//! What no two devices of a VM may come to share, whatever the rules say.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::place::Place;
use super::spots::{Changed, Spots};
use crate::context::domain::is_image_name;

/// Two disks, logs or sockets must not come to share a file, nor one of them a context disc's.
pub(super) fn check_apart(spots: &Spots, changes: &[Changed]) -> Result<()> {
    // As the kernel takes them: `//` and `/./` are one `/`.
    let plain = |value: &str| Path::new(value).components().collect::<PathBuf>();
    let mut taken: BTreeMap<PathBuf, &str> = BTreeMap::new();
    for spot in spots.spots.iter().filter(|spot| spot.place.row().exclusive) {
        let change = changes.iter().find(|(changed, _)| std::ptr::eq(*changed, spot)).map(|(_, new)| new.as_deref());
        let Some(value) = change.unwrap_or(Some(&spot.value)) else { continue };
        let is_image = || plain(value).file_name().and_then(OsStr::to_str).is_some_and(is_image_name);
        ensure!(
            change.is_none() || !is_image(),
            "{value:?} is the place of a context disc, and nothing else may be there"
        );
        let before = taken.insert(plain(value), &spot.value);
        ensure!(
            before.is_none_or(|before| plain(before) == plain(&spot.value)),
            "{:?} and {:?} would both become {value:?}",
            before.unwrap_or_default(),
            spot.value
        );
    }
    Ok(())
}

/// Two disks must not come to share a volume or an image of a storage server.
pub(super) fn check_images_apart(before: &Spots, after: &Spots) -> Result<()> {
    let mut taken = BTreeMap::new();
    for (old, new) in images(before).into_iter().zip(images(after)) {
        let shared = taken.insert(new.clone(), old.clone()).filter(|other| *other != old);
        ensure!(shared.is_none(), "two disks would both become {}", new.join(" "));
    }
    Ok(())
}

/// What each disk of a pool or a storage server is: the pool and the volume, or the name and the servers.
fn images(spots: &Spots) -> Vec<Vec<&str>> {
    let mut images: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    let is_part = |place| matches!(place, Place::DiskPool | Place::DiskVolume | Place::DiskName | Place::DiskHost);
    for spot in spots.spots.iter().filter(|spot| is_part(spot.place)) {
        images.entry(spot.device).or_default().push(&spot.value);
    }
    images.into_values().collect()
}
