//! A client's key and certificate on a token, for a tool that plays a client: one login, one session, no workers.
//!
//! Nothing is made or changed on the token, and a PIN is tried once. The server's own keys are `signers.rs`' business.

use std::{fmt, path::Path};

use cryptoki::{
    context::Pkcs11,
    object::{Attribute, AttributeType, CertificateType, KeyType, ObjectClass, ObjectHandle},
    session::Session,
    types::RawAuthPin,
};
use parking_lot::Mutex;

use super::{
    link::{find_token, load_module, log_in},
    recovery::Fault,
    signers::{input, mechanism},
};
use crate::{HalError, SecretBytes, SignScheme, der};

/// A token that is logged in to.
pub struct ClientToken {
    module: Pkcs11,
    is_alone: bool,
    session: Mutex<Session>,
}

impl fmt::Debug for ClientToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientToken").finish_non_exhaustive()
    }
}

/// A certificate on the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCertificate {
    /// CKA_ID: by custom that of its key.
    pub id: Vec<u8>,
    /// CKA_LABEL.
    pub label: String,
    /// The certificate, DER.
    pub der: Vec<u8>,
}

/// A private key on the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKey {
    /// CKA_ID: by custom that of its certificate.
    pub id: Vec<u8>,
    /// CKA_LABEL.
    pub label: String,
    /// CKA_ALWAYS_AUTHENTICATE: it wants the PIN again for every signature. Such keys cannot be used here.
    pub always_asks_for_pin: bool,
    /// Whether a search for such keys without an identifier finds it and no other. Which one it finds first is no use: SoftHSM2
    /// has another order after each C_Initialize.
    pub is_only: bool,
    handle: ObjectHandle,
}

/// The keys that [`ClientToken::keys`] looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFamily {
    /// RSA of any length.
    Rsa,
    /// On an elliptic curve; which one is not asked.
    Ec,
}

impl ClientToken {
    /// Loads `module` and logs in to its token of that label. A module that is in use in this process already is shared.
    ///
    /// # Errors
    /// [`HalError::Unavailable`] where the module does not load or there is no such token, [`HalError::Refused`] for the PIN.
    pub fn open(module: &Path, token_label: &str, pin: &SecretBytes) -> Result<Self, HalError> {
        Self::try_open(module, token_label, pin).map_err(Fault::into_error)
    }

    fn try_open(path: &Path, token_label: &str, pin: &SecretBytes) -> Result<Self, Fault> {
        let module = load_module(path)?;
        let (slot, _) = find_token(&module, token_label, None)?;
        let is_initialized = |slot| module.get_token_info(slot).map_or(true, |info| info.token_initialized());
        let slots = module.get_slots_with_token()?;
        let others = slots.iter().filter(|other| **other != slot).any(|other| is_initialized(*other));
        let is_alone = slots.first() == Some(&slot) && !others;
        let session = module.open_ro_session(slot)?;
        log_in(&session, &RawAuthPin::new(Box::new(pin.expose_secret().to_vec())))?;
        Ok(Self { module, is_alone, session: Mutex::new(session) })
    }

    /// Whether its slot is the first of those that have a token, and no other has one that is initialised.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// Its X.509 certificates.
    ///
    /// # Errors
    /// [`HalError::Unavailable`].
    pub fn certificates(&self) -> Result<Vec<TokenCertificate>, HalError> {
        let template = [Attribute::Class(ObjectClass::CERTIFICATE), Attribute::CertificateType(CertificateType::X_509)];
        let wanted = [AttributeType::Id, AttributeType::Label, AttributeType::Value];
        let session = self.session.lock();
        let mut found = Vec::new();
        for handle in session.find_objects(&template).map_err(failed)? {
            let (mut id, mut label, mut der) = (Vec::new(), Vec::new(), Vec::new());
            for attribute in session.get_attributes(handle, &wanted).map_err(failed)? {
                match attribute {
                    Attribute::Id(bytes) => id = bytes,
                    Attribute::Label(bytes) => label = bytes,
                    Attribute::Value(bytes) => der = bytes,
                    _ => {}
                }
            }
            found.push(TokenCertificate { id, label: String::from_utf8_lossy(&label).into_owned(), der });
        }
        Ok(found)
    }

    /// Its private keys of that family that may sign.
    ///
    /// # Errors
    /// [`HalError::Unavailable`].
    pub fn keys(&self, family: KeyFamily) -> Result<Vec<TokenKey>, HalError> {
        let key_type = match family {
            KeyFamily::Rsa => KeyType::RSA,
            KeyFamily::Ec => KeyType::EC,
        };
        let session = self.session.lock();
        // What a search by type alone, as other programs make it, would take.
        let by_type =
            [Attribute::Token(true), Attribute::Private(true), Attribute::Sign(true), Attribute::KeyType(key_type)];
        let by_type = session.find_objects(&by_type).map_err(failed)?;
        let template = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::KeyType(key_type)];
        let wanted = [AttributeType::Id, AttributeType::Label, AttributeType::Sign, AttributeType::AlwaysAuthenticate];
        let mut found = Vec::new();
        for handle in session.find_objects(&template).map_err(failed)? {
            let (mut id, mut label, mut signs, mut asks) = (Vec::new(), Vec::new(), true, false);
            for attribute in session.get_attributes(handle, &wanted).map_err(failed)? {
                match attribute {
                    Attribute::Id(bytes) => id = bytes,
                    Attribute::Label(bytes) => label = bytes,
                    Attribute::Sign(value) => signs = value,
                    Attribute::AlwaysAuthenticate(value) => asks = value,
                    _ => {}
                }
            }
            if signs {
                let label = String::from_utf8_lossy(&label).into_owned();
                let is_only = by_type == [handle];
                found.push(TokenKey { id, label, always_asks_for_pin: asks, is_only, handle });
            }
        }
        Ok(found)
    }

    /// Signs `message` (not its digest); the form is that of [`KeyWrapper::sign`](crate::KeyWrapper::sign).
    ///
    /// # Errors
    /// [`HalError::Unavailable`] and [`HalError::Refused`]: the token did not sign so with this key.
    pub fn sign(&self, key: &TokenKey, message: &[u8], scheme: SignScheme) -> Result<Vec<u8>, HalError> {
        let input = input(message, scheme);
        let signature = self.session.lock().sign(&mechanism(scheme), key.handle, &input).map_err(failed)?;
        Ok(match scheme {
            SignScheme::EcdsaP256Sha256 | SignScheme::EcdsaP384Sha384 => {
                let (r, s) = signature.split_at(signature.len() / 2);
                der::sequence(&[&der::unsigned(r), &der::unsigned(s)])
            }
            _ => signature,
        })
    }

    /// Ends this process's use of the module (C_Finalize), for a library that insists on starting it by itself.
    ///
    /// # Errors
    /// [`HalError::Unavailable`].
    pub fn end(self) -> Result<(), HalError> {
        drop(self.session);
        self.module.finalize().map_err(failed)
    }
}

fn failed(error: cryptoki::error::Error) -> HalError {
    Fault::from(error).into_error()
}
