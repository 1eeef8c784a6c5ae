//! Fresh tokens in a module that this process shares.

use std::{path::Path, sync::Mutex};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::Mechanism,
    object::{Attribute, CertificateType, ObjectClass},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use uuid::Uuid;

/// A token that was just initialised and holds nothing.
#[derive(Clone)]
pub struct Token {
    /// Its label, as asked for and made unique.
    pub label: String,
    /// Its serial number.
    pub serial: String,
    /// Its user PIN.
    pub pin: String,
}

/// A module that was initialised for the whole process.
pub(crate) struct Instance {
    pkcs11: Pkcs11,
    /// A free slot is looked for and then taken; two at a time would take the same.
    making: Mutex<()>,
}

impl Instance {
    pub(crate) fn start(module: &Path) -> Self {
        let pkcs11 = Pkcs11::new(module).expect("the module loads");
        match pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) => {}
            Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {
                panic!("the module was initialised before the fixture could say which directory is its own")
            }
            Err(error) => panic!("the module does not start: {error}"),
        }
        Self { pkcs11, making: Mutex::new(()) }
    }

    /// A new token, in the first slot whose token is not initialised, which is returned too.
    pub(crate) fn token(&self, label: &str) -> (Token, Slot) {
        let unique = Uuid::new_v4().simple().to_string();
        let suffix = unique.get(..11).expect("a UUID has 32 digits");
        let label = format!("{label}-{suffix}");
        let pin = Uuid::new_v4().simple().to_string();
        let so_pin = AuthPin::new(Uuid::new_v4().simple().to_string().into());
        let _one_at_a_time = self.making.lock().expect("no test panics while it makes a token");
        let slots = self.pkcs11.get_slots_with_token().expect("slots are listed");
        let free = |slot: &Slot| self.pkcs11.get_token_info(*slot).is_ok_and(|info| !info.token_initialized());
        let slot = slots.into_iter().find(free).expect("the module has a token that is not initialised yet");
        self.pkcs11.init_token(slot, &so_pin, &label).expect("the token is initialised");
        let session = self.pkcs11.open_rw_session(slot).expect("a session opens");
        session.login(UserType::So, Some(&so_pin)).expect("the security officer logs in");
        session.init_pin(&AuthPin::new(pin.clone().into())).expect("the user PIN is set");
        session.logout().expect("the security officer logs out");
        let serial = self.pkcs11.get_token_info(slot).expect("the token is described").serial_number().to_owned();
        (Token { label, serial, pin }, slot)
    }

    /// Writes an X.509 certificate to a token, and logs whoever is logged in there out.
    pub(crate) fn write_certificate(&self, token: &Token, label: &str, id: &[u8], der: &[u8]) {
        let session = self.user_of(token);
        let certificate = [
            Attribute::Class(ObjectClass::CERTIFICATE),
            Attribute::CertificateType(CertificateType::X_509),
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Label(label.as_bytes().to_vec()),
            Attribute::Id(id.to_vec()),
            Attribute::Subject(Vec::new()),
            Attribute::Value(der.to_vec()),
        ];
        session.create_object(&certificate).expect("the certificate is written");
        session.logout().expect("the user logs out");
    }

    /// Makes a P-256 key that wants the PIN for every signature, and logs whoever is logged in there out.
    pub(crate) fn key_that_always_asks(&self, token: &Token, label: &str) {
        let session = self.user_of(token);
        let p256 = vec![0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
        let public = [Attribute::Token(true), Attribute::Verify(true), Attribute::EcParams(p256)];
        let private = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sign(true),
            Attribute::AlwaysAuthenticate(true),
            Attribute::Label(label.as_bytes().to_vec()),
        ];
        session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).expect("the key is made");
        session.logout().expect("the user logs out");
    }

    fn user_of(&self, token: &Token) -> Session {
        let session = self.session(token);
        match session.login(UserType::User, Some(&AuthPin::new(token.pin.clone().into()))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => session,
            Err(error) => panic!("the user does not log in: {error}"),
        }
    }

    /// Logs every session of this process on that token out; `false` where nobody was logged in.
    pub(crate) fn log_out(&self, token: &Token) -> bool {
        self.session(token).logout().is_ok()
    }

    /// How many session objects this process has on that token. Private ones are seen only while somebody is logged in.
    pub(crate) fn session_objects(&self, token: &Token) -> usize {
        self.session(token).find_objects(&[Attribute::Token(false)]).expect("objects are found").len()
    }

    fn session(&self, token: &Token) -> Session {
        let slots = self.pkcs11.get_slots_with_token().expect("slots are listed");
        let is_it = |slot: &Slot| self.pkcs11.get_token_info(*slot).is_ok_and(|info| info.label() == token.label);
        let slot = slots.into_iter().find(is_it).expect("the token exists");
        self.pkcs11.open_rw_session(slot).expect("a session opens")
    }

    /// Gives a token another user PIN; returns the token with it.
    pub(crate) fn change_pin(&self, token: &Token) -> Token {
        let session = self.session(token);
        let (old, new) = (token.pin.clone(), Uuid::new_v4().simple().to_string());
        session.login(UserType::User, Some(&AuthPin::new(old.clone().into()))).expect("the user logs in");
        session.set_pin(&AuthPin::new(old.into()), &AuthPin::new(new.clone().into())).expect("the PIN is changed");
        session.logout().expect("the user logs out");
        Token { pin: new, ..token.clone() }
    }
}
