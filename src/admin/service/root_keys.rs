//! Root keys over the network: their whole life but for the import of key material, which is for the machine itself, and their
//! destruction, which needs two people ([`super::approvals`]).

use hal::Label;
use uuid::Uuid;

use super::{Service, now};
use crate::{
    admin::{
        caller::Caller,
        model::{
            AttestVersion, ImpactReport, NewRootKey, RetireVersion, RootKey, RootKeyAdapter, RootKeyStatus,
            RootKeyVersion, RootKeyVersionState, RotationProgress, SignedStatement, shown_time,
        },
        page::{Page, Window},
        permission::{Permission, Scope},
        problem::{Code, Problem},
    },
    audit::{Name, Subject},
    proof::ProofError,
    root_keys::{self, Failure},
    store::{RootKeyRow, RootKeyState, RootKeyVersionRow, RotationRow, TrustRows, VersionState},
};

impl Service {
    /// Makes a root key inside the HSM.
    pub(in crate::admin) fn create_root_key(&self, caller: &Caller, new: NewRootKey) -> Result<RootKey, Problem> {
        let may = (Permission::RootKeyCreate, Scope::Everything);
        let about = Subject { name: Some(Name::new(&new.label)), ..Subject::default() };
        self.act(caller, "root_key.create", may, about, |about| {
            let label = Label::new(&new.label).map_err(|error| Problem::invalid("label", error))?;
            let id = root_keys::id_for(&self.store, &label)?;
            about.root_key = Some(id);
            let made = root_keys::make(&self.store, &*self.hal, id, &label)?;
            if let Err(error) = root_keys::attest(&self.store, &*self.hal, made.key()) {
                // The key is there whatever comes of this, and can be attested later.
                tracing::warn!(root_key = %id, %error, "a new root key is not attested");
            }
            self.trust_changed();
            self.root_key_shown(&self.find_root_key(id)?)
        })
    }

    /// Lists root keys by label.
    pub(in crate::admin) fn list_root_keys(&self, caller: &Caller, window: &Window) -> Result<Page<RootKey>, Problem> {
        self.list(caller, "root_key.list", Permission::RootKeyList, |_| {
            let (directory, rotations) = (self.directory()?, self.store.rotations()?);
            let rows = &directory.rows;
            let Page { items, next_page } = window.cut(&rows.root_keys, |row| format!("{} {}", row.label, row.id));
            Ok(Page { items: items.into_iter().map(|row| model(row, rows, &rotations)).collect(), next_page })
        })
    }

    /// Reads a root key.
    pub(in crate::admin) fn read_root_key(&self, caller: &Caller, id: Uuid) -> Result<RootKey, Problem> {
        let may = (Permission::RootKeyRead, Scope::Everything);
        self.act(caller, "root_key.read", may, of(id), |_| self.root_key_shown(&self.find_root_key(id)?))
    }

    /// Tells what would be lost with a root key.
    pub(in crate::admin) fn root_key_impact(&self, caller: &Caller, id: Uuid) -> Result<ImpactReport, Problem> {
        let may = (Permission::RootKeyRead, Scope::Everything);
        self.act(caller, "root_key.impact.read", may, of(id), |_| {
            Ok(self.root_key_stake(&self.find_root_key(id)?)?.impact)
        })
    }

    /// Lets a root key neither seal nor open until it is resumed.
    pub(in crate::admin) fn suspend_root_key(&self, caller: &Caller, id: Uuid) -> Result<RootKey, Problem> {
        self.set_root_key_state(caller, "root_key.suspend", id, RootKeyState::Suspended)
    }

    /// Lets a suspended root key work again.
    pub(in crate::admin) fn resume_root_key(&self, caller: &Caller, id: Uuid) -> Result<RootKey, Problem> {
        self.set_root_key_state(caller, "root_key.resume", id, RootKeyState::Active)
    }

    fn set_root_key_state(
        &self,
        caller: &Caller,
        action: &'static str,
        id: Uuid,
        state: RootKeyState,
    ) -> Result<RootKey, Problem> {
        let may = (Permission::RootKeySuspend, Scope::Everything);
        self.act(caller, action, may, of(id), |about| {
            let row = self.find_root_key(id)?;
            about.name = Some(Name::new(&row.label));
            root_keys::set_state(&self.store, &row, state)?;
            self.trust_changed();
            self.root_key_shown(&self.find_root_key(id)?)
        })
    }

    /// Gives a root key its next version; the server brings everything under it.
    pub(in crate::admin) fn rotate_root_key(&self, caller: &Caller, id: Uuid) -> Result<RootKey, Problem> {
        let may = (Permission::RootKeyRotate, Scope::Everything);
        self.act(caller, "root_key.rotate", may, of(id), |about| {
            let row = self.find_root_key(id)?;
            about.name = Some(Name::new(&row.label));
            root_keys::must_be_usable(&row)?;
            let made = root_keys::rotate(&self.store, &*self.hal, &row)?;
            if let Err(error) = root_keys::attest(&self.store, &*self.hal, made) {
                tracing::warn!(root_key = %id, %error, "a new version of a root key is not attested");
            }
            self.trust_changed();
            self.root_key_shown(&self.find_root_key(id)?)
        })
    }

    /// Destroys an old version in the HSM, once nothing is under it. Backups made before can no longer be opened, so it takes
    /// the permission to destroy.
    pub(in crate::admin) fn retire_root_key(
        &self,
        caller: &Caller,
        id: Uuid,
        version: &RetireVersion,
    ) -> Result<RootKey, Problem> {
        let may = (Permission::RootKeyDestroy, Scope::Everything);
        self.act(caller, "root_key.retire", may, of(id), |about| {
            let row = self.find_root_key(id)?;
            about.name = Some(Name::new(&row.label));
            root_keys::may_retire(&self.store, &row, version.version)?;
            if !version.backups_may_be_lost {
                return Err(Problem::invalid(
                    "backups_may_be_lost",
                    "backups of the database from before the rotation open with this version alone, and never again once it is \
                     destroyed: if they may be lost, say true",
                ));
            }
            root_keys::retire(&self.store, &*self.hal, &row, version.version)?;
            self.trust_changed();
            self.root_key_shown(&self.find_root_key(id)?)
        })
    }

    /// Tests a root key and says, signed, what it is and where it lies.
    pub(in crate::admin) fn attest_root_key(
        &self,
        caller: &Caller,
        id: Uuid,
        version: &AttestVersion,
    ) -> Result<SignedStatement, Problem> {
        let may = (Permission::RootKeyAttest, Scope::Everything);
        self.act(caller, "root_key.attest", may, of(id), |about| {
            let row = self.find_root_key(id)?;
            about.name = Some(Name::new(&row.label));
            root_keys::must_be_usable(&row)?;
            let version = version.version.unwrap_or(row.current_version);
            let (label, current) = (row.label.clone(), row.current_version);
            let known = row.version(version).filter(|found| found.state != VersionState::Retired);
            known.ok_or(Failure::NoVersion { label, version, current })?;
            let statement = root_keys::attest(&self.store, &*self.hal, root_keys::key(id, version))?;
            Ok(SignedStatement { statement })
        })
    }

    /// The root key `id`. Ask for the permission first.
    pub(in crate::admin) fn find_root_key(&self, id: Uuid) -> Result<RootKeyRow, Problem> {
        self.store.root_keys()?.into_iter().find(|row| row.id == id).ok_or_else(|| Problem::not_found("root key"))
    }

    fn root_key_shown(&self, row: &RootKeyRow) -> Result<RootKey, Problem> {
        Ok(model(row, &self.directory()?.rows, &self.store.rotations()?))
    }
}

impl RootKeyStatus {
    /// What may be done with a root key.
    #[must_use]
    pub fn of(row: &RootKeyRow) -> Self {
        match row.state {
            RootKeyState::Destroyed => Self::Destroyed,
            _ if row.destruction.is_some() => Self::BeingDestroyed,
            _ if row.is_unmade() => Self::Unfinished,
            RootKeyState::Active => Self::Active,
            RootKeyState::Suspended => Self::Suspended,
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Hal(error) | Failure::Proof(ProofError::Hal(error)) => error.into(),
            Failure::Store(error) | Failure::Proof(ProofError::Store(error)) => error.into(),
            Failure::Unknown => Self::not_found("root key"),
            Failure::Exists { label } => {
                let detail = format!("there is a root key with the label {label:?} already: choose another label");
                Self::new(Code::Exists, detail).with("field", "label")
            }
            Failure::NoVersion { .. } => Self::invalid("version", failure),
            Failure::StillInUse { keks, .. } => Self::new(Code::State, failure.to_string()).with("objects", keks),
            Failure::NotApproved { active } => {
                Self::new(Code::ImpactGrown, failure.to_string()).with("active_objects", active)
            }
            Failure::NotInHsm { .. } | Failure::StillInHsm { .. } | Failure::OtherToken { .. } => {
                Self::new(Code::HsmUnavailable, failure.to_string())
            }
            Failure::BadJournal => Self::internal(failure),
            Failure::Proof(_)
            | Failure::NotAttested { .. }
            | Failure::Destroyed { .. }
            | Failure::Suspended { .. }
            | Failure::Rotating { .. }
            | Failure::NotNext { .. }
            | Failure::NotMade { .. }
            | Failure::IsCurrent { .. } => Self::new(Code::State, failure.to_string()),
        }
    }
}

fn of(root_key: Uuid) -> Subject {
    Subject { root_key: Some(root_key), ..Subject::default() }
}

fn model(row: &RootKeyRow, trust: &TrustRows, rotations: &[RotationRow]) -> RootKey {
    let under = trust.adapters.iter().filter(|adapter| adapter.root_key == row.id);
    RootKey {
        id: row.id,
        label: row.label.clone(),
        state: RootKeyStatus::of(row),
        current_version: row.current_version,
        versions: row.versions.iter().map(version).collect(),
        rotation: rotations.iter().rfind(|rotation| rotation.root == row.id).map(progress),
        adapters: under.map(|adapter| RootKeyAdapter { id: adapter.id.0, name: adapter.name.clone() }).collect(),
        created_at: shown_time(row.created_at),
        changed_at: shown_time(row.changed_at),
        destroyed_at: row.destroyed_at.map(shown_time),
        destruction_certificate: row.certificate.clone(),
    }
}

fn version(row: &RootKeyVersionRow) -> RootKeyVersion {
    RootKeyVersion {
        version: row.version,
        state: match row.state {
            VersionState::Current => RootKeyVersionState::Current,
            VersionState::Superseded => RootKeyVersionState::Superseded,
            VersionState::Retired => RootKeyVersionState::Retired,
        },
        kcv: shown_kcv(row.kcv),
        kcv_method: row.kcv_method.clone(),
        created_at: shown_time(row.created_at),
        retired_at: row.retired_at.map(shown_time),
        attestation: row.attestation.clone(),
    }
}

/// A key check value in hexadecimal.
pub(in crate::admin) fn shown_kcv([a, b, c]: [u8; 3]) -> String {
    format!("{a:02x}{b:02x}{c:02x}")
}

/// How fast a rotation is, and how long it will take at that rate, as far as there is one.
pub(super) fn pace(row: &RotationRow, now: i64) -> (Option<f64>, Option<u64>) {
    let behind = row.done + row.failed;
    let seconds = u64::try_from(now.saturating_sub(row.started_at)).unwrap_or_default().max(1);
    if row.finished_at.is_some() || behind == 0 {
        return (None, None);
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate of more than 2^53 may be off by a little")]
    let per_second = behind as f64 / seconds as f64;
    let left = u128::from(remaining(row)) * u128::from(seconds) / u128::from(behind);
    (Some(per_second), u64::try_from(left).ok())
}

/// How many keys a rotation has before it.
fn remaining(row: &RotationRow) -> u64 {
    if row.finished_at.is_some() { 0 } else { row.total.saturating_sub(row.done + row.failed) }
}

fn progress(row: &RotationRow) -> RotationProgress {
    let (per_second, seconds_left) = pace(row, now());
    RotationProgress {
        remaining: remaining(row),
        per_second,
        seconds_left,
        from_version: row.from_version,
        to_version: row.to_version,
        started_at: shown_time(row.started_at),
        finished_at: row.finished_at.map(shown_time),
        total: row.total,
        done: row.done,
        damaged: row.failed,
        proof: row.proof.clone(),
    }
}
