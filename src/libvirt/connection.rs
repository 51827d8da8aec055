//! The connection to libvirt's daemon.

use std::sync::OnceLock;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use virt::connect::Connect;
use virt::error::Error;

use super::raw::{self, Watch};
use super::trouble::Trouble;
use crate::context::domain::driver::Driver;
use crate::context::uuid::Uuid;

/// Longest wait for a connection: a daemon that takes calls and never answers would hold us for ever.
const CONNECT: Duration = Duration::from_secs(30);

/// Seconds between two signs of life that we ask of the daemon, and how many may be missing.
const KEEPALIVE: (i32, u32) = (5, 4);

/// The same two of a daemon with Xen's driver, which answers nobody while it builds a VM or attaches a device.
const CONNECT_XEN: Duration = Duration::from_secs(120);
const KEEPALIVE_XEN: (i32, u32) = (5, 24);

pub(crate) struct Libvirt {
    pub(super) connection: Connect,
    pub(super) driver: Driver,
    pub(super) uri: String,
}

impl Libvirt {
    /// Connects to the daemon at `uri`. `on_silence` is called, and this process ends, if it takes the call and does not
    /// answer within 30 seconds (120 with Xen's driver).
    pub(crate) fn connect(uri: &str, on_silence: impl FnOnce() + Send + 'static) -> Result<Libvirt> {
        run_event_loop()?;
        let driver = Driver::of_uri(uri);
        let (longest, (pause, missing)) = match driver {
            Driver::Qemu => (CONNECT, KEEPALIVE),
            Driver::Xen => (CONNECT_XEN, KEEPALIVE_XEN),
        };
        let (answered, silence) = channel::<()>();
        thread::spawn(move || {
            if silence.recv_timeout(longest) == Err(RecvTimeoutError::Timeout) {
                on_silence();
                std::process::exit(1);
            }
        });
        let connection = Connect::open(Some(uri)).map_err(|error| {
            anyhow!("connecting to libvirt at {uri}: {}; check that its daemon is running", error.message())
        })?;
        drop(answered);
        // A driver without a connection of its own, such as test://, knows no such thing.
        let _optional = connection.set_keep_alive(pause, missing);
        Ok(Libvirt { connection, driver, uri: uri.to_owned() })
    }

    /// Connects as one who only looks, which the daemon lets users that may do nothing else. Waits for the daemon for ever.
    pub(crate) fn look(uri: &str) -> Result<Libvirt> {
        run_event_loop()?;
        let connection = Connect::open_read_only(Some(uri))?;
        Ok(Libvirt { connection, driver: Driver::of_uri(uri), uri: uri.to_owned() })
    }

    /// Calls `happened`, in the event loop's thread, for each domain in whose life something happens, as long as the watch lasts.
    pub(crate) fn watch(&self, happened: impl Fn(Uuid) + Send + 'static) -> Result<Watch<'_>, Trouble> {
        self.told(raw::watch(&self.connection, happened))
    }

    /// The daemon's version: major, minor, release.
    pub(crate) fn version(&self) -> Result<(u32, u32, u32), Trouble> {
        let version = self.told(self.connection.get_lib_version())?;
        Ok((version / 1_000_000, version / 1_000 % 1_000, version % 1_000))
    }

    /// What a call came to.
    pub(super) fn told<T>(&self, call: Result<T, Error>) -> Result<T, Trouble> {
        call.map_err(|error| Trouble::of(&error, &self.connection))
    }
}

impl Drop for Libvirt {
    fn drop(&mut self) {
        let _gone_already = self.connection.close();
    }
}

/// Runs libvirt's event loop in a thread of its own, once per process; it must be there before a connection is.
fn run_event_loop() -> Result<()> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    let started = STARTED.get_or_init(|| {
        // Otherwise libvirt prints every error on stderr.
        virt::error::clear_error_callback();
        virt::event::event_register_default_impl().map_err(|error| error.message().to_owned())?;
        thread::spawn(|| while virt::event::event_run_default_impl().is_ok() {});
        Ok(())
    });
    started.clone().map_err(|why| anyhow!("starting libvirt's event loop: {why}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::libvirt::domain::Scope;

    #[test]
    fn one_who_only_looks_can_change_nothing() {
        let libvirt = Libvirt::look("test:///default").unwrap();
        let vm = libvirt.find("test").unwrap();
        let trouble = vm.set_request(Some("<context/>"), &[Scope::Live]).unwrap_err();
        assert!(trouble.to_string().contains("read only"), "{trouble}");
    }

    #[test]
    fn what_a_watch_holds_is_given_back_with_it() {
        let libvirt = Libvirt::connect("test:///default", || {}).unwrap();
        let held = Arc::new(());
        for _ in 0..3 {
            let its = held.clone();
            let watch = libvirt.watch(move |_| drop(its.clone())).unwrap();
            assert_eq!(Arc::strong_count(&held), 2);
            drop(watch);
            assert_eq!(Arc::strong_count(&held), 1);
        }
    }
}
