//! In the place of the C compiler's unwinder, whose tables packaging/build leaves out: a panic ends the hook (`main`), and
//! the C library unwinds only threads that are cancelled, of which there are none.
//!
//! The compiler sees that no stack is walked here, and so leaves out what std has for naming what it finds on one: readers
//! of ELF, of DWARF, of mangled names and of what is compressed. With the unwinder itself, 213 KiB.
#![allow(non_snake_case, reason = "they are called so")]

use std::ffi::{c_int, c_void};
use std::process::abort;

/// Success, and no frame that the stack could be told of.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_tell: *const c_void, _argument: *mut c_void) -> c_int {
    0
}

macro_rules! never_called {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> ! {
            abort()
        }
    )*};
}

// The rest of the unwinder's interface: std and the C library name some of it. A function that is missing here would bring
// the unwinder back, and the linker refuses two of the others.
never_called! {
    _Unwind_DeleteException _Unwind_FindEnclosingFunction _Unwind_ForcedUnwind _Unwind_GetCFA _Unwind_GetDataRelBase
    _Unwind_GetGR _Unwind_GetIP _Unwind_GetIPInfo _Unwind_GetLanguageSpecificData _Unwind_GetRegionStart
    _Unwind_GetTextRelBase _Unwind_RaiseException _Unwind_Resume _Unwind_Resume_or_Rethrow _Unwind_SetGR _Unwind_SetIP
}
