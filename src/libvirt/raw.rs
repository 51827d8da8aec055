//! The calls that the crate `virt` does not wrap, or wraps wrongly: events of domains, whether their monitor is free, and their
//! state, whose errors it takes for states. All `unsafe` of libvirt is in here.

use std::ffi::{CStr, c_int, c_uint, c_void};

use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error;
use virt::sys;

use crate::context::uuid::Uuid;

/// The domain's state and the reason for it, as libvirt's enumerations number them.
pub(super) fn state(domain: &Domain) -> Result<(c_uint, c_uint), Error> {
    let (mut state, mut reason) = (0, 0);
    // SAFETY: the domain is open and both places are ours.
    let done = unsafe { sys::virDomainGetState(domain.as_ptr(), &mut state, &mut reason, 0) };
    // Both are small non-negative numbers.
    if done == -1 { Err(Error::last_error()) } else { Ok((state as c_uint, reason as c_uint)) }
}

/// Whether nobody is just talking to the domain's hypervisor. Waits for nobody.
pub(super) fn monitor_is_free(domain: &Domain) -> bool {
    let mut info = sys::virDomainControlInfo { state: 0, details: 0, stateTime: 0 };
    // SAFETY: the domain is open and the place is ours.
    let done = unsafe { sys::virDomainGetControlInfo(domain.as_ptr(), &mut info, 0) };
    done == 0 && info.state == sys::VIR_DOMAIN_CONTROL_OK
}

/// Calls `happened`, in the event loop's thread, for each domain in whose life something happens, as long as the watch lasts.
pub(super) fn watch(connection: &Connect, happened: impl Fn(Uuid) + Send + 'static) -> Result<Watch<'_>, Error> {
    let happened: Happened = Box::new(happened);
    let opaque = Box::into_raw(Box::new(happened)).cast::<c_void>();
    // SAFETY: libvirt calls a lifecycle callback with exactly the arguments of `LifecycleCallback`; the generic type
    // is only how the C interface takes callbacks of all kinds.
    let callback = unsafe { std::mem::transmute::<LifecycleCallback, unsafe extern "C" fn(_, _, _)>(on_lifecycle) };
    // SAFETY: the connection is open; `opaque` is a `Happened`, which `on_lifecycle` borrows and `free_happened`
    // frees when libvirt drops the callback.
    let registered = unsafe {
        sys::virConnectDomainEventRegisterAny(
            connection.as_ptr(),
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
        return Err(Error::last_error());
    }
    Ok(Watch { connection, callback: registered })
}

/// A callback at a connection, which it keeps open in libvirt's eyes: closed before this ends, it would stay, and the daemon
/// would complain of an end that it was not told.
pub(crate) struct Watch<'c> {
    connection: &'c Connect,
    callback: c_int,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        // SAFETY: the connection is open as long as it is borrowed, and the number is what it gave.
        let _lost_perhaps = unsafe { sys::virConnectDomainEventDeregisterAny(self.connection.as_ptr(), self.callback) };
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
