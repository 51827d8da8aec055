//! The calls that the crate `virt` does not wrap, or wraps wrongly: events of domains, what they have read from their drives, and
//! their state, whose errors it takes for states. All `unsafe` of libvirt is in here.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr;
use std::slice;

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

/// What is counted of a running domain's drives.
pub(super) struct Counted {
    pub uuid: Uuid,
    /// The number of this run.
    pub run: c_uint,
    /// Each count with its name, such as `block.0.rd.reqs`.
    pub numbers: Vec<(String, u64)>,
    /// Each text likewise, such as `block.0.name`.
    pub texts: Vec<(String, String)>,
}

/// What is counted of the drives of these domains. Waits for no work on a domain: of one that is worked on there are no numbers. It
/// does wait for a hypervisor that does not answer, and until that does others wait who ask about that domain.
pub(super) fn counted(domains: &[&Domain]) -> Result<Vec<Counted>, Error> {
    let (kind, no_wait) = (sys::VIR_DOMAIN_STATS_BLOCK, sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT);
    // libvirt takes no empty list.
    if domains.is_empty() {
        return Ok(Vec::new());
    }
    let mut list: Vec<_> = domains.iter().map(|domain| domain.as_ptr()).chain([ptr::null_mut()]).collect();
    let mut records = ptr::null_mut();
    // SAFETY: the domains are open, and the list ends with a null pointer.
    let count = unsafe { sys::virDomainListGetStats(list.as_mut_ptr(), kind, &mut records, no_wait) };
    let Ok(count) = usize::try_from(count) else { return Err(Error::last_error()) };
    if records.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: libvirt gives so many records, which are valid until they are freed below, and nothing of them leaves this function.
    let counted =
        unsafe { slice::from_raw_parts(records, count) }.iter().filter_map(|record| unsafe { record_of(*record) });
    let counted = counted.collect();
    // SAFETY: it is the list that libvirt gave, and it is freed once.
    unsafe { sys::virDomainStatsRecordListFree(records) };
    Ok(counted)
}

/// # Safety
/// The record must be one that libvirt gave.
unsafe fn record_of(record: sys::virDomainStatsRecordPtr) -> Option<Counted> {
    // SAFETY: the record is valid, and so is all that it points to.
    let sys::_virDomainStatsRecord { dom, params, nparams } = unsafe { *record };
    let mut text = [0; sys::VIR_UUID_STRING_BUFLEN as usize];
    // SAFETY: the domain is valid, and the buffer has the size that libvirt asks for.
    if unsafe { sys::virDomainGetUUIDString(dom, text.as_mut_ptr()) } != 0 {
        return None;
    }
    let uuid = text_of(&text).parse().ok()?;
    // SAFETY: the domain is valid.
    let run = unsafe { sys::virDomainGetID(dom) };
    let (mut numbers, mut texts) = (Vec::new(), Vec::new());
    let count = usize::try_from(nparams).ok().filter(|count| *count > 0 && !params.is_null())?;
    // SAFETY: the record has so many parameters.
    for parameter in unsafe { slice::from_raw_parts(params, count) } {
        let name = text_of(&parameter.field);
        match parameter.type_ as c_uint {
            // SAFETY: the type says which member is set.
            sys::VIR_TYPED_PARAM_ULLONG => numbers.push((name, unsafe { parameter.value.ul })),
            sys::VIR_TYPED_PARAM_STRING => {
                // SAFETY: the same, and the text ends with a NUL.
                let text = unsafe { CStr::from_ptr(parameter.value.s) };
                texts.push((name, text.to_string_lossy().into_owned()));
            }
            _ => {}
        }
    }
    Some(Counted { uuid, run, numbers, texts })
}

/// The text in a field of this size, which ends with a NUL unless it fills it.
fn text_of(field: &[c_char]) -> String {
    let bytes: Vec<u8> = field.iter().take_while(|byte| **byte != 0).map(|byte| *byte as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
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
