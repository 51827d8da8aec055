//! virt-recontext: gives a running VM the settings of the host it has just arrived on.
//!
//! The zones, from the inside out:

// Pure: facts, templates and layers to files, files to an image; a domain's XML in, the edited XML out.
pub mod context;
// The machine: paths, configuration, files, locks, jobs and states, the log.
pub mod host;
// What runs while libvirtd waits.
pub mod hook;
// What runs later: libvirt, waiting, trying again; the command line.
#[cfg(feature = "libvirt")]
pub mod helper;

#[cfg(all(feature = "libvirt", target_feature = "crt-static"))]
compile_error!("libvirt can only be linked dynamically: build the static hook with --no-default-features");
