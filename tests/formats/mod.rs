//! The programs that guests read their context with read ours: cloud-init's own code, and shells.
//!
//! Facts and files are composed, written as a disc, taken off it by bsdtar and given to those readers, which must find
//! every fact and every file unchanged. A program that isn't there is a failure that names its Debian package.

mod cloud_init;
mod disc;
mod expected;
mod promises;
mod random;
mod samples;
mod shells;
