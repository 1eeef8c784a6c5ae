//! Modules of a test's own and the faults of the shim, seen by an application.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod faults;
mod instances;
mod others;
mod outages;

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::{Mechanism, aead::GcmParams},
    object::{Attribute, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use pkcs11_fixtures::{PrivateModule, Token};

/// Loads and initialises the module.
fn load(module: &PrivateModule) -> Pkcs11 {
    let pkcs11 = Pkcs11::new(module.module_path()).expect("it loads");
    initialise(&pkcs11);
    pkcs11
}

fn initialise(pkcs11: &Pkcs11) {
    pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).expect("it starts");
}

/// The slots whose token has that label.
fn slots(pkcs11: &Pkcs11, token: &Token) -> Vec<Slot> {
    let slots = pkcs11.get_slots_with_token().expect("slots are listed");
    let is_it = |slot: &Slot| pkcs11.get_token_info(*slot).is_ok_and(|info| info.label() == token.label);
    slots.into_iter().filter(is_it).collect()
}

fn log_in(pkcs11: &Pkcs11, token: &Token) -> Session {
    let slot = *slots(pkcs11, token).first().expect("the token is there");
    let session = pkcs11.open_rw_session(slot).expect("a session opens");
    session.login(UserType::User, Some(&pin(token))).expect("the user logs in");
    session
}

fn pin(token: &Token) -> AuthPin {
    AuthPin::new(token.pin.clone().into())
}

/// An AES key of the session.
fn key(session: &Session) -> ObjectHandle {
    let template =
        [Attribute::Token(false), Attribute::ValueLen(32.into()), Attribute::Encrypt(true), Attribute::Decrypt(true)];
    session.generate_key(&Mechanism::AesKeyGen, &template).expect("a key is made")
}

/// Seals `data` by AES-GCM.
fn seal(session: &Session, key: ObjectHandle, data: &[u8]) -> cryptoki::error::Result<Vec<u8>> {
    let mut iv = [7; 12];
    session.encrypt(&Mechanism::AesGcm(GcmParams::new(&mut iv, b"", 128.into())?), key, data)
}

fn open(session: &Session, key: ObjectHandle, sealed: &[u8]) -> cryptoki::error::Result<Vec<u8>> {
    let mut iv = [7; 12];
    session.decrypt(&Mechanism::AesGcm(GcmParams::new(&mut iv, b"", 128.into())?), key, sealed)
}

/// The code with which a call failed.
#[track_caller]
fn code<T>(result: cryptoki::error::Result<T>) -> RvError {
    match result {
        Err(Error::Pkcs11(code, _)) => code,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it works"),
    }
}
