//! Destroys a root key, and with it everything that was sealed under it (crypto-shredding).
//!
//! The order is safe against a crash at any point. First what is to be done is put on record and the key is suspended, for
//! ever; then every version is destroyed in the HSM; then, in one transaction, the wrapped KEKs are erased and the signed
//! certificate is kept. Done again, it goes on where it was cut off.

use std::collections::BTreeSet;

use hal::{DestroyConsent, HalError, Health, RootKeyInfo, RootKeys};
use jiff::Timestamp;
use rustix::process::getuid;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Failure, Impact};
use crate::{
    proof,
    statement::{AdapterObjects, CheckValue, Claim, Destruction, ShredCertificate, Token, TwoPeople},
    store::{RootKeyRow, RootKeyState, Store, StoreError, VersionState},
};

/// What those who answer for a destruction have agreed to.
#[derive(Clone, Debug)]
pub struct Agreed {
    /// How many Active objects may be lost.
    pub active: Active,
    /// Who asked for it and who approved it; `None` for the way around that, on the machine itself.
    pub people: Option<TwoPeople>,
}

/// How many Active objects may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Active {
    /// So many, neither more nor fewer.
    Exactly(u64),
    /// So many or fewer.
    AtMost(u64),
}

impl Active {
    /// Whether it covers the loss of so many.
    #[must_use]
    pub fn covers(self, active: u64) -> bool {
        match self {
            Self::Exactly(agreed) => active == agreed,
            Self::AtMost(agreed) => active <= agreed,
        }
    }
}

/// What a destruction has to do, on record from before anything is destroyed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Journal {
    /// The versions that the HSM held, and on which tokens.
    versions: Vec<Doomed>,
    is_hsm: bool,
    /// Who agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    people: Option<TwoPeople>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Doomed {
    version: u32,
    kcv: CheckValue,
    tokens: Vec<Token>,
}

/// Destroys a root key, or goes on with its destruction where that was begun: then `agreed` was asked before.
///
/// # Errors
/// `NotApproved`, `NotInHsm`, `OtherToken`, `StillInHsm`, `BadJournal`; HSM or database failed.
pub fn destroy(store: &Store, hal: &dyn RootKeys, row: &RootKeyRow, agreed: &Agreed) -> Result<(), Failure> {
    // Without its signer there is no certificate, so nothing begins without it.
    proof::signer(store, hal)?;
    let before = held(hal, row)?;
    let journal = match &row.destruction {
        Some(text) => serde_json::from_str(text).map_err(|_| Failure::BadJournal)?,
        None => begin(store, row, &before, hal.capabilities().is_hsm, agreed)?,
    };
    // What the journal names and the HSM does not hold, an earlier attempt destroyed, if this is the same HSM.
    demand_tokens(row, hal, &journal)?;
    let versions: BTreeSet<_> = before.iter().map(RootKeyInfo::key).collect();
    for key in versions {
        match hal.destroy_root(key, DestroyConsent::approved_for(key)) {
            Ok(()) | Err(HalError::UnknownRootKey(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // What is certified is what the HSM says now: a version may have come since it was asked, or a token not have obeyed.
    let left = held(hal, row)?;
    if let Some(left) = left.first() {
        return Err(Failure::StillInHsm { label: row.label.clone(), version: left.version });
    }
    let certificate = certificate(store, row, &journal)?;
    let signed = proof::sign(store, hal, Claim::Shred(certificate))?;
    Ok(store.shred(row.id, Timestamp::now().as_second(), signed)?)
}

/// The versions of a root key that the HSM holds, on record or not. Every token must answer: one that is away may hold it.
fn held(hal: &dyn RootKeys, row: &RootKeyRow) -> Result<Vec<RootKeyInfo>, Failure> {
    let mut held = hal.list_roots()?;
    for token in hal.token_states() {
        if let Health::Down(error) = token.health {
            return Err(error.into());
        }
    }
    held.retain(|info| *info.id.as_uuid() == row.id);
    Ok(held)
}

/// Suspends the root key for ever and puts on record what is to be destroyed.
fn begin(
    store: &Store,
    row: &RootKeyRow,
    held: &[RootKeyInfo],
    is_hsm: bool,
    agreed: &Agreed,
) -> Result<Journal, Failure> {
    let missing = row.versions.iter().find(|version| {
        version.state != VersionState::Retired && !held.iter().any(|info| info.version == version.version)
    });
    if let Some(missing) = missing {
        return Err(Failure::NotInHsm { label: row.label.clone(), version: missing.version });
    }
    let doomed = |info: &RootKeyInfo| Doomed {
        version: info.version,
        kcv: info.kcv.into(),
        tokens: info.tokens.iter().map(Token::from).collect(),
    };
    let journal = Journal { versions: held.iter().map(doomed).collect(), is_hsm, people: agreed.people.clone() };
    // From here on no object is made or opened under the root key. What became Active since the report was not approved.
    let was_active = fresh(store, row.id)?.is_some_and(|row| row.state == RootKeyState::Active);
    let at = Timestamp::now().as_second();
    store.set_root_key_state(row.id, RootKeyState::Suspended, at)?;
    match begin_suspended(store, row, &journal, agreed.active) {
        Ok(()) => Ok(journal),
        Err(error) => {
            if was_active {
                resume(store, row, at);
            }
            Err(error)
        }
    }
}

fn begin_suspended(store: &Store, row: &RootKeyRow, journal: &Journal, agreed: Active) -> Result<(), Failure> {
    let now = Timestamp::now().as_second();
    let active = Impact::of(store, row, now)?.active_objects;
    if !agreed.covers(active) {
        return Err(Failure::NotApproved { active });
    }
    let text = serde_json::to_string(journal).map_err(|_| Failure::BadJournal)?;
    Ok(store.begin_destruction(row.id, now, text)?)
}

/// Lets a root key that was suspended at `at` for a destruction work again, unless somebody else has changed it since.
fn resume(store: &Store, row: &RootKeyRow, at: i64) {
    let resumed = fresh(store, row.id).and_then(|now| match now {
        Some(now) if now.changed_at == at && now.destruction.is_none() => {
            store.set_root_key_state(row.id, RootKeyState::Active, Timestamp::now().as_second())
        }
        _ => Ok(()),
    });
    if let Err(error) = resumed {
        tracing::warn!(root_key = %row.id, label = row.label, %error, "the root key stays suspended until it is resumed");
    }
}

/// The row as it is on record now.
fn fresh(store: &Store, root: Uuid) -> Result<Option<RootKeyRow>, StoreError> {
    Ok(store.root_keys()?.into_iter().find(|other| other.id == root))
}

/// Sees to it that every token of the journal is attached: one that is not may still hold the root key.
fn demand_tokens(row: &RootKeyRow, hal: &dyn RootKeys, journal: &Journal) -> Result<(), Failure> {
    let attached: Vec<_> = hal.token_states().into_iter().filter_map(|state| state.serial).collect();
    let tokens = journal.versions.iter().flat_map(|version| &version.tokens);
    match tokens.into_iter().find(|token| !attached.contains(&token.serial)) {
        Some(token) => Err(Failure::OtherToken { label: row.label.clone(), serial: token.serial.clone() }),
        None => Ok(()),
    }
}

fn certificate(store: &Store, row: &RootKeyRow, journal: &Journal) -> Result<ShredCertificate, Failure> {
    let impact = Impact::of(store, row, Timestamp::now().as_second())?;
    let tokens = |version: u32| -> Vec<Token> {
        let doomed = journal.versions.iter().filter(|doomed| doomed.version == version);
        doomed.flat_map(|doomed| doomed.tokens.clone()).collect()
    };
    let mut versions: Vec<_> = row
        .versions
        .iter()
        .map(|version| Destruction {
            version: version.version,
            kcv: CheckValue::stored(version.kcv, &version.kcv_method),
            destroyed_on: tokens(version.version),
        })
        .collect();
    // Versions that the HSM held and nobody had recorded: an import or a rotation was cut off.
    for doomed in &journal.versions {
        if !versions.iter().any(|version| version.version == doomed.version) {
            let Doomed { version, kcv, .. } = doomed;
            let destroyed_on = tokens(*version);
            versions.push(Destruction { version: *version, kcv: kcv.clone(), destroyed_on });
        }
    }
    let adapters = impact.adapters.into_iter();
    Ok(ShredCertificate {
        root_key: row.id,
        label: row.label.clone(),
        is_hsm: journal.is_hsm,
        versions,
        adapters: adapters
            .map(|adapter| AdapterObjects { id: adapter.id, name: adapter.name, states: adapter.states })
            .collect(),
        objects: impact.objects,
        active_objects: impact.active_objects,
        keks_erased: impact.wrapped_keks,
        user_id: getuid().as_raw(),
        approval: journal.people.clone(),
    })
}
