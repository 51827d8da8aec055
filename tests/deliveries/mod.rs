//! The helper's heart: jobs, states and discs, by way of libvirt's test driver, which ejects and inserts as others do.
//!
//! The daemon of the host is a node file (`node`). Each process that opens it has VMs of its own, as the file tells of
//! them, so what a helper has done shows in the files of this host, in the log and in its exit code, never in a VM.
//!
//! What cannot be shown with this driver, or not in a moment, and is for the hosts of tests/live and tests/xen:
//!   - a guest that holds its disc: the grace, the force after it, a paused guest's disc, `disable` that leaves it there;
//!   - force at all: the driver refuses it, which stands here for any refusal;
//!   - a VM that is still arriving, or that something else works on, and the events that end that;
//!   - a daemon that goes away, comes back or falls silent while a helper is at work;
//!   - the helper's patience of ten minutes, and `refresh` that ends with 3 after half a minute;
//!   - what `disable` takes out of a VM's metadata and drive, and what a second look at the drive would find there;
//!   - that Xen's VMs do not wait for QEMU's daemon, which comes first, and all else that is Xen's own.

mod check;
mod complete;
mod disable;
mod enable;
mod events;
mod facts;
mod full;
mod helpers;
mod host_wide;
mod isolation;
mod jobs;
mod left;
mod metrics;
mod node;
mod refresh;
mod released;
mod rewrite;
mod select;
mod set;
mod settle;
mod signing;
mod status;
mod store;
mod wait;
