//! The functions that do more than forward: those that say which slots, tokens and sessions there are.

#![expect(unsafe_code, reason = "these are functions of a C interface, and call the one below")]

use std::{ffi::c_void, ptr};

use cryptoki_sys::*;

use crate::shim::Shim;

/// What NSS takes for C_Initialize: one pointer more than PKCS#11 has, so that the one before it is its own.
#[repr(C)]
struct InitArgs {
    standard: CK_C_INITIALIZE_ARGS,
    more: *mut c_void,
}

/// Calls a function of the module below.
macro_rules! real {
    ($shim:ident.$name:ident($($argument:expr),*)) => {
        match $shim.real().$name {
            // SAFETY: the arguments are the application's, or pointers to variables of this file that outlive the call.
            Some(function) => unsafe { function($($argument),*) },
            None => CKR_FUNCTION_NOT_SUPPORTED,
        }
    };
}

pub(crate) unsafe fn initialize(shim: &Shim, args: *mut c_void) -> CK_RV {
    let answer = match shim.init_args() {
        None => real!(shim.C_Initialize(args)),
        Some(text) => {
            // SAFETY: what the application gives to C_Initialize is null or these arguments.
            let given = (!args.is_null()).then(|| unsafe { *args.cast::<CK_C_INITIALIZE_ARGS>() });
            let given = given.unwrap_or(CK_C_INITIALIZE_ARGS { flags: CKF_OS_LOCKING_OK, ..Default::default() });
            let standard = CK_C_INITIALIZE_ARGS { pReserved: text.as_ptr().cast_mut().cast(), ..given };
            let mut args = InitArgs { standard, more: ptr::null_mut() };
            real!(shim.C_Initialize((&raw mut args).cast()))
        }
    };
    if answer == CKR_OK {
        shim.initialised();
    }
    answer
}

pub(crate) unsafe fn finalize(shim: &Shim, reserved: *mut c_void) -> CK_RV {
    shim.finalising();
    real!(shim.C_Finalize(reserved))
}

pub(crate) unsafe fn function_list(shim: &'static Shim, list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    if list.is_null() {
        return CKR_ARGUMENTS_BAD;
    }
    // SAFETY: not null, and PKCS#11 wants it to be valid.
    unsafe { *list = ptr::from_ref(shim.list()).cast_mut() }
    CKR_OK
}

pub(crate) unsafe fn slot_list(shim: &Shim, present: CK_BBOOL, slots: *mut CK_SLOT_ID, count: *mut CK_ULONG) -> CK_RV {
    if count.is_null() {
        return CKR_ARGUMENTS_BAD;
    }
    let mut found = Vec::new();
    if !shim.no_slots() {
        let mut length = 0;
        let answer = real!(shim.C_GetSlotList(present, ptr::null_mut(), &raw mut length));
        if answer != CKR_OK {
            return answer;
        }
        // A slot may come between the two calls.
        length += 8;
        found = vec![0; usize::try_from(length).unwrap_or_default()];
        let answer = real!(shim.C_GetSlotList(present, found.as_mut_ptr(), &raw mut length));
        if answer != CKR_OK {
            return answer;
        }
        found.truncate(usize::try_from(length).unwrap_or_default());
    }
    if present == CK_TRUE {
        found.retain(|slot| !shim.is_removed(*slot));
    }
    // SAFETY: checked above, and PKCS#11 wants it to be valid.
    let count = unsafe { &mut *count };
    let room = usize::try_from(*count).unwrap_or_default();
    *count = found.len() as CK_ULONG;
    if slots.is_null() {
        return CKR_OK;
    }
    if room < found.len() {
        return CKR_BUFFER_TOO_SMALL;
    }
    // SAFETY: the application says that there is room for that many.
    unsafe { ptr::copy_nonoverlapping(found.as_ptr(), slots, found.len()) }
    CKR_OK
}

pub(crate) unsafe fn slot_info(shim: &Shim, slot: CK_SLOT_ID, info: *mut CK_SLOT_INFO) -> CK_RV {
    let answer = real!(shim.C_GetSlotInfo(slot, info));
    if answer == CKR_OK && shim.is_removed(slot) {
        // SAFETY: the module below has just filled it.
        unsafe { (*info).flags &= !CKF_TOKEN_PRESENT }
    }
    answer
}

pub(crate) unsafe fn token_info(shim: &Shim, slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO) -> CK_RV {
    let answer = real!(shim.C_GetTokenInfo(slot, info));
    if answer == CKR_OK
        && let Some(serial) = shim.serial(slot)
    {
        // SAFETY: the module below has just filled it.
        let field = unsafe { &mut (*info).serialNumber };
        field.fill(b' ');
        field.iter_mut().zip(serial.bytes()).for_each(|(place, byte)| *place = byte);
    }
    answer
}

pub(crate) unsafe fn init_token(
    shim: &Shim,
    slot: CK_SLOT_ID,
    pin: *mut CK_BYTE,
    length: CK_ULONG,
    label: *mut CK_BYTE,
) -> CK_RV {
    let answer = real!(shim.C_InitToken(slot, pin, length, label));
    shim.token_changed(slot);
    answer
}

pub(crate) unsafe fn open_session(
    shim: &Shim,
    slot: CK_SLOT_ID,
    flags: CK_FLAGS,
    application: *mut c_void,
    notify: CK_NOTIFY,
    session: *mut CK_SESSION_HANDLE,
) -> CK_RV {
    let answer = real!(shim.C_OpenSession(slot, flags, application, notify, session));
    if answer == CKR_OK {
        // SAFETY: the module below has just written the handle there.
        shim.opened(unsafe { *session }, slot);
    }
    answer
}

pub(crate) unsafe fn close_session(shim: &Shim, session: CK_SESSION_HANDLE) -> CK_RV {
    let answer = real!(shim.C_CloseSession(session));
    if answer == CKR_OK {
        shim.closed(session);
    }
    answer
}

pub(crate) unsafe fn close_all_sessions(shim: &Shim, slot: CK_SLOT_ID) -> CK_RV {
    let answer = real!(shim.C_CloseAllSessions(slot));
    if answer == CKR_OK {
        shim.all_closed(slot);
    }
    answer
}

/// The label of the token in a slot.
pub(crate) fn label(shim: &Shim, slot: CK_SLOT_ID) -> Option<String> {
    let mut info = CK_TOKEN_INFO::default();
    let answer = real!(shim.C_GetTokenInfo(slot, &raw mut info));
    (answer == CKR_OK).then(|| String::from_utf8_lossy(&info.label).trim_end_matches([' ', '\0']).to_owned())
}

/// Closes a session behind the application's back.
pub(crate) fn close(shim: &Shim, session: CK_SESSION_HANDLE) {
    // It may be closed already.
    let _ = real!(shim.C_CloseSession(session));
}

/// Logs whoever is logged in out of the token in a slot.
pub(crate) fn log_out(shim: &Shim, slot: CK_SLOT_ID) {
    let mut session = 0;
    if real!(shim.C_OpenSession(slot, CKF_SERIAL_SESSION, ptr::null_mut(), None, &raw mut session)) == CKR_OK {
        // Perhaps nobody is logged in.
        let _ = real!(shim.C_Logout(session));
        close(shim, session);
    }
}
