//! Ends an operation in the module below whose call was answered with an error here, as it would be had the error been real.

#![expect(unsafe_code, reason = "the functions of the module below are C functions")]

use cryptoki_sys::{CK_FUNCTION_LIST, CK_SESSION_HANDLE};

use crate::forward::Function;

/// Room for what is left of an operation. Where it is not enough the operation goes on.
const ROOM: usize = 4096;

/// Ends the operation of `session` to which `function` belongs, if there is one.
pub(crate) fn end(real: &CK_FUNCTION_LIST, function: Function, session: CK_SESSION_HANDLE) {
    let name = function.name();
    let belongs = |part: &str| name.contains(part);
    let finish = |last: Option<LastPart>| {
        let mut room = [0_u8; ROOM];
        let mut length = ROOM as cryptoki_sys::CK_ULONG;
        if let Some(last) = last {
            // SAFETY: both point to variables that outlive the call, and the length is the buffer's.
            unsafe { last(session, room.as_mut_ptr(), &raw mut length) };
        }
    };
    if belongs("Encrypt") {
        finish(real.C_EncryptFinal);
    }
    if belongs("Decrypt") {
        finish(real.C_DecryptFinal);
    }
    if belongs("Digest") {
        finish(real.C_DigestFinal);
    }
    if belongs("Sign") {
        finish(real.C_SignFinal);
    }
    if belongs("Verify")
        && let Some(last) = real.C_VerifyFinal
    {
        let mut nothing = [0_u8; 1];
        // SAFETY: the signature is of the length said, and too short for any key.
        unsafe { last(session, nothing.as_mut_ptr(), 1) };
    }
    if belongs("FindObjects")
        && let Some(last) = real.C_FindObjectsFinal
    {
        // SAFETY: it takes nothing but the handle.
        unsafe { last(session) };
    }
}

type LastPart = unsafe extern "C" fn(
    CK_SESSION_HANDLE,
    *mut cryptoki_sys::CK_BYTE,
    *mut cryptoki_sys::CK_ULONG,
) -> cryptoki_sys::CK_RV;
