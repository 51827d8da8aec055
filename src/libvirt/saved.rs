//! Discs that must not be removed although their VM does not run: a snapshot or a saved state of it names them, and libvirt
//! looks for such a file before it calls the hook. Going back to an external snapshot without it would leave the VM shut off.

use std::path::Path;

use super::connection::Libvirt;
use super::trouble::Trouble;
use crate::context::uuid::Uuid;

/// Whether a snapshot or a saved state of the VM here names `image`. Where libvirt does not tell, one may.
pub(crate) fn names(libvirt: &Libvirt, uuid: &Uuid, image: &Path) -> bool {
    let named = libvirt.domain(uuid).and_then(|domain| domain.is_named_by_saved(&image.to_string_lossy()));
    named.unwrap_or_else(|trouble| !matches!(trouble, Trouble::Gone))
}
