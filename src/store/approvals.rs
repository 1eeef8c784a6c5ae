//! Rows about what one person asks for and another decides.
//!
//! The store sees to it that nobody decides what he asked for himself, that of two who decide one wins, and that every step is
//! one of those below. What is asked for, and the doing of it, is the caller's business.
//!
//! ```text
//! Pending ─ Approved ─ Executing ─ Done | Failed
//!    │         └ Cancelled
//!    └ Rejected | Cancelled | Expired
//! ```
//!
//! In a copy of the database ([`Store::backup`]) whatever was open is cancelled.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{Store, StoreError};

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApprovalState {
    /// Nobody has decided.
    Pending,
    /// Somebody has agreed; nothing is done before [`ApprovalRow::hold_until`].
    Approved,
    /// It is being done. Whoever finds it so after a crash goes on.
    Executing,
    /// It was done.
    Done,
    /// It could not be done.
    Failed,
    /// Somebody has refused.
    Rejected,
    /// It was withdrawn before anything was done.
    Cancelled,
    /// Nobody decided in time.
    Expired,
}

impl ApprovalState {
    /// Whether nothing comes after it.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Approved | Self::Executing)
    }
}

/// A request for what needs two people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalRow {
    /// Its identifier.
    pub id: Uuid,
    /// What is to be done, by the caller's name for it.
    pub action: String,
    /// What it is to be done to. For one action and subject there is one open request.
    pub subject: String,
    /// How, JSON.
    pub parameters: String,
    /// What it would mean when it was asked for, JSON.
    pub impact: String,
    /// Why, for people.
    pub reason: String,
    /// The identity that asked.
    pub requested_by: Uuid,
    /// Its name at that time.
    pub requested_name: String,
    /// Through whose hands the access came that it asked with.
    pub hands: BTreeSet<Uuid>,
    /// Seconds since 1970-01-01 UTC.
    pub requested_at: i64,
    /// From when on nobody can decide it any more.
    pub expires_at: i64,
    /// Who decided, once somebody has.
    pub decided: Option<Decided>,
    /// Before this time nothing is done; set when it is approved.
    pub hold_until: Option<i64>,
    /// Where it stands.
    pub state: ApprovalState,
    /// What became of it, in the caller's words.
    pub outcome: Option<String>,
    /// When it reached a state that nothing comes after.
    pub finished_at: Option<i64>,
    /// Starts at 1, one more with every step.
    pub revision: u64,
}

/// Who decided a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The identity.
    pub by: Uuid,
    /// Its name at that time.
    pub name: String,
    /// Seconds since 1970-01-01 UTC.
    pub at: i64,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is to be done, not before `hold_until`.
    Approve {
        /// Seconds since 1970-01-01 UTC.
        hold_until: i64,
    },
    /// It is not to be done.
    Reject,
}

/// A step of a request other than its decision. Each names the state that it leads out of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApprovalStep {
    /// From Pending or Approved to Cancelled.
    Cancel {
        /// Who did and why, in the caller's words.
        outcome: String,
    },
    /// From Approved to Executing, not before the hold has ended.
    Execute,
    /// From Executing to Done.
    Finish {
        /// What was done, in the caller's words.
        outcome: String,
    },
    /// From Executing to Failed.
    Fail {
        /// Why, in the caller's words.
        outcome: String,
    },
}

/// Which requests are wanted.
#[derive(Clone, Debug, Default)]
pub struct ApprovalFilter {
    /// In one of these states; in any where there is none.
    pub states: Vec<ApprovalState>,
    /// Only those that come after this one: where the last page ended. Nothing comes after one that is not there.
    pub after: Option<Uuid>,
    /// At most so many.
    pub limit: u64,
}

/// Approvals.
impl Store {
    /// Adds a request; it is pending, undecided, and its revision is 1. Open requests that nobody decided before it was asked
    /// for have expired.
    ///
    /// # Errors
    /// `Conflict` where it is not like that, `Duplicate` id or open request for the same, `LimitReached` of open requests.
    pub fn insert_approval(&self, row: ApprovalRow) -> Result<(), StoreError> {
        self.engine.insert_approval(row)
    }

    /// The request `id`.
    ///
    /// # Errors
    /// The database failed.
    pub fn approval(&self, id: Uuid) -> Result<Option<ApprovalRow>, StoreError> {
        self.engine.approval(id)
    }

    /// The requests that `filter` describes, newest first.
    ///
    /// # Errors
    /// The database failed.
    pub fn approvals(&self, filter: &ApprovalFilter) -> Result<Vec<ApprovalRow>, StoreError> {
        self.engine.approvals(filter)
    }

    /// Decides a request that is pending at `revision`.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where it has another revision, is not pending or has expired; `OwnRequest`.
    pub fn decide_approval(
        &self,
        id: Uuid,
        revision: u64,
        decided: Decided,
        verdict: Verdict,
    ) -> Result<(), StoreError> {
        self.engine.decide_approval(id, revision, decided, verdict)
    }

    /// Takes a request that is at `revision` a step further, at the time `at`.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where it has another revision, the step does not lead out of its state, or its hold has not ended.
    pub fn advance_approval(&self, id: Uuid, revision: u64, step: ApprovalStep, at: i64) -> Result<(), StoreError> {
        self.engine.advance_approval(id, revision, step, at)
    }

    /// Marks the pending requests that nobody decided before `now`. It writes only where there are any.
    ///
    /// # Errors
    /// The database failed, `DiskFull`, `Overloaded`.
    pub fn expire_approvals(&self, now: i64) -> Result<(), StoreError> {
        self.engine.expire_approvals(now)
    }

    /// Approved requests whose hold has ended at `now`, and those whose execution was begun, oldest first, at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub fn due_approvals(&self, now: i64, limit: u64) -> Result<Vec<ApprovalRow>, StoreError> {
        self.engine.due_approvals(now, limit)
    }
}
