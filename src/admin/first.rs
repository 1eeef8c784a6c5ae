//! The first identities, made on the machine itself while nobody can log in yet: the single-use token of `keystead init`, and
//! the administrator of `keystead dev`. What is made here came through nobody's hands.

use std::collections::BTreeSet;

use jiff::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{api_key::ApiKey, model::IdentityKind, permission::Role};
use crate::store::{ApiKeyRow, GrantRow, IdentityRow, Store, StoreError};

/// How long the token of `keystead init` is valid, in seconds.
const TOKEN_SECONDS: i64 = 24 * 3600;
const BOOTSTRAP: &str = "bootstrap";

/// Why there is no first identity.
#[derive(Debug, thiserror::Error)]
pub enum FirstError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There are no random numbers.
    #[error("there are no random numbers")]
    Random,
}

/// An API key that was made, and for whom.
pub struct FirstKey {
    /// The identity.
    pub identity: Uuid,
    /// The key.
    pub key: Uuid,
    /// Its text, to be shown once.
    pub text: Zeroizing<String>,
}

/// Makes a token that makes the first administrator; `None` where there is an identity already, or such a token that was not
/// used yet.
///
/// # Errors
/// The store failed, or there are no random numbers.
pub fn bootstrap_token(store: &Store) -> Result<Option<FirstKey>, FirstError> {
    let identities = store.identities()?;
    let Some(bootstrap) = identities.iter().find(|row| row.kind == IdentityKind::Bootstrap.name()) else {
        return if identities.is_empty() { another_token(store).map(Some) } else { Ok(None) };
    };
    let now = Timestamp::now().as_second();
    let has_token = store.api_keys(bootstrap.id)?.iter().any(|key| key.is_usable(now));
    if has_token || identities.len() > 1 { Ok(None) } else { another_token(store).map(Some) }
}

/// Makes such a token whoever there is already, and revokes those before it: the way back in for whoever holds the machine.
///
/// # Errors
/// The store failed, or there are no random numbers.
pub fn another_token(store: &Store) -> Result<FirstKey, FirstError> {
    let known = store.identities()?.into_iter().find(|row| row.kind == IdentityKind::Bootstrap.name());
    let identity = match known {
        Some(row) => {
            let now = Timestamp::now().as_second();
            for key in store.api_keys(row.id)?.into_iter().filter(|key| key.is_usable(now)) {
                store.revoke_api_key(key.id, now, None)?;
            }
            row.id
        }
        None => insert(store, BOOTSTRAP, IdentityKind::Bootstrap, "Makes an administrator, once", &[])?,
    };
    insert_key(store, identity, BOOTSTRAP, true, Some(TOKEN_SECONDS))
}

/// Makes an administrator called `name` with an API key that does not expire.
///
/// # Errors
/// The store failed (`Duplicate`: the name is taken), or there are no random numbers.
pub fn administrator(store: &Store, name: &str, description: &str) -> Result<FirstKey, FirstError> {
    let known = store.identities()?.into_iter().find(|row| row.name == name);
    let identity = match known {
        Some(row) => row.id,
        None => insert(store, name, IdentityKind::Operator, description, &[Role::Administrator])?,
    };
    insert_key(store, identity, name, false, None)
}

/// Whether `text` is an API key that is good for something.
///
/// # Errors
/// The store failed.
pub fn is_usable(store: &Store, text: &str) -> Result<bool, StoreError> {
    let Some(key) = ApiKey::parse(text.trim()) else { return Ok(false) };
    let found = store.api_key(key.id)?;
    let now = Timestamp::now().as_second();
    Ok(found.is_some_and(|(row, identity)| key.is_of(&row.hash) && row.is_usable(now) && !identity.disabled))
}

fn insert(
    store: &Store,
    name: &str,
    kind: IdentityKind,
    description: &str,
    roles: &[Role],
) -> Result<Uuid, StoreError> {
    let now = Timestamp::now().as_second();
    let row = IdentityRow {
        id: Uuid::new_v4(),
        kind: kind.name().to_owned(),
        name: name.to_owned(),
        description: Some(description.to_owned()),
        certificate: None,
        disabled: false,
        revision: 1,
        created_at: now,
        changed_at: now,
        created_by: None,
        grants: roles.iter().map(|role| GrantRow { role: role.name().to_owned(), adapter: None }).collect(),
        hands: BTreeSet::new(),
    };
    let id = row.id;
    store.insert_identity(row, None)?;
    Ok(id)
}

fn insert_key(
    store: &Store,
    identity: Uuid,
    name: &str,
    single_use: bool,
    seconds: Option<i64>,
) -> Result<FirstKey, FirstError> {
    let key = ApiKey::generate().map_err(|_| FirstError::Random)?;
    let now = Timestamp::now().as_second();
    let row = ApiKeyRow {
        id: key.id,
        identity,
        name: name.to_owned(),
        hash: key.hash(),
        single_use,
        created_at: now,
        expires_at: seconds.map(|seconds| now + seconds),
        revoked_at: None,
        used_at: None,
        hands: BTreeSet::new(),
    };
    store.insert_api_key(row, None)?;
    Ok(FirstKey { identity, key: key.id, text: key.text() })
}
