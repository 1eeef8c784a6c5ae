//! Does what two people have agreed on, when its hold period has ended: a thread beside the server.
//!
//! Where it stands is in the store. A request that was begun is gone on with, also after a crash, and what it does can be done
//! again without doing it twice. What is in the way for a while (an HSM that is away, a full disk) is waited for; what is in the
//! way for good ends the request, which then must be asked for anew.

use std::{
    collections::HashSet,
    io,
    sync::{
        Arc, Weak,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Admin,
    model::ApprovalAction,
    problem::{Code, Problem},
    service::{
        Service,
        adapters::RemoveError,
        approvals::{action_of, impact_grown, impact_of, not_more_than_shown, subject_id},
    },
};
use crate::{
    audit::Outcome,
    engine::{self, Removal, RemovalError, at_most_active},
    root_keys::{self, Active, Agreed, Failure},
    statement::TwoPeople,
    store::{AdapterId, ApprovalRow, ApprovalState, ApprovalStep, Loss, ObjectId, RootKeyState, StoreError},
};

/// How often something to be done is looked for.
const LOOK: Duration = Duration::from_millis(500);
/// How often, where the last attempt failed: every one may ask the HSM.
const AGAIN: Duration = Duration::from_secs(5);
/// Requests that are looked at in one go.
const AT_ONCE: u64 = 32;
/// How often the end of the thread is looked for.
const POLL: Duration = Duration::from_millis(5);

/// The thread. It ends when this is dropped, but nobody waits for that.
pub struct Executing {
    alive: mpsc::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Executing {
    /// Starts it, for as long as `admin` is there.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(admin: &Arc<Admin>) -> io::Result<Self> {
        let admin: Weak<Admin> = Arc::downgrade(admin);
        let (alive, ended) = mpsc::channel::<()>();
        let thread = thread::Builder::new().name("approvals".to_owned()).spawn(move || {
            let (mut failing, mut begun) = (false, Begun::default());
            while ended.recv_timeout(if failing { AGAIN } else { LOOK }) == Err(RecvTimeoutError::Timeout) {
                let Some(admin) = admin.upgrade() else { return };
                let done = admin.service.do_what_is_due(&mut begun);
                // Once for each time that it begins to fail.
                if let Err(problem) = &done
                    && !failing
                {
                    tracing::error!(problem = problem.detail(), "what was approved is not done until this ends");
                }
                failing = done.is_err();
            }
        })?;
        Ok(Self { alive, thread })
    }

    /// Tells it to stop, and waits for what is at work for at most `patience`. What is cut is gone on with at the next start.
    pub fn end(self, patience: Duration) {
        drop(self.alive);
        let deadline = Instant::now() + patience;
        while !self.thread.is_finished() && Instant::now() < deadline {
            thread::sleep(POLL);
        }
    }
}

/// Steps of which it is on record that they begin: what is tried again and again is recorded once.
type Begun = HashSet<(Uuid, &'static str)>;

impl Service {
    /// Ends requests that nobody decided in time, and does what was approved and whose hold has ended.
    ///
    /// # Errors
    /// The first thing that is in the way for a while; it is tried again.
    fn do_what_is_due(&self, begun: &mut Begun) -> Result<(), Problem> {
        let now = now();
        self.expire(now)?;
        let mut in_the_way = Ok(());
        for row in self.store.due_approvals(now, AT_ONCE)? {
            let id = row.id;
            let done = self.do_one(row, begun);
            if done.is_ok() {
                begun.retain(|(of, _)| *of != id);
            }
            // One that waits for the HSM is not in the way of the others.
            in_the_way = in_the_way.and(done);
        }
        in_the_way
    }

    fn do_one(&self, row: ApprovalRow, begun: &mut Begun) -> Result<(), Problem> {
        // What could not be recorded is not begun.
        self.audit.health()?;
        let row = if row.state == ApprovalState::Approved {
            match self.begin(row, begun)? {
                Some(row) => row,
                None => return Ok(()),
            }
        } else {
            row
        };
        let action = action_of(&row)?;
        // Once more after a restart, for whoever was cut off may not have come to it.
        self.intend(&row, action.name(), begun)?;
        match self.perform(action, &row) {
            Ok(outcome) => {
                tracing::info!(approval = %row.id, action = action.name(), outcome, "what was approved is done");
                self.record_step(&row, action.name(), Outcome::Success)?;
                Ok(self.store.advance_approval(row.id, row.revision, ApprovalStep::Finish { outcome }, now())?)
            }
            Err(Halt::Later(problem)) => Err(problem),
            Err(Halt::Never(problem)) => {
                tracing::error!(approval = %row.id, action = action.name(), problem = problem.detail(), "what was approved cannot be done");
                self.record_step(&row, action.name(), Outcome::Failed(problem.code().name()))?;
                let outcome = problem.detail().to_owned();
                Ok(self.store.advance_approval(row.id, row.revision, ApprovalStep::Fail { outcome }, now())?)
            }
        }
    }

    /// Records that a step begins, where that is not on record yet.
    fn intend(&self, row: &ApprovalRow, step: &'static str, begun: &mut Begun) -> Result<(), Problem> {
        if !begun.contains(&(row.id, step)) {
            self.record_step(row, step, Outcome::Begun)?;
            begun.insert((row.id, step));
        }
        Ok(())
    }

    /// Looks once more at what is at stake and begins; `None` where it is void, or was cancelled at the last moment.
    fn begin(&self, row: ApprovalRow, begun: &mut Begun) -> Result<Option<ApprovalRow>, Problem> {
        let (action, subject) = (action_of(&row)?, subject_id(&row)?);
        let refused = match self.stake(action, subject).and_then(|stake| not_more_than_shown(&row, &stake.impact)) {
            Ok(()) => None,
            Err(problem) if matches!(problem.code(), Code::ImpactGrown | Code::NotFound) => Some(problem),
            Err(problem) => return Err(problem),
        };
        let step = match &refused {
            Some(problem) => ApprovalStep::Cancel { outcome: format!("void: {}", problem.detail()) },
            None => ApprovalStep::Execute,
        };
        self.intend(&row, "approval.execute", begun)?;
        match self.store.advance_approval(row.id, row.revision, step, now()) {
            Ok(()) => {}
            // Somebody cancelled it a moment ago.
            Err(StoreError::Conflict) => {
                self.record_step(&row, "approval.execute", Outcome::Failed(Code::State.name()))?;
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
        if let Some(problem) = refused {
            tracing::warn!(approval = %row.id, problem = problem.detail(), "what was approved is void");
            self.record_step(&row, "approval.execute", Outcome::Failed(problem.code().name()))?;
            return Ok(None);
        }
        self.record_step(&row, "approval.execute", Outcome::Success)?;
        Ok(self.store.approval(row.id)?.filter(|row| row.state == ApprovalState::Executing))
    }

    /// Does it, or finds it done. Returns what was done, in words.
    fn perform(&self, action: ApprovalAction, row: &ApprovalRow) -> Result<String, Halt> {
        let subject = subject_id(row).map_err(Halt::Never)?;
        match action {
            ApprovalAction::RootKeyDestroy => self.destroy_root_key(row, subject),
            ApprovalAction::AdapterDelete => self.delete_approved_adapter(row, AdapterId(subject)),
            ApprovalAction::ObjectDestroy => self.force_object(ObjectId(subject)),
        }
    }

    fn destroy_root_key(&self, approval: &ApprovalRow, id: Uuid) -> Result<String, Halt> {
        let row = self.find_root_key(id).map_err(|problem| Halt::of(problem, false))?;
        if row.state == RootKeyState::Destroyed {
            return Ok("the root key is destroyed; the signed certificate of it is on record".to_owned());
        }
        let shown = impact_of(approval).map_err(Halt::Never)?.active_objects;
        let people = two_people(approval).ok_or_else(|| Halt::Never(Problem::internal("an approval by nobody")))?;
        let agreed = Agreed { active: Active::AtMost(shown), people: Some(people) };
        let destroyed = root_keys::destroy(&self.store, &*self.hal, &row, &agreed);
        self.trust_changed();
        match destroyed {
            Ok(()) => Ok("the root key is destroyed; the signed certificate of it is on record".to_owned()),
            Err(failure) => {
                // Once it has begun it only goes on.
                let has_begun = self.find_root_key(id).is_ok_and(|row| row.destruction.is_some());
                match failure {
                    // Nothing was done, and an operator must look at it first.
                    failure @ (Failure::BadJournal | Failure::NotInHsm { .. }) => Err(Halt::Never(failure.into())),
                    failure => Err(Halt::of(failure.into(), has_begun)),
                }
            }
        }
    }

    fn delete_approved_adapter(&self, approval: &ApprovalRow, id: AdapterId) -> Result<String, Halt> {
        const DONE: &str = "the adapter is deleted: nobody can connect as it, and its keys are being destroyed";
        let shown = impact_of(approval).map_err(Halt::Never)?.active_objects;
        let loss = Loss { in_state: Some(at_most_active(shown)), ..Loss::ANY };
        match self.store.adapter(id) {
            // By this very request, before a crash.
            Ok(None) => Ok(DONE.to_owned()),
            Ok(Some(row)) => match self.remove_adapter(id, row.revision, loss) {
                Ok(()) => Ok(DONE.to_owned()),
                // A key became Active since it was looked at the last time.
                Err(RemoveError::MoreToLose { active, .. }) => Err(Halt::Never(impact_grown(active, shown))),
                // It was changed a moment ago, which is no reason to keep it.
                Err(RemoveError::Other(problem)) if problem.code() == Code::Stale => Err(Halt::Later(problem)),
                Err(RemoveError::Other(problem)) => Err(Halt::of(problem, false)),
            },
            Err(error) => Err(Halt::of(error.into(), false)),
        }
    }

    fn force_object(&self, id: ObjectId) -> Result<String, Halt> {
        let later = |error: StoreError| Halt::of(error.into(), false);
        let gone = || Halt::Never(Problem::not_found("object"));
        let adapter = self.store.listed_object(id).map_err(later)?.ok_or_else(gone)?.adapter;
        let hold_seconds = self.store.adapter(adapter).map_err(later)?.ok_or_else(gone)?.hold_seconds;
        let removal = Removal { object: id, hold_seconds, force: true };
        match engine::remove(&self.store, removal, |_| true, now()) {
            Ok(summary) => Ok(match summary.held_until.map(super::model::shown_time) {
                Some(until) => format!("the object is destroyed; its material is held until {until} and then erased"),
                None => "the object is destroyed and its material erased".to_owned(),
            }),
            // By this very request, before a crash; or by its client, a moment ago.
            Err(RemovalError::Destroyed) => Ok("the object is destroyed".to_owned()),
            Err(RemovalError::Store(error)) => Err(later(error)),
            Err(error) => Err(Halt::Never(Problem::new(Code::State, error.to_string()))),
        }
    }
}

/// Why something is not done.
enum Halt {
    /// It is tried again.
    Later(Problem),
    /// It will not be.
    Never(Problem),
}

impl Halt {
    /// What is in the way for a while is waited for; everything is, where there is no way back (`goes_on`).
    fn of(problem: Problem, goes_on: bool) -> Self {
        let passes = matches!(problem.code(), Code::HsmUnavailable | Code::StoreUnavailable | Code::AuditUnavailable);
        if passes || goes_on { Self::Later(problem) } else { Self::Never(problem) }
    }
}

fn two_people(row: &ApprovalRow) -> Option<TwoPeople> {
    let decided = row.decided.as_ref()?;
    Some(TwoPeople {
        approval: row.id,
        requested_by: row.requested_by,
        requested_name: row.requested_name.clone(),
        requested_at: Timestamp::from_second(row.requested_at).ok()?,
        approved_by: decided.by,
        approved_name: decided.name.clone(),
        approved_at: Timestamp::from_second(decided.at).ok()?,
    })
}

fn now() -> i64 {
    Timestamp::now().as_second()
}
