//! Rotation: brings every wrapped KEK under the newest version of its root key, while clients go on.
//!
//! Adding a version to a root key begins a rotation; from then on new objects are sealed under the new version, so what is
//! left to do only shrinks. The job reads KEKs in the order in which they were made, has the HSM wrap them again (which opens
//! each new one before it is handed out), and replaces them in steps that also say how far it has come: whoever goes on after
//! a crash misses nothing. A KEK that was erased meanwhile stays erased. An HSM that is away, a full disk or a suspended root
//! key make the job wait; where only its own root key is in its way, rotations of others have their turn first. A KEK that is
//! damaged is counted, named in the log, and left as it is. The rotation is finished when a scan of the whole store finds
//! nothing but those under older versions; that is signed. Any number of processes may work on one rotation at once, though
//! one is enough. Sealed bodies are never touched, and no KEK is ever in the clear here.

mod background;
mod pass;
mod stop;

use std::{collections::BTreeSet, sync::Arc};

use hal::RootKeys;
use jiff::Timestamp;
use uuid::Uuid;

pub use self::{background::Background, stop::Stop};
use self::{
    pass::{Halt, Pass},
    stop::Backoff,
};
use crate::{
    audit::{Actor, AdminEvent, Audit, Event, Outcome, Subject},
    proof,
    root_keys::key,
    statement::{CheckValue, Claim, RotationProof},
    store::{KekRow, RootKeyRow, RootKeyState, RotationRow, Store, StoreError},
};

/// KEKs read and replaced in one step.
const BATCH: u64 = 128;
/// Steps at work at the same time, at most: enough to keep a token busy.
const MAX_THREADS: usize = 4;

/// What a rotation works with.
#[derive(Clone)]
pub struct Rotator {
    /// Where wrapped KEKs are.
    pub store: Arc<Store>,
    /// What wraps them again.
    pub hal: Arc<dyn RootKeys>,
    /// Where the end of a rotation is recorded.
    pub audit: Arc<Audit>,
    /// Who does it, for that record.
    pub actor: Actor,
    /// At most so many KEKs in a second; 0 for as many as the HSM does.
    pub per_second: u32,
}

/// How a rotation ended, or that it did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nothing but `damaged` KEKs is left under older versions.
    Finished {
        /// KEKs that cannot be opened and were left as they are.
        damaged: u64,
    },
    /// It was asked to stop; it goes on from there the next time.
    Stopped,
    /// Something is in the way of this one alone, and others wait for their turn.
    GaveWay,
    /// There is nothing to do any more: another process has finished it, or the root key was destroyed.
    Gone,
}

impl Rotator {
    /// Works on every rotation that is not finished and whose root key is active, one after the other. One that cannot go on
    /// for a reason of its own gives way where others wait.
    ///
    /// # Errors
    /// The database failed.
    pub fn run_pending(&self, stop: &Stop) -> Result<(), StoreError> {
        for rotation in self.ready()? {
            if self.run_as(&rotation, stop, true)? == Ended::Stopped {
                break;
            }
        }
        Ok(())
    }

    /// Rotations that can be worked on.
    fn ready(&self) -> Result<Vec<RotationRow>, StoreError> {
        let roots = self.store.root_keys()?;
        let is_active = |id: Uuid| roots.iter().any(|row| row.id == id && row.state == RootKeyState::Active);
        let mut rotations = self.store.rotations()?;
        rotations.retain(|rotation| rotation.finished_at.is_none() && is_active(rotation.root));
        Ok(rotations)
    }

    /// Whether a rotation of another root key could be worked on.
    fn others_wait(&self, root: Uuid) -> bool {
        self.ready().is_ok_and(|ready| ready.iter().any(|rotation| rotation.root != root))
    }

    /// Works on `rotation` until it is finished or `stop` says so.
    ///
    /// # Errors
    /// The database failed.
    pub fn run(&self, rotation: &RotationRow, stop: &Stop) -> Result<Ended, StoreError> {
        self.run_as(rotation, stop, false)
    }

    fn run_as(&self, rotation: &RotationRow, stop: &Stop, gives_way: bool) -> Result<Ended, StoreError> {
        let (root, version) = (rotation.root, rotation.to_version);
        tracing::info!(root_key = %root, version, cursor = rotation.cursor, total = rotation.total, "rotation begins");
        let mut cursor = rotation.cursor;
        loop {
            let pass = Pass::new(self, key(root, version), cursor, stop, gives_way);
            let damaged = match pass.run(self.threads()) {
                Ok(damaged) => damaged,
                Err(Halt::Stopped) => return Ok(Ended::Stopped),
                Err(Halt::GaveWay) => return Ok(Ended::GaveWay),
                Err(Halt::Gone) => return Ok(Ended::Gone),
            };
            if self.only_these_are_left(root, version, &damaged)?
                && let Some(ended) = self.finish(rotation, &damaged, stop)?
            {
                return Ok(ended);
            }
            // Something is left behind the place where this pass began: the pass before it was cut short.
            cursor = 0;
            match self.store.restart_rotation(root, version) {
                Err(StoreError::NotFound) => return Ok(Ended::Gone),
                result => result?,
            }
        }
    }

    /// One worker of the HSM is left to requests, where there are several.
    fn threads(&self) -> usize {
        match self.hal.capabilities().sessions {
            0 => 2,
            sessions => sessions.saturating_sub(1).clamp(1, MAX_THREADS),
        }
    }

    /// Scans the whole store for KEKs under older versions.
    fn only_these_are_left(&self, root: Uuid, version: u32, damaged: &BTreeSet<i64>) -> Result<bool, StoreError> {
        let mut after = 0;
        loop {
            let left = self.store.next_keks(root, version, after, BATCH)?;
            if left.iter().any(|kek| !damaged.contains(&kek.seq)) {
                return Ok(false);
            }
            match left.last() {
                Some(last) => after = last.seq,
                None => return Ok(true),
            }
        }
    }

    /// Signs and records the end; `None` where something is left after all.
    fn finish(
        &self,
        rotation: &RotationRow,
        damaged: &BTreeSet<i64>,
        stop: &Stop,
    ) -> Result<Option<Ended>, StoreError> {
        let (root, version) = (rotation.root, rotation.to_version);
        let mut backoff = Backoff::new();
        let damaged = u64::try_from(damaged.len()).unwrap_or(u64::MAX);
        let (at, proof) = loop {
            let Some(rotation) = self.unfinished(root, version)? else { return Ok(Some(Ended::Gone)) };
            let Some(row) = self.root_key(root)? else { return Ok(Some(Ended::Gone)) };
            let at = Timestamp::now();
            let Some(claim) = proof_of(&row, &rotation, damaged, at) else { return Ok(Some(Ended::Gone)) };
            match proof::sign(&self.store, &*self.hal, Claim::Rotation(claim)) {
                Ok(proof) => break (at.as_second(), proof),
                Err(error) => {
                    if backoff.is_first() {
                        tracing::error!(root_key = %root, version, %error, "the proof of a rotation cannot be signed yet");
                    }
                    if backoff.sleep(stop) {
                        return Ok(Some(Ended::Stopped));
                    }
                }
            }
        };
        match self.store.finish_rotation(root, version, at, damaged, proof) {
            Ok(()) => {}
            Err(StoreError::InUse { .. }) => return Ok(None),
            Err(StoreError::NotFound) => return Ok(Some(Ended::Gone)),
            Err(error) => return Err(error),
        }
        tracing::info!(root_key = %root, version, damaged, "rotation finished");
        self.record(root);
        Ok(Some(Ended::Finished { damaged }))
    }

    fn unfinished(&self, root: Uuid, version: u32) -> Result<Option<RotationRow>, StoreError> {
        let same = |row: &RotationRow| (row.root, row.to_version) == (root, version) && row.finished_at.is_none();
        Ok(self.store.rotations()?.into_iter().find(same))
    }

    fn root_key(&self, root: Uuid) -> Result<Option<RootKeyRow>, StoreError> {
        Ok(self.store.root_keys()?.into_iter().find(|row| row.id == root))
    }

    fn record(&self, root: Uuid) {
        let event = Event::Admin(AdminEvent {
            actor: self.actor.clone(),
            peer: None,
            action: "root_key.rotation.finish",
            subject: Subject { root_key: Some(root), ..Subject::default() },
            outcome: Outcome::Success,
            correlation: Uuid::new_v4(),
        });
        // What was done is done, and on record in the store with its proof.
        if let Err(error) = self.audit.append(&[event]) {
            tracing::error!(root_key = %root, %error, "the end of a rotation could not be written to the audit log");
        }
    }

    /// Says in the log which object a KEK belongs to.
    fn report_damaged(&self, root: Uuid, kek: &KekRow) {
        let owner = self.store.kek_owner(kek.seq).ok().flatten();
        let (adapter, object) = owner.map(|(adapter, object)| (adapter.0, object.0)).unzip();
        tracing::error!(
            root_key = %root,
            version = kek.version,
            adapter = adapter.map(tracing::field::display),
            object_id = object.map(tracing::field::display),
            "the object's wrapped key is damaged and stays as it is: restore the object from a backup, or destroy it"
        );
    }
}

/// What is signed; `None` where the version is on record no more.
fn proof_of(root: &RootKeyRow, rotation: &RotationRow, damaged: u64, at: Timestamp) -> Option<RotationProof> {
    let version = root.version(rotation.to_version)?;
    let [a, b, c] = version.kcv;
    Some(RotationProof {
        root_key: root.id,
        label: root.label.clone(),
        from_version: rotation.from_version,
        to_version: rotation.to_version,
        kcv: CheckValue { value: format!("{a:02x}{b:02x}{c:02x}"), method: version.kcv_method.clone() },
        started_at: Timestamp::from_second(rotation.started_at).ok()?,
        // Times of statements are whole seconds.
        finished_at: Timestamp::from_second(at.as_second()).ok()?,
        rewrapped: rotation.done,
        remaining: damaged,
    })
}
