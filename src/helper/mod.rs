//! What runs later, outside libvirtd's sight: it talks to libvirt, waits and tries again. Also the command line.

pub mod cli;

mod build;
mod deliver;
mod desk;
mod disable;
mod doctor;
mod enable;
pub mod exit;
mod fixed_disc;
mod hotplug;
mod last_good;
mod libvirt;
mod media;
mod phases;
mod preview;
mod programs;
mod refresh;
mod saved;
mod status;
mod swap;
mod vm;
mod worker;
mod xenstore;
