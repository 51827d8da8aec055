//! libvirt, as much of it as we need: the one module that knows the `virt` crate.
//!
//! Events and the state are read through `virt::sys`: the crate wraps no domain events, and its `Domain::state` takes an
//! error for a state.

use std::ffi::{CStr, c_int, c_uint, c_void};
use std::fmt;
use std::sync::OnceLock;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use quick_xml::escape::escape;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::{Error, ErrorNumber};
use virt::sys;

use crate::context::driver::Driver;
use crate::context::request::NAMESPACE;
use crate::context::uuid::Uuid;

/// Longest wait for a connection: a daemon that takes calls and never answers would hold us for ever.
const CONNECT: Duration = Duration::from_secs(30);

/// Seconds between two signs of life that we ask of the daemon, and how many may be missing.
const KEEPALIVE: (i32, u32) = (5, 4);

/// The same two of a daemon with Xen's driver, which answers nobody while it builds a VM or attaches a device.
const CONNECT_XEN: Duration = Duration::from_secs(120);
const KEEPALIVE_XEN: (i32, u32) = (5, 24);

/// The prefix under which our metadata element is stored.
const METADATA_KEY: &str = "recontext";

/// What a failed call means for what we do next.
#[derive(Debug)]
pub enum Trouble {
    /// The domain is not there any more, or does not run.
    Gone,
    /// The daemon is not there any more.
    Lost,
    /// Something else works on the domain, such as a migration; it would work later.
    Busy(String),
    /// The operation did not come about; for a media change without force: the guest holds the tray.
    Refused(String),
    /// Anything else.
    Other(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Gone => f.write_str("the VM does not run here"),
            Trouble::Lost => f.write_str("the connection to libvirt was lost"),
            Trouble::Busy(message) | Trouble::Refused(message) | Trouble::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Trouble {}

/// Where a VM is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Situation {
    /// It is arriving, or being started: libvirt's own work on it is not done, and a call that changes it would have to
    /// wait.
    Arriving,
    /// Its guest runs here.
    Running,
    /// It is here, and its guest stands still: it cannot answer.
    Paused,
    /// It does not run here.
    Gone,
}

/// A connection to the daemon.
pub struct Libvirt {
    connection: Connect,
    uri: String,
    driver: Driver,
}

/// A domain of that daemon.
pub struct Handle<'l> {
    libvirt: &'l Libvirt,
    domain: Domain,
}

/// Whether a change is for the running VM or for its next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The running VM.
    Live,
    /// The persistent definition.
    Config,
}

impl Scope {
    fn flag(self) -> c_uint {
        match self {
            Scope::Live => sys::VIR_DOMAIN_AFFECT_LIVE,
            Scope::Config => sys::VIR_DOMAIN_AFFECT_CONFIG,
        }
    }
}

impl Libvirt {
    /// Connects to the daemon at `uri`. `on_silence` is called, and this process ends, if it takes the call and does not
    /// answer within 30 seconds (120 with Xen's driver).
    ///
    /// # Errors
    /// When there is no daemon.
    pub fn connect(uri: &str, on_silence: impl FnOnce() + Send + 'static) -> Result<Libvirt> {
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
        let connection = Connect::open(Some(uri))
            .map_err(|error| anyhow!("connecting to libvirt at {uri}: {}; is its daemon running?", error.message()))?;
        drop(answered);
        // A driver without a connection of its own, such as test://, knows no such thing.
        let _optional = connection.set_keep_alive(pause, missing);
        Ok(Libvirt { connection, uri: uri.to_owned(), driver })
    }

    /// Calls `happened`, in the event loop's thread, for each domain in whose life something happens, until the
    /// connection ends.
    ///
    /// # Errors
    /// When the daemon gives no events.
    pub fn watch(&self, happened: impl Fn(Uuid) + Send + 'static) -> Result<(), Trouble> {
        let happened: Happened = Box::new(happened);
        let opaque = Box::into_raw(Box::new(happened)).cast::<c_void>();
        // SAFETY: libvirt calls a lifecycle callback with exactly the arguments of `LifecycleCallback`; the generic type
        // is only how the C interface takes callbacks of all kinds.
        let callback = unsafe { std::mem::transmute::<LifecycleCallback, unsafe extern "C" fn(_, _, _)>(on_lifecycle) };
        // SAFETY: the connection is open; `opaque` is a `Happened`, which `on_lifecycle` borrows and `free_happened`
        // frees when libvirt drops the callback.
        let registered = unsafe {
            sys::virConnectDomainEventRegisterAny(
                self.connection.as_ptr(),
                std::ptr::null_mut(),
                sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE as c_int,
                Some(callback),
                opaque,
                Some(free_happened),
            )
        };
        if registered == -1 {
            // SAFETY: libvirt did not take it, so it is still ours.
            drop(unsafe { Box::from_raw(opaque.cast::<Happened>()) });
            return Err(self.trouble(&Error::last_error()));
        }
        Ok(())
    }

    /// The domain with this UUID.
    ///
    /// # Errors
    /// [`Trouble::Gone`] when there is none.
    pub fn domain(&self, uuid: &Uuid) -> Result<Handle<'_>, Trouble> {
        let domain = Domain::lookup_by_uuid_string(&self.connection, &uuid.to_string());
        Ok(Handle { libvirt: self, domain: domain.map_err(|error| self.trouble(&error))? })
    }

    /// The domain that a person calls `name`: by name, or by UUID.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, name: &str) -> Result<Handle<'_>> {
        // A NUL cannot be in a C string, nor in a domain's name.
        let by_name = if name.contains('\0') { None } else { Domain::lookup_by_name(&self.connection, name).ok() };
        let by_uuid = || name.parse::<Uuid>().ok().and_then(|uuid| self.domain(&uuid).ok());
        let found = by_name.map(|domain| Handle { libvirt: self, domain }).or_else(by_uuid);
        found.with_context(|| format!("there is no VM {name:?} at {}; \"virsh list --all\" shows all", self.uri))
    }

    /// All running domains.
    ///
    /// # Errors
    /// When the daemon does not tell.
    pub fn running(&self) -> Result<Vec<Handle<'_>>, Trouble> {
        self.list(sys::VIR_CONNECT_LIST_DOMAINS_ACTIVE)
    }

    /// All domains, running or only defined.
    ///
    /// # Errors
    /// When the daemon does not tell.
    pub fn all(&self) -> Result<Vec<Handle<'_>>, Trouble> {
        self.list(0)
    }

    /// The daemon's version: major, minor, release.
    ///
    /// # Errors
    /// When the daemon does not tell.
    pub fn version(&self) -> Result<(u32, u32, u32), Trouble> {
        let version = self.connection.get_lib_version().map_err(|error| self.trouble(&error))?;
        Ok((version / 1_000_000, version / 1_000 % 1_000, version % 1_000))
    }

    fn list(&self, flags: c_uint) -> Result<Vec<Handle<'_>>, Trouble> {
        let domains = self.connection.list_all_domains(flags);
        let domains = domains.map_err(|error| self.trouble(&error))?;
        Ok(domains.into_iter().map(|domain| Handle { libvirt: self, domain }).collect())
    }

    fn trouble(&self, error: &Error) -> Trouble {
        let message = error.message().to_owned();
        match error.code() {
            ErrorNumber::NoDomain => Trouble::Gone,
            ErrorNumber::OperationTimeout => Trouble::Busy(message),
            ErrorNumber::OperationFailed => Trouble::Refused(message),
            _ if !self.connection.is_alive().unwrap_or(false) => Trouble::Lost,
            _ => Trouble::Other(message),
        }
    }
}

impl Drop for Libvirt {
    fn drop(&mut self) {
        let _gone_already = self.connection.close();
    }
}

impl Handle<'_> {
    /// Its name.
    ///
    /// # Errors
    /// When libvirt cannot tell.
    pub fn name(&self) -> Result<String, Trouble> {
        self.domain.get_name().map_err(|error| self.libvirt.trouble(&error))
    }

    /// Its UUID.
    ///
    /// # Errors
    /// When libvirt cannot tell.
    pub fn uuid(&self) -> Result<Uuid, Trouble> {
        let uuid = self.domain.get_uuid_string().map_err(|error| self.libvirt.trouble(&error))?;
        uuid.parse().map_err(|error| Trouble::Other(format!("{error}")))
    }

    /// Where it is on its way. Never waits for other work on the domain.
    ///
    /// # Errors
    /// When libvirt cannot tell.
    pub fn situation(&self) -> Result<Situation, Trouble> {
        let (mut state, mut reason) = (0, 0);
        // SAFETY: the domain is open and both places are ours.
        let done = unsafe { sys::virDomainGetState(self.domain.as_ptr(), &mut state, &mut reason, 0) };
        if done == -1 {
            return match self.libvirt.trouble(&Error::last_error()) {
                Trouble::Gone => Ok(Situation::Gone),
                trouble => Err(trouble),
            };
        }
        // Both are small non-negative numbers of C enumerations.
        let situation = match (state as c_uint, reason as c_uint) {
            (sys::VIR_DOMAIN_RUNNING, sys::VIR_DOMAIN_RUNNING_POSTCOPY | sys::VIR_DOMAIN_RUNNING_POSTCOPY_FAILED) => {
                Situation::Arriving
            }
            (
                sys::VIR_DOMAIN_PAUSED,
                sys::VIR_DOMAIN_PAUSED_MIGRATION
                | sys::VIR_DOMAIN_PAUSED_STARTING_UP
                | sys::VIR_DOMAIN_PAUSED_POSTCOPY
                | sys::VIR_DOMAIN_PAUSED_POSTCOPY_FAILED,
            ) => Situation::Arriving,
            (sys::VIR_DOMAIN_RUNNING | sys::VIR_DOMAIN_BLOCKED, _) => Situation::Running,
            (sys::VIR_DOMAIN_PAUSED | sys::VIR_DOMAIN_PMSUSPENDED, _) => Situation::Paused,
            _ => Situation::Gone,
        };
        // To Xen's driver a VM is shut off until all its memory has come, and then paused; only the work on it is known.
        let may_arrive = self.libvirt.driver == Driver::Xen && matches!(situation, Situation::Gone | Situation::Paused);
        Ok(if may_arrive && self.is_worked_on() { Situation::Arriving } else { situation })
    }

    /// Whether long work is done on it, such as a migration away from here, for which a change would have to wait.
    pub fn is_worked_on(&self) -> bool {
        self.domain.get_job_info().is_ok_and(|job| job.r#type != sys::VIR_DOMAIN_JOB_NONE as i32)
    }

    /// Whether it has a persistent definition.
    ///
    /// # Errors
    /// When libvirt cannot tell.
    pub fn is_persistent(&self) -> Result<bool, Trouble> {
        self.domain.is_persistent().map_err(|error| self.libvirt.trouble(&error))
    }

    /// The XML of the running VM (of the persistent definition, if it does not run), or of the persistent definition.
    /// Not while it arrives: the call would wait for that to end.
    ///
    /// # Errors
    /// When libvirt cannot tell.
    pub fn xml(&self, scope: Scope) -> Result<String, Trouble> {
        let flags = match scope {
            Scope::Live => 0,
            Scope::Config => sys::VIR_DOMAIN_XML_INACTIVE,
        };
        self.domain.get_xml_desc(flags).map_err(|error| self.libvirt.trouble(&error))
    }

    /// Changes a device to what `xml` says; with `force`, the medium even of a locked drive.
    ///
    /// # Errors
    /// [`Trouble::Refused`] when the guest does not let go of the medium within libvirt's 5 seconds.
    pub fn update_device(&self, xml: &str, scope: Scope, force: bool) -> Result<(), Trouble> {
        let force = if force { sys::VIR_DOMAIN_DEVICE_MODIFY_FORCE } else { 0 };
        let done = self.domain.update_device_flags(xml, scope.flag() | force);
        done.map(drop).map_err(|error| match self.libvirt.trouble(&error) {
            Trouble::Other(_) if error.code() == ErrorNumber::OperationInvalid && !self.is_active() => Trouble::Gone,
            trouble => trouble,
        })
    }

    /// Adds a device.
    ///
    /// # Errors
    /// When libvirt refuses it.
    pub fn add_device(&self, xml: &str, scope: Scope) -> Result<(), Trouble> {
        let done = self.domain.attach_device_flags(xml, scope.flag());
        done.map(drop).map_err(|error| self.libvirt.trouble(&error))
    }

    /// Takes a device away.
    ///
    /// # Errors
    /// When libvirt refuses it, or the guest does not give it back.
    pub fn remove_device(&self, xml: &str, scope: Scope) -> Result<(), Trouble> {
        let done = self.domain.detach_device_flags(xml, scope.flag());
        done.map(drop).map_err(|error| self.libvirt.trouble(&error))
    }

    /// The number that the hypervisor knows the running VM by.
    pub fn id(&self) -> Option<u32> {
        self.domain.get_id()
    }

    /// Writes our metadata element, or removes it.
    ///
    /// # Errors
    /// When libvirt refuses it.
    pub fn set_request(&self, xml: Option<&str>, scopes: &[Scope]) -> Result<(), Trouble> {
        let flags = scopes.iter().fold(0, |flags, scope| flags | scope.flag());
        let kind = sys::VIR_DOMAIN_METADATA_ELEMENT as i32;
        let done = self.domain.set_metadata(kind, xml, Some(METADATA_KEY), Some(NAMESPACE), flags);
        done.map(drop).map_err(|error| self.libvirt.trouble(&error))
    }

    /// Whether a snapshot or the saved state of it on this host names `path`, so that libvirt may look for that file.
    ///
    /// # Errors
    /// When libvirt cannot tell.
    pub fn is_named_by_saved(&self, path: &str) -> Result<bool, Trouble> {
        let saved = || -> Result<bool, Error> {
            if self.domain.has_managed_save(0)? {
                return Ok(true);
            }
            for snapshot in self.domain.list_all_snapshots(0)? {
                let xml = snapshot.get_xml_desc(0)?;
                if xml.contains(path) || xml.contains(escape(path).as_ref()) {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        match saved() {
            // A driver that has none of both.
            Err(error) if error.code() == ErrorNumber::NoSupport => Ok(false),
            saved => saved.map_err(|error| self.libvirt.trouble(&error)),
        }
    }

    fn is_active(&self) -> bool {
        self.domain.is_active().unwrap_or(false)
    }
}

/// Who is told which domain something happened to.
type Happened = Box<dyn Fn(Uuid) + Send>;

type LifecycleCallback =
    unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, c_int, *mut c_void) -> c_int;

/// Tells the `Happened` behind `opaque` which domain it is about.
unsafe extern "C" fn on_lifecycle(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _event: c_int,
    _detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    let mut text = [0; sys::VIR_UUID_STRING_BUFLEN as usize];
    // SAFETY: libvirt gives a valid domain, and the buffer has the size that it asks for.
    if unsafe { sys::virDomainGetUUIDString(domain, text.as_mut_ptr()) } == 0 {
        // SAFETY: libvirt ended the text with a NUL inside the buffer.
        let uuid = unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy().parse::<Uuid>();
        // SAFETY: `opaque` is the `Happened` given at registration; it lives until `free_happened`.
        let happened = unsafe { &*opaque.cast::<Happened>() };
        if let Ok(uuid) = uuid {
            happened(uuid);
        }
    }
    0
}

/// Frees the `Happened` when libvirt drops the callback.
unsafe extern "C" fn free_happened(opaque: *mut c_void) {
    // SAFETY: made by `Box::into_raw` in `watch`, and libvirt calls this once.
    drop(unsafe { Box::from_raw(opaque.cast::<Happened>()) });
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
