//! Who asks: the adapter that TLS settled, and the user name and password where a request brings them (KMIP 1.4 §6.6).
//!
//! A credential is checked where it is present and its adapter has one configured, and never demanded: clients send it with
//! some messages only. The slow password hash runs once for each password; after that a keyed digest made with a key of this
//! process answers, so that a hundred hosts that start at once do not wait for Argon2.

use std::{collections::HashMap, time::Duration};

use argon2::{Argon2, PasswordVerifier, password_hash::phc::PasswordHash};
use kmip::message::{Authentication, Credential};
use parking_lot::Mutex;
use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use uuid::Uuid;

use super::error::OpError;
use crate::{
    store::{AdapterCredential, AdapterId, StoreError},
    trust::Trust,
};

/// How long a request waits for others' passwords to be hashed.
const PATIENCE: Duration = Duration::from_secs(1);
/// Passwords remembered as verified, at most; past that all are forgotten.
const REMEMBERED: usize = 1024;

/// Who a request acts for. From here on nothing sees a certificate or a password.
#[derive(Clone, Copy, Debug)]
pub(super) struct Principal {
    /// The adapter.
    pub(super) adapter: AdapterId,
    /// The root key that wraps its objects' KEKs. What may be done with it is asked when it is needed.
    pub(super) root_key: Uuid,
}

/// Checks credentials.
pub(super) struct Credentials {
    key: Option<hmac::Key>,
    verified: Mutex<HashMap<AdapterId, Vec<[u8; 32]>>>,
    /// Taken while a password is hashed: guessing costs the server one processor at most.
    hashing: Mutex<()>,
}

impl Credentials {
    /// Remembers nothing yet.
    pub(super) fn new() -> Self {
        let mut key = zeroize::Zeroizing::new([0; 32]);
        // Without random numbers nothing is remembered and every password is hashed.
        let key = SystemRandom::new().fill(&mut *key).ok().map(|()| hmac::Key::new(hmac::HMAC_SHA256, &*key));
        Self { key, verified: Mutex::default(), hashing: Mutex::default() }
    }

    /// The principal of a request from `adapter`.
    ///
    /// # Errors
    /// A credential is wrong, of a kind that the server does not check, or the adapter is gone.
    pub(super) fn authenticate(
        &self,
        trust: &Trust,
        adapter: AdapterId,
        authentication: Option<&Authentication>,
    ) -> Result<Principal, OpError> {
        let row = trust.adapter(adapter).ok_or(OpError::Authentication)?;
        if let (Some(configured), Some(given)) = (&row.credential, authentication) {
            for credential in &given.credential {
                match credential {
                    Credential::UsernameAndPassword { username, password } => {
                        let password = password.as_ref().map_or("", |password| password.as_str());
                        self.check(adapter, configured, username, password)?;
                    }
                    Credential::Other(_) => {}
                }
            }
        }
        Ok(Principal { adapter, root_key: row.root_key })
    }

    fn check(
        &self,
        adapter: AdapterId,
        configured: &AdapterCredential,
        username: &str,
        password: &str,
    ) -> Result<(), OpError> {
        if username != configured.username {
            return Err(OpError::PermissionDenied("this user may not act for this adapter"));
        }
        let digest = self.digest(configured, username, password);
        if digest.is_some_and(|digest| self.is_verified(adapter, &digest)) {
            return Ok(());
        }
        let hash = PasswordHash::new(&configured.password_hash).map_err(|_| OpError::Authentication)?;
        let Some(_one_at_a_time) = self.hashing.try_lock_for(PATIENCE) else {
            return Err(OpError::Store(StoreError::Overloaded));
        };
        // Of many clients that begin together, the first has made the others' answer meanwhile.
        if digest.is_some_and(|digest| self.is_verified(adapter, &digest)) {
            return Ok(());
        }
        if Argon2::default().verify_password(password.as_bytes(), &hash).is_err() {
            return Err(OpError::Authentication);
        }
        if let Some(digest) = digest {
            let mut verified = self.verified.lock();
            if verified.values().map(Vec::len).sum::<usize>() >= REMEMBERED {
                verified.clear();
            }
            verified.entry(adapter).or_default().push(digest);
        }
        Ok(())
    }

    fn is_verified(&self, adapter: AdapterId, digest: &[u8; 32]) -> bool {
        self.verified.lock().get(&adapter).is_some_and(|known| known.contains(digest))
    }

    /// Covers the configured hash, so that a changed password is forgotten.
    fn digest(&self, configured: &AdapterCredential, username: &str, password: &str) -> Option<[u8; 32]> {
        let mut context = hmac::Context::with_key(self.key.as_ref()?);
        for part in [configured.password_hash.as_str(), configured.username.as_str(), username, password] {
            context.update(&u64::try_from(part.len()).ok()?.to_be_bytes());
            context.update(part.as_bytes());
        }
        context.sign().as_ref().try_into().ok()
    }
}
