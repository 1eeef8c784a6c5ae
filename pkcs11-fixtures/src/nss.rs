//! The software token of NSS (Firefox), which does not keep a root key in: the negative case of a self-test.
//!
//! It takes its directory from the reserved argument of C_Initialize and from nowhere else, so it is used through the shim,
//! which passes that argument.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    session::UserType,
    types::AuthPin,
};
use uuid::Uuid;

use crate::{PrivateModule, Token, environment::skip};

/// Names another softokn3 than the ones in the usual places.
pub const NSS_VARIABLE: &str = "KEYSTEAD_NSS_MODULE";

const PLACES: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu/libsoftokn3.so",
    "/usr/lib/aarch64-linux-gnu/libsoftokn3.so",
    "/usr/lib64/libsoftokn3.so",
    "/usr/lib/libsoftokn3.so",
];

/// A new NSS token; `None`, after a printed `SKIP:` line, where NSS is not installed (Debian: `libnss3`).
pub(crate) fn new(label: &str) -> Option<PrivateModule> {
    let Some(module) = find_module() else {
        skip("this test needs libsoftokn3.so of NSS (Debian, Ubuntu: libnss3)");
        return None;
    };
    let pin = Uuid::new_v4().simple().to_string();
    let token = Token { label: label.to_owned(), serial: String::new(), pin };
    let settle = |directory: &Path| {
        let database = directory.join("database");
        fs::create_dir(&database).expect("a directory is made");
        // The first of the two names is that of the token without keys.
        let names = format!("cryptoTokenDescription='{label}-crypto' dbTokenDescription='{label}'");
        format!("configdir='sql:{}' certPrefix='' keyPrefix='' secmod='secmod.db' {names} flags=", database.display())
    };
    let mut module = PrivateModule::around(&module, token, &[], |directory| Some(settle(directory)));
    let serial = set_pin(&module);
    module.set_serial(serial);
    Some(module)
}

/// Sets the user PIN, and returns the serial number. A new database takes an empty PIN from its security officer.
fn set_pin(module: &PrivateModule) -> String {
    let pkcs11 = Pkcs11::new(module.module_path()).expect("the module loads");
    pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).expect("the module starts");
    let slots = pkcs11.get_slots_with_token().expect("slots are listed");
    let token = module.token();
    let info = |slot| pkcs11.get_token_info(slot).expect("the token is described");
    let slot = slots.into_iter().find(|slot| info(*slot).label() == token.label).expect("the token is there");
    let session = pkcs11.open_rw_session(slot).expect("a session opens");
    session.login(UserType::So, Some(&AuthPin::new("".into()))).expect("the security officer logs in");
    session.init_pin(&AuthPin::new(token.pin.clone().into())).expect("the user PIN is set");
    session.logout().expect("the security officer logs out");
    drop(session);
    let serial = info(slot).serial_number().to_owned();
    pkcs11.finalize().expect("the module ends");
    serial
}

fn find_module() -> Option<PathBuf> {
    if let Some(named) = env::var_os(NSS_VARIABLE) {
        return Some(PathBuf::from(named)).filter(|named| named.exists());
    }
    PLACES.iter().map(PathBuf::from).find(|place| place.exists())
}
