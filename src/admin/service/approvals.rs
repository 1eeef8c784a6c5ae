//! What needs two people: asked for by one, approved by another within a time limit, and done by the server after a hold period
//! in which it can still be cancelled.
//!
//! What it would mean is shown when it is asked for, and looked at again when it is approved and before it is done: where more
//! keys are Active by then than were shown, it is void and must be asked for anew.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Service, hands::must_be_another, impact::Stake, now};
use crate::{
    admin::{
        caller::{Caller, CallerKind},
        etag::IfMatch,
        model::{
            Approval, ApprovalAction, ApprovalStatus, ImpactReport, NewApproval, Person, RootKeyStatus, shown_time,
        },
        page::{Page, Window},
        permission::{Permission, Scope},
        problem::{Code, Problem},
    },
    audit::{Actor, AdminEvent, Event, Name, Outcome, Subject},
    store::{
        AdapterId, ApprovalFilter, ApprovalRow, ApprovalState, ApprovalStep, Decided, ObjectId, StoreError, Verdict,
    },
    text,
};

/// Requests read from the store for one page: more than a page, for the caller may not see all of them.
const STEP: u64 = 256;

/// What is kept of a request beside the store's own columns.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::admin) struct Parameters {
    /// What the subject was called.
    name: String,
    /// The adapter that it belongs to, or that it is.
    adapter: Option<Uuid>,
}

impl Service {
    /// Asks for something that needs two people.
    pub(in crate::admin) fn create_approval(&self, caller: &Caller, new: NewApproval) -> Result<Approval, Problem> {
        let id = Uuid::new_v4();
        let scope = self.scope_of(new.action, new.subject)?;
        let about = Subject { approval: Some(id), ..subject_of(new.action, new.subject, scope) };
        self.act(caller, "approval.request", (Permission::ApprovalRequest, scope), about, |about| {
            // Who may not do it at all may not ask for it either.
            caller.may(needed(new.action), scope)?;
            text::check(&new.reason, text::DESCRIPTION).map_err(|bad| bad.of("reason"))?;
            self.check_subject(new.action, new.subject)?;
            let Stake { name, adapter, impact } = self.stake(new.action, new.subject)?;
            about.name = Some(Name::new(&name));
            let at = now();
            let parameters = Parameters { name, adapter: adapter.map(|adapter| adapter.0) };
            let row = ApprovalRow {
                id,
                action: new.action.name().to_owned(),
                subject: new.subject.to_string(),
                parameters: serde_json::to_string(&parameters).map_err(Problem::internal)?,
                impact: serde_json::to_string(&impact).map_err(Problem::internal)?,
                reason: new.reason,
                requested_by: caller.identity,
                requested_name: caller.name.to_string(),
                hands: caller.hands.clone(),
                requested_at: at,
                expires_at: at.saturating_add(i64::from(self.config.admin.approval_seconds)),
                decided: None,
                hold_until: None,
                state: ApprovalState::Pending,
                outcome: None,
                finished_at: None,
                revision: 1,
            };
            // One that nobody decided in time is in nobody's way.
            self.expire(at)?;
            self.store.insert_approval(row.clone()).map_err(|error| match error {
                StoreError::Duplicate => Problem::new(
                    Code::Exists,
                    "the same has been asked for and is not finished: approve, reject or cancel that request first",
                ),
                error => error.into(),
            })?;
            shown(row)
        })
    }

    /// Lists requests, newest first.
    pub(in crate::admin) fn list_approvals(
        &self,
        caller: &Caller,
        states: Vec<ApprovalStatus>,
        window: &Window,
    ) -> Result<Page<Approval>, Problem> {
        self.list(caller, "approval.list", Permission::KmipList, |_| {
            self.expire(now())?;
            let after = window.after.as_deref().map(Uuid::parse_str).transpose().map_err(Problem::internal)?;
            let states = states.into_iter().map(ApprovalState::from).collect();
            let mut filter = ApprovalFilter { states, after, limit: STEP };
            let mut found = Vec::new();
            loop {
                let rows = self.store.approvals(&filter)?;
                let whole = u64::try_from(rows.len()).is_ok_and(|read| read >= STEP);
                for row in rows {
                    filter.after = Some(row.id);
                    if may_see(caller, &row).is_ok() {
                        found.push(shown(row)?);
                    }
                    if found.len() > window.limit {
                        return Ok(window.page(found, |approval| approval.id.to_string()));
                    }
                }
                if !whole {
                    return Ok(window.page(found, |approval| approval.id.to_string()));
                }
            }
        })
    }

    /// Reads a request.
    pub(in crate::admin) fn read_approval(&self, caller: &Caller, id: Uuid) -> Result<Approval, Problem> {
        self.expire(now())?;
        let needed = |row: &ApprovalRow| action_of(row).map(reading);
        self.act_on_approval(caller, "approval.read", id, needed, shown)
    }

    /// Approves a request that somebody else made, as it was shown at the revision in `if_match`. Somebody else is also who neither
    /// gave nor got the access that it was asked for with.
    pub(in crate::admin) fn approve(&self, caller: &Caller, id: Uuid, if_match: &IfMatch) -> Result<Approval, Problem> {
        self.act_on_approval(
            caller,
            "approval.approve",
            id,
            |_| Ok(Permission::ApprovalDecide),
            |row| {
                let action = action_of(&row)?;
                self.must_be_independent(caller, &row)?;
                if_match.check(row.revision)?;
                let at = now();
                must_be_open(&row, at)?;
                let fresh = self.stake(action, subject_id(&row)?);
                if let Err(problem) = fresh.and_then(|stake| not_more_than_shown(&row, &stake.impact)) {
                    if matches!(problem.code(), Code::ImpactGrown | Code::NotFound) {
                        let outcome = format!("void: {}", problem.detail());
                        self.store.advance_approval(id, row.revision, ApprovalStep::Cancel { outcome }, at)?;
                    }
                    return Err(problem);
                }
                let decided = Decided { by: caller.identity, name: caller.name.to_string(), at };
                let hold_until = at.saturating_add(self.hold(action));
                self.store.decide_approval(id, row.revision, decided, Verdict::Approve { hold_until })?;
                self.approval(id)
            },
        )
    }

    /// Refuses a request that somebody else made.
    pub(in crate::admin) fn reject(&self, caller: &Caller, id: Uuid) -> Result<Approval, Problem> {
        self.act_on_approval(
            caller,
            "approval.reject",
            id,
            |_| Ok(Permission::ApprovalDecide),
            |row| {
                must_be_another(caller, &row)?;
                let at = now();
                must_be_open(&row, at)?;
                let decided = Decided { by: caller.identity, name: caller.name.to_string(), at };
                self.store.decide_approval(id, row.revision, decided, Verdict::Reject)?;
                self.approval(id)
            },
        )
    }

    /// Cancels a request before anything was done: whoever asked, whoever approved, and anybody who may decide.
    pub(in crate::admin) fn cancel(&self, caller: &Caller, id: Uuid) -> Result<Approval, Problem> {
        // What they asked for or approved they may still stop when other roles have been taken away.
        let needed = |row: &ApprovalRow| {
            let is_theirs = row.requested_by == caller.identity
                || row.decided.as_ref().is_some_and(|decided| decided.by == caller.identity);
            if is_theirs { action_of(row).map(reading) } else { Ok(Permission::ApprovalDecide) }
        };
        self.act_on_approval(caller, "approval.cancel", id, needed, |row| {
            if row.state != ApprovalState::Pending && row.state != ApprovalState::Approved {
                return Err(not_open(row.state));
            }
            let outcome = format!("cancelled by {}", caller.name);
            self.store.advance_approval(id, row.revision, ApprovalStep::Cancel { outcome }, now())?;
            self.approval(id)
        })
    }

    /// Ends the requests that nobody decided in time.
    pub(in crate::admin) fn expire(&self, now: i64) -> Result<(), Problem> {
        let filter = ApprovalFilter { states: vec![ApprovalState::Pending], after: None, limit: u64::from(u16::MAX) };
        let late: Vec<_> = self.store.approvals(&filter)?.into_iter().filter(|row| row.expires_at <= now).collect();
        if late.is_empty() {
            return Ok(());
        }
        self.audit.health()?;
        late.iter().try_for_each(|row| self.record_step(row, "approval.expire", Outcome::Begun))?;
        self.store.expire_approvals(now)?;
        late.iter().try_for_each(|row| self.record_step(row, "approval.expire", Outcome::Success))
    }

    /// Records what the server itself did about a request.
    pub(in crate::admin) fn record_step(
        &self,
        row: &ApprovalRow,
        action: &'static str,
        outcome: Outcome,
    ) -> Result<(), Problem> {
        let event = Event::Admin(AdminEvent {
            actor: Actor::Server,
            peer: None,
            action,
            // Who asked and who approved have events of their own under the same approval.
            subject: about(row)?,
            outcome,
            correlation: row.id,
        });
        Ok(self.audit.append(&[event])?)
    }

    /// Does `work` on a request for a caller who has the permission that is needed in its scope. A request that the caller may
    /// not even see is answered like one that there is not.
    fn act_on_approval<T>(
        &self,
        caller: &Caller,
        action: &'static str,
        id: Uuid,
        needed: impl FnOnce(&ApprovalRow) -> Result<Permission, Problem>,
        work: impl FnOnce(ApprovalRow) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let not_found = || Problem::not_found("approval");
        let Some(row) = self.store.approval(id)? else {
            let about = Subject { approval: Some(id), ..Subject::default() };
            let may = (Permission::KmipRead, Scope::Adapter(AdapterId(Uuid::nil())));
            return self.act(caller, action, may, about, |_| Err(not_found())).map_err(|problem| {
                match problem.code() {
                    Code::NotFound => not_found(),
                    _ => problem,
                }
            });
        };
        let is_seen = caller.kind == CallerKind::Bootstrap || may_see(caller, &row).is_ok();
        let (needed, scope, about) = (needed(&row)?, scope_of_row(&row)?, about(&row)?);
        self.act(caller, action, (needed, scope), about, |_| work(row))
            .map_err(|problem| if is_seen { problem } else { not_found() })
    }

    fn approval(&self, id: Uuid) -> Result<Approval, Problem> {
        shown(self.store.approval(id)?.ok_or_else(|| Problem::not_found("approval"))?)
    }

    /// How long something that was approved can be cancelled, in seconds.
    fn hold(&self, action: ApprovalAction) -> i64 {
        let admin = &self.config.admin;
        i64::from(match action {
            ApprovalAction::RootKeyDestroy => admin.root_key_hold_seconds,
            ApprovalAction::AdapterDelete => admin.adapter_hold_seconds,
            ApprovalAction::ObjectDestroy => admin.object_hold_seconds,
        })
    }

    /// What a request is about. Of an object nobody can know the adapter before it is looked up; one that there is not is of no
    /// adapter, and answered like one that is out of sight.
    fn scope_of(&self, action: ApprovalAction, subject: Uuid) -> Result<Scope, Problem> {
        Ok(match action {
            ApprovalAction::RootKeyDestroy => Scope::Everything,
            ApprovalAction::AdapterDelete => Scope::Adapter(AdapterId(subject)),
            ApprovalAction::ObjectDestroy => {
                let found = self.store.listed_object(ObjectId(subject))?;
                Scope::Adapter(found.map_or(AdapterId(Uuid::nil()), |object| object.adapter))
            }
        })
    }

    /// Whether there is anything left to be done.
    fn check_subject(&self, action: ApprovalAction, subject: Uuid) -> Result<(), Problem> {
        match action {
            ApprovalAction::RootKeyDestroy => {
                let row = self.find_root_key(subject)?;
                match RootKeyStatus::of(&row) {
                    RootKeyStatus::Active | RootKeyStatus::Suspended => Ok(()),
                    RootKeyStatus::Unfinished => Err(Problem::new(Code::State, "the root key was never finished")),
                    RootKeyStatus::BeingDestroyed | RootKeyStatus::Destroyed => {
                        Err(Problem::new(Code::State, "the root key is destroyed, or its destruction has begun"))
                    }
                }
            }
            ApprovalAction::AdapterDelete => self.find_adapter(AdapterId(subject)).map(drop),
            ApprovalAction::ObjectDestroy => {
                let found = self.store.listed_object(ObjectId(subject))?.ok_or_else(|| Problem::not_found("object"))?;
                self.find_adapter(found.adapter)?;
                if found.destroyed { Err(Problem::new(Code::State, "the object is destroyed already")) } else { Ok(()) }
            }
        }
    }
}

/// The permission without which nobody may ask.
fn needed(action: ApprovalAction) -> Permission {
    match action {
        ApprovalAction::RootKeyDestroy => Permission::RootKeyDestroy,
        ApprovalAction::AdapterDelete | ApprovalAction::ObjectDestroy => Permission::KmipDelete,
    }
}

/// The permission to see a request: that to see what it is about.
fn reading(action: ApprovalAction) -> Permission {
    match action {
        ApprovalAction::RootKeyDestroy => Permission::RootKeyRead,
        ApprovalAction::AdapterDelete | ApprovalAction::ObjectDestroy => Permission::KmipRead,
    }
}

pub(super) fn may_see(caller: &Caller, row: &ApprovalRow) -> Result<(), Problem> {
    caller.may(reading(action_of(row)?), scope_of_row(row)?)
}

/// Refuses what puts more Active keys at stake than were shown when it was asked for.
pub(in crate::admin) fn not_more_than_shown(row: &ApprovalRow, fresh: &ImpactReport) -> Result<(), Problem> {
    let shown = impact_of(row)?.active_objects;
    if fresh.active_objects <= shown { Ok(()) } else { Err(impact_grown(fresh.active_objects, shown)) }
}

/// So many Active keys are at stake, and fewer were shown.
pub(in crate::admin) fn impact_grown(active: u64, shown: u64) -> Problem {
    let detail = format!(
        "{active} Active keys are at stake now, and {shown} were shown when this was asked for: the request is void. Ask anew, and let \
         the other person see the new report"
    );
    Problem::new(Code::ImpactGrown, detail).with("active_objects", active).with("shown", shown)
}

fn must_be_open(row: &ApprovalRow, now: i64) -> Result<(), Problem> {
    match row.state {
        ApprovalState::Pending if row.expires_at > now => Ok(()),
        ApprovalState::Pending => Err(not_open(ApprovalState::Expired)),
        state => Err(not_open(state)),
    }
}

fn not_open(state: ApprovalState) -> Problem {
    let what = match state {
        ApprovalState::Pending => "the request is not approved",
        ApprovalState::Approved => "the request is approved already: until its hold ends it can be cancelled",
        ApprovalState::Executing => "it is being done and cannot be stopped",
        ApprovalState::Done => "it was done",
        ApprovalState::Failed => "it was approved and could not be done: ask anew",
        ApprovalState::Rejected => "the request was rejected: ask anew",
        ApprovalState::Cancelled => "the request was cancelled: ask anew",
        ApprovalState::Expired => "nobody approved the request in time: ask anew",
    };
    Problem::new(Code::State, what)
}

/// What a request asks for.
pub(in crate::admin) fn action_of(row: &ApprovalRow) -> Result<ApprovalAction, Problem> {
    ApprovalAction::named(&row.action).ok_or_else(|| Problem::internal("a request for an unknown action"))
}

/// What a request asks to do it to.
pub(in crate::admin) fn subject_id(row: &ApprovalRow) -> Result<Uuid, Problem> {
    Uuid::parse_str(&row.subject).map_err(Problem::internal)
}

/// What was shown when it was asked for.
pub(in crate::admin) fn impact_of(row: &ApprovalRow) -> Result<ImpactReport, Problem> {
    serde_json::from_str(&row.impact).map_err(Problem::internal)
}

fn parameters_of(row: &ApprovalRow) -> Result<Parameters, Problem> {
    serde_json::from_str(&row.parameters).map_err(Problem::internal)
}

fn scope_of_row(row: &ApprovalRow) -> Result<Scope, Problem> {
    Ok(parameters_of(row)?.adapter.map_or(Scope::Everything, |adapter| Scope::Adapter(AdapterId(adapter))))
}

/// What audit events about a request name.
pub(in crate::admin) fn about(row: &ApprovalRow) -> Result<Subject, Problem> {
    let name = parameters_of(row)?.name;
    let about = subject_of(action_of(row)?, subject_id(row)?, scope_of_row(row)?);
    Ok(Subject { approval: Some(row.id), name: Some(Name::new(&name)), ..about })
}

fn subject_of(action: ApprovalAction, subject: Uuid, scope: Scope) -> Subject {
    let adapter = match scope {
        Scope::Everything => None,
        Scope::Adapter(adapter) => Some(adapter).filter(|adapter| !adapter.0.is_nil()),
    };
    match action {
        ApprovalAction::RootKeyDestroy => Subject { root_key: Some(subject), ..Subject::default() },
        ApprovalAction::AdapterDelete => Subject { adapter, ..Subject::default() },
        ApprovalAction::ObjectDestroy => Subject { adapter, object: Some(ObjectId(subject)), ..Subject::default() },
    }
}

fn shown(row: ApprovalRow) -> Result<Approval, Problem> {
    let parameters = parameters_of(&row)?;
    Ok(Approval {
        id: row.id,
        action: action_of(&row)?,
        subject: subject_id(&row)?,
        subject_name: Some(parameters.name),
        adapter: parameters.adapter,
        state: row.state.into(),
        impact: impact_of(&row)?,
        reason: row.reason,
        requested_by: Person { id: row.requested_by, name: row.requested_name },
        requested_at: shown_time(row.requested_at),
        expires_at: shown_time(row.expires_at),
        decided_at: row.decided.as_ref().map(|decided| shown_time(decided.at)),
        decided_by: row.decided.map(|decided| Person { id: decided.by, name: decided.name }),
        hold_until: row.hold_until.map(shown_time),
        outcome: row.outcome,
        finished_at: row.finished_at.map(shown_time),
        revision: row.revision,
    })
}
