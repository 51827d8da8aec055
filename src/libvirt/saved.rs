//! Discs that must not be removed although their VM does not run: a snapshot or a saved state of it names them, and libvirt
//! looks for such a file before it calls the hook. Going back to an external snapshot without it would leave the VM shut off.

use std::path::Path;

use super::connection::Libvirt;
use super::trouble::Trouble;
use crate::context::uuid::Uuid;
use crate::host::vm::state::State;

/// Whether what is known of a VM that does not run is of use to one that is to go on from a snapshot or a saved state here: its
/// disc, or that a link of its is down.
pub(crate) fn wants(libvirt: &Libvirt, state: &State) -> bool {
    let has_link_down = state.rules.as_ref().is_some_and(|rules| !rules.links_down.is_empty());
    let none = Path::new("no image");
    let image = state.image.as_deref().or_else(|| has_link_down.then_some(none));
    image.is_some_and(|image| names(libvirt, &state.uuid, image))
}

/// Whether a snapshot or a saved state of the VM here names `image`. Where libvirt does not tell, one may.
pub(crate) fn names(libvirt: &Libvirt, uuid: &Uuid, image: &Path) -> bool {
    let named = libvirt.domain(uuid).and_then(|domain| domain.is_named_by_saved(&image.to_string_lossy()));
    named.unwrap_or_else(|trouble| !matches!(trouble, Trouble::Gone))
}
