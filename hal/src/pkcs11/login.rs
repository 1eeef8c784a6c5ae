//! One login to a token, and what was found on the token since.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use cryptoki::{
    object::ObjectHandle,
    session::{Session, SessionState},
    slot::Slot,
};
use parking_lot::{Mutex, RwLock};

use super::{
    module::Module, profile::Dialect, recovery::Fault, roots, self_test::BoundRoot, token::describe, workers::Conn,
};
use crate::{HalError, Kcv, Outage, RootKeyVersion, SignerId, SignerKind, TokenInfo, WrapScheme};

/// How many root keys a new login is tested with, at most; one that works is enough.
const KEEPSAKES: usize = 8;

/// One login and the handles found since. Handles may change with every login, so they die with it.
pub(super) struct Login {
    pub(super) generation: u64,
    /// The era of the module that it belongs to.
    pub(super) era: u64,
    pub(super) module: Arc<Module>,
    pub(super) slot: Slot,
    pub(super) token: TokenInfo,
    pub(super) dialect: Dialect,
    /// Schemes to bind a root key with, best first.
    pub(super) candidates: Vec<WrapScheme>,
    pub(super) roots: RwLock<HashMap<RootKeyVersion, Arc<BoundRoot>>>,
    pub(super) signers: RwLock<HashMap<SignerId, (ObjectHandle, SignerKind)>>,
    /// Closing the last session logs the process out, so this one stays open. It is used for nothing but to ask whether it is
    /// still there.
    pub(super) anchor: Mutex<Option<Session>>,
    /// Held by the worker that makes a root key, so that of two calls for one key the second finds what the first made.
    pub(super) making: Mutex<()>,
}

impl Drop for Login {
    fn drop(&mut self) {
        if let Some(anchor) = self.anchor.get_mut().take() {
            self.module.close(anchor, self.era);
        }
    }
}

impl Login {
    /// Whether this process is logged in as the user.
    pub(super) fn is_logged_in(&self, session: &Session) -> Result<bool, Fault> {
        let state = session.get_session_info()?.session_state();
        Ok(matches!(state, SessionState::RwUser | SessionState::RoUser))
    }

    /// Whether the anchor session is still there and logged in: then a session that is gone went alone. A token that lost all
    /// of them has lost the login, and a new session would be nobody's.
    pub(super) fn stands(&self, until: Instant) -> bool {
        let anchor = self.anchor.try_lock_until(until);
        let anchor = anchor.as_deref().and_then(Option::as_ref);
        anchor.is_some_and(|session| self.is_logged_in(session).unwrap_or(false))
    }

    /// Whether the token still describes itself as the one that was logged in to. A session's own state proves nothing:
    /// SoftHSM2 keeps answering for a token whose directory is gone.
    pub(super) fn answers(&self, session: &Session) -> bool {
        let known = self.module.pkcs11().get_token_info(self.slot);
        known.is_ok_and(|info| describe(&info) == self.token) && self.is_logged_in(session).unwrap_or(false)
    }

    /// Whether the token does its work: a known blob opens, where a root key is in use.
    pub(super) fn is_well(&self, session: &Session) -> bool {
        let bound = self.roots.read().values().next().cloned();
        match bound {
            Some(bound) => bound.is_alive(session),
            None => self.answers(session),
        }
    }

    pub(super) fn keepsakes(&self) -> Vec<Arc<BoundRoot>> {
        self.roots.read().values().take(KEEPSAKES).cloned().collect()
    }
}

/// Demands that a root key which worked before opens its known blob: a token may answer, let the process log in, and yet hold
/// nothing (SoftHSM2 whose directory went away), or be another one.
pub(super) fn demand_keepsake(conn: &Conn, keepsakes: &[Arc<BoundRoot>], after_restart: bool) -> Result<(), Fault> {
    let mut fault = None;
    for kept in keepsakes {
        match roots::bound(conn, kept.root.key) {
            Ok(bound) if bound.is_same_key(&conn.session, kept) => return Ok(()),
            Ok(_) => fault = Some(Fault::Gone(Outage::DeviceFailed)),
            Err(Fault::Stop(HalError::UnknownRootKey(key))) if after_restart => {
                // Nothing of the past is left in the module, so somebody else destroyed it.
                tracing::warn!(root = %key, "a root key that was in use is no longer on the token");
            }
            Err(Fault::Stop(HalError::UnknownRootKey(_))) => fault = Some(Fault::Gone(Outage::DeviceFailed)),
            Err(other) => fault = Some(other),
        }
    }
    fault.map_or(Ok(()), Err)
}

/// The check values that root keys must have.
#[derive(Default)]
pub(super) struct Expected {
    values: RwLock<HashMap<RootKeyVersion, Kcv>>,
    /// The keys of which an operator was told that they cannot be held to theirs.
    unproven: Mutex<HashSet<RootKeyVersion>>,
}

impl Expected {
    pub(super) fn get(&self, key: RootKeyVersion) -> Option<Kcv> {
        self.values.read().get(&key).copied()
    }

    /// Returns whether that is news.
    pub(super) fn set(&self, key: RootKeyVersion, kcv: Kcv) -> bool {
        let is_news = self.values.write().insert(key, kcv) != Some(kcv);
        if is_news {
            self.unproven.lock().remove(&key);
        }
        is_news
    }

    /// The token does not compute check values of the recorded method. Returns whether that is news.
    pub(super) fn cannot_prove(&self, key: RootKeyVersion) -> bool {
        self.unproven.lock().insert(key)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{KcvMethod, RootKeyId};

    #[test]
    fn an_unproven_check_value_is_told_once_until_another_is_on_record() {
        let expected = Expected::default();
        let key = RootKeyVersion::first(RootKeyId::from_uuid(Uuid::from_bytes([1; 16])));
        let kcv = Kcv { method: KcvMethod::EcbZeroBlock, value: [1, 2, 3] };
        assert!(expected.set(key, kcv));
        assert!(expected.cannot_prove(key));
        assert!(!expected.cannot_prove(key));
        assert!(!expected.set(key, kcv));
        assert!(!expected.cannot_prove(key), "the record is the same");
        assert!(expected.set(key, Kcv { value: [1, 2, 4], ..kcv }));
        assert!(expected.cannot_prove(key));
    }
}
