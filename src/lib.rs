//! virt-recontext: gives a running VM the settings of the host it has just arrived on.
//!
//! The zones, from the inside out:

// Pure: facts, templates and layers to files, files to an image; a domain's XML in, the edited XML out.
pub mod context;
// The machine: paths, configuration, files, locks, jobs and states, the log.
pub mod host;
// What runs while libvirtd waits.
pub mod hook;
