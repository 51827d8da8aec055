//! virt-recontext: gives a running VM the settings of the host it has just arrived on.
//!
//! The zones, from the inside out:

// Pure: a domain's XML in, the edited XML out; facts, templates and layers to files, files to an image.
pub mod context;
// The machine: paths, configuration, files, programs, the log, and what there is of each VM.
#[cfg_attr(not(feature = "libvirt"), expect(dead_code, reason = "the hook alone needs but a part of it"))]
pub mod host;
// What runs while libvirtd waits.
pub mod hook;
// A process of its own that composes discs for the helper and the command line.
#[cfg(feature = "libvirt")]
pub mod composer;
// The connection to libvirt.
#[cfg(feature = "libvirt")]
mod libvirt;
// The helper, which runs by itself: it waits, changes media, tries again.
#[cfg(feature = "libvirt")]
pub mod delivery;
// What judges a directory of configuration.
#[cfg(feature = "libvirt")]
mod check;
// What looks at the host and its VMs and says what is wrong.
#[cfg(feature = "libvirt")]
mod doctor;
// What a person types.
#[cfg(feature = "libvirt")]
pub mod commands;

#[cfg(all(feature = "libvirt", target_feature = "crt-static"))]
compile_error!("libvirt can only be linked dynamically: build the static hook with --no-default-features");
