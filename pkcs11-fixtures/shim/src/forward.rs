//! The functions of PKCS#11 2.40, as the application sees them: each asks [`Shim::call`] and forwards to the module below.
//!
//! The table at the end of this file is the one list of them: the enumeration, the exported functions and the function list
//! are made from it.

#![expect(unsafe_code, reason = "C calls these functions, with the pointers that PKCS#11 prescribes")]

use std::{ffi::c_void, fmt, str::FromStr};

use cryptoki_sys::*;

use crate::{
    grammar::SyntaxError,
    shim::{Shim, Target},
    special,
};

type Handle = CK_OBJECT_HANDLE;
type Session = CK_SESSION_HANDLE;
type Bytes = *mut CK_BYTE;
type Len = CK_ULONG;

/// What a call is about.
macro_rules! target {
    () => {
        Target::Library
    };
    (slot $slot:ident) => {
        Target::Slot($slot)
    };
    (session $session:ident) => {
        Target::Session($session)
    };
}

/// The call of the module below, by way of a function of ours where there is one.
macro_rules! below {
    ($shim:ident, $name:ident, ($($argument:ident),*), by $special:ident) => {
        // SAFETY: the application's arguments are passed on as they are; PKCS#11 says what they may be.
        unsafe { special::$special($shim, $($argument),*) }
    };
    ($shim:ident, $name:ident, ($($argument:ident),*)) => {
        match $shim.real().$name {
            // SAFETY: as above.
            Some(function) => unsafe { function($($argument),*) },
            None => CKR_FUNCTION_NOT_SUPPORTED,
        }
    };
}

macro_rules! functions {
    ($($name:ident($($argument:ident: $type:ty),*) [$($target:tt)*] $(=> $out:ident[$length:expr])? $(by $special:ident)?;)*) => {
        /// A function of PKCS#11.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(non_camel_case_types, reason = "the names are the specification's")]
        pub enum Function {
            $(#[doc = stringify!($name)] $name,)*
        }

        impl Function {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name in the specification.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// Whether it returns bytes, which can be corrupted.
            pub fn writes_bytes(self) -> bool {
                match self { $(Self::$name => false $(|| !stringify!($out).is_empty())?,)* }
            }
        }

        #[allow(non_snake_case, reason = "the names are the specification's")]
        mod entry {
            use super::*;
            $(
                pub(super) unsafe extern "C" fn $name($($argument: $type),*) -> CK_RV {
                    Shim::call(
                        Function::$name,
                        target!($($target)*),
                        |shim| below!(shim, $name, ($($argument),*) $(, by $special)?),
                        || { $(flip($out, $length))? },
                    )
                }
            )*
        }

        /// The function list to give to the application: what the module below lacks is missing here too.
        pub(crate) fn list(real: &CK_FUNCTION_LIST) -> CK_FUNCTION_LIST {
            CK_FUNCTION_LIST {
                version: real.version,
                $($name: real.$name.and(Some(entry::$name)),)*
            }
        }
    };
}

/// Flips one bit in the middle of an output.
fn flip(out: Bytes, length: CK_ULONG) {
    let Ok(middle) = usize::try_from(length / 2) else { return };
    if !out.is_null() && length > 0 {
        // SAFETY: the module below has just written `length` bytes there.
        unsafe { *out.add(middle) ^= 1 }
    }
}

/// The length that the module below reported.
fn at(length: *mut CK_ULONG) -> CK_ULONG {
    // SAFETY: PKCS#11 wants a valid pointer, through which the module below has just written.
    if length.is_null() { 0 } else { unsafe { *length } }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Function {
    type Err = SyntaxError;

    fn from_str(word: &str) -> Result<Self, SyntaxError> {
        let found = Self::ALL.iter().find(|function| function.name() == word);
        found.copied().ok_or_else(|| SyntaxError(format!("unknown function: {word}")))
    }
}

functions! {
    C_Initialize(args: *mut c_void) [] by initialize;
    C_Finalize(reserved: *mut c_void) [] by finalize;
    C_GetInfo(info: *mut CK_INFO) [];
    C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) [] by function_list;
    C_GetSlotList(present: CK_BBOOL, slots: *mut CK_SLOT_ID, count: *mut Len) [] by slot_list;
    C_GetSlotInfo(slot: CK_SLOT_ID, info: *mut CK_SLOT_INFO) [slot slot] by slot_info;
    C_GetTokenInfo(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO) [slot slot] by token_info;
    C_GetMechanismList(slot: CK_SLOT_ID, list: *mut CK_MECHANISM_TYPE, count: *mut Len) [slot slot];
    C_GetMechanismInfo(slot: CK_SLOT_ID, mechanism: CK_MECHANISM_TYPE, info: *mut CK_MECHANISM_INFO) [slot slot];
    C_InitToken(slot: CK_SLOT_ID, pin: Bytes, length: Len, label: Bytes) [slot slot] by init_token;
    C_InitPIN(session: Session, pin: Bytes, length: Len) [session session];
    C_SetPIN(session: Session, old: Bytes, old_len: Len, new: Bytes, new_len: Len) [session session];
    C_OpenSession(slot: CK_SLOT_ID, flags: CK_FLAGS, application: *mut c_void, notify: CK_NOTIFY, session: *mut Session)
        [slot slot] by open_session;
    C_CloseSession(session: Session) [session session] by close_session;
    C_CloseAllSessions(slot: CK_SLOT_ID) [slot slot] by close_all_sessions;
    C_GetSessionInfo(session: Session, info: *mut CK_SESSION_INFO) [session session];
    C_GetOperationState(session: Session, out: Bytes, len: *mut Len) [session session] => out[at(len)];
    C_SetOperationState(session: Session, state: Bytes, len: Len, encryption: Handle, authentication: Handle)
        [session session];
    C_Login(session: Session, user: CK_USER_TYPE, pin: Bytes, length: Len) [session session];
    C_Logout(session: Session) [session session];
    C_CreateObject(session: Session, template: *mut CK_ATTRIBUTE, count: Len, object: *mut Handle) [session session];
    C_CopyObject(session: Session, from: Handle, template: *mut CK_ATTRIBUTE, count: Len, object: *mut Handle)
        [session session];
    C_DestroyObject(session: Session, object: Handle) [session session];
    C_GetObjectSize(session: Session, object: Handle, size: *mut Len) [session session];
    C_GetAttributeValue(session: Session, object: Handle, template: *mut CK_ATTRIBUTE, count: Len) [session session];
    C_SetAttributeValue(session: Session, object: Handle, template: *mut CK_ATTRIBUTE, count: Len) [session session];
    C_FindObjectsInit(session: Session, template: *mut CK_ATTRIBUTE, count: Len) [session session];
    C_FindObjects(session: Session, objects: *mut Handle, max: Len, count: *mut Len) [session session];
    C_FindObjectsFinal(session: Session) [session session];
    C_EncryptInit(session: Session, mechanism: *mut CK_MECHANISM, key: Handle) [session session];
    C_Encrypt(session: Session, data: Bytes, data_len: Len, out: Bytes, len: *mut Len) [session session] => out[at(len)];
    C_EncryptUpdate(session: Session, data: Bytes, data_len: Len, out: Bytes, len: *mut Len)
        [session session] => out[at(len)];
    C_EncryptFinal(session: Session, out: Bytes, len: *mut Len) [session session] => out[at(len)];
    C_DecryptInit(session: Session, mechanism: *mut CK_MECHANISM, key: Handle) [session session];
    C_Decrypt(session: Session, data: Bytes, data_len: Len, out: Bytes, len: *mut Len) [session session] => out[at(len)];
    C_DecryptUpdate(session: Session, data: Bytes, data_len: Len, out: Bytes, len: *mut Len)
        [session session] => out[at(len)];
    C_DecryptFinal(session: Session, out: Bytes, len: *mut Len) [session session] => out[at(len)];
    C_DigestInit(session: Session, mechanism: *mut CK_MECHANISM) [session session];
    C_Digest(session: Session, data: Bytes, data_len: Len, out: Bytes, len: *mut Len) [session session] => out[at(len)];
    C_DigestUpdate(session: Session, data: Bytes, data_len: Len) [session session];
    C_DigestKey(session: Session, key: Handle) [session session];
    C_DigestFinal(session: Session, out: Bytes, len: *mut Len) [session session] => out[at(len)];
    C_SignInit(session: Session, mechanism: *mut CK_MECHANISM, key: Handle) [session session];
    C_Sign(session: Session, data: Bytes, data_len: Len, out: Bytes, len: *mut Len) [session session] => out[at(len)];
    C_SignUpdate(session: Session, data: Bytes, data_len: Len) [session session];
    C_SignFinal(session: Session, out: Bytes, len: *mut Len) [session session] => out[at(len)];
    C_SignRecoverInit(session: Session, mechanism: *mut CK_MECHANISM, key: Handle) [session session];
    C_SignRecover(session: Session, data: Bytes, data_len: Len, out: Bytes, len: *mut Len)
        [session session] => out[at(len)];
    C_VerifyInit(session: Session, mechanism: *mut CK_MECHANISM, key: Handle) [session session];
    C_Verify(session: Session, data: Bytes, data_len: Len, signature: Bytes, signature_len: Len) [session session];
    C_VerifyUpdate(session: Session, data: Bytes, data_len: Len) [session session];
    C_VerifyFinal(session: Session, signature: Bytes, signature_len: Len) [session session];
    C_VerifyRecoverInit(session: Session, mechanism: *mut CK_MECHANISM, key: Handle) [session session];
    C_VerifyRecover(session: Session, signature: Bytes, signature_len: Len, out: Bytes, len: *mut Len)
        [session session] => out[at(len)];
    C_DigestEncryptUpdate(session: Session, data: Bytes, data_len: Len, out: Bytes, len: *mut Len)
        [session session] => out[at(len)];
    C_DecryptDigestUpdate(session: Session, data: Bytes, data_len: Len, out: Bytes, len: *mut Len)
        [session session] => out[at(len)];
    C_SignEncryptUpdate(session: Session, data: Bytes, data_len: Len, out: Bytes, len: *mut Len)
        [session session] => out[at(len)];
    C_DecryptVerifyUpdate(session: Session, data: Bytes, data_len: Len, out: Bytes, len: *mut Len)
        [session session] => out[at(len)];
    C_GenerateKey(session: Session, mechanism: *mut CK_MECHANISM, template: *mut CK_ATTRIBUTE, count: Len,
        key: *mut Handle) [session session];
    C_GenerateKeyPair(session: Session, mechanism: *mut CK_MECHANISM, public: *mut CK_ATTRIBUTE, public_count: Len,
        private: *mut CK_ATTRIBUTE, private_count: Len, public_key: *mut Handle, private_key: *mut Handle)
        [session session];
    C_WrapKey(session: Session, mechanism: *mut CK_MECHANISM, wrapping: Handle, key: Handle, out: Bytes, len: *mut Len)
        [session session] => out[at(len)];
    C_UnwrapKey(session: Session, mechanism: *mut CK_MECHANISM, unwrapping: Handle, wrapped: Bytes, wrapped_len: Len,
        template: *mut CK_ATTRIBUTE, count: Len, key: *mut Handle) [session session];
    C_DeriveKey(session: Session, mechanism: *mut CK_MECHANISM, base: Handle, template: *mut CK_ATTRIBUTE, count: Len,
        key: *mut Handle) [session session];
    C_SeedRandom(session: Session, seed: Bytes, length: Len) [session session];
    C_GenerateRandom(session: Session, out: Bytes, length: Len) [session session] => out[length];
    C_GetFunctionStatus(session: Session) [session session];
    C_CancelFunction(session: Session) [session session];
    C_WaitForSlotEvent(flags: CK_FLAGS, slot: *mut CK_SLOT_ID, reserved: *mut c_void) [];
}
