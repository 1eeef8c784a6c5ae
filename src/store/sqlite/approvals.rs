//! What one person asks for and another decides: the steps that there are, and nothing but those.

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{
    Sqlite, hands, root_keys,
    trust::{limit_of, must_be_new, rows_of, within},
    writer::{Limits, Mutation},
};
use crate::store::{ApprovalFilter, ApprovalRow, ApprovalState, ApprovalStep, Decided, StoreError, Verdict};

/// Everything of a request.
const SELECT: &str = "
    SELECT id, action, subject, parameters, impact, reason, requested_by, requested_name, requested_at, expires_at,
           decided_by, decided_name, decided_at, hold_until, state, outcome, finished_at, revision, hands
    FROM approval";

/// `?1` has a bit set for each state that is wanted, by its number.
const WHERE_PAGE: &str = " WHERE (?1 >> state) & 1 AND (?2 IS NULL OR seq < (SELECT seq FROM approval WHERE id = ?2))
    ORDER BY seq DESC LIMIT ?3";

const WHERE_DUE: &str = " WHERE state = 3 OR (state = 2 AND hold_until <= ?1) ORDER BY seq LIMIT ?2";

const IS_EXPIRED: &str = "SELECT 1 FROM approval WHERE state = 1 AND expires_at <= ?1 LIMIT 1";

/// One change of requests.
pub(super) enum ApprovalChange {
    Insert(Box<ApprovalRow>),
    Decide { id: Uuid, revision: u64, decided: Decided, verdict: Verdict },
    Advance { id: Uuid, revision: u64, step: ApprovalStep, at: i64 },
    Expire(i64),
}

impl Sqlite {
    pub(in crate::store) fn insert_approval(&self, row: ApprovalRow) -> Result<(), StoreError> {
        self.change_approval(ApprovalChange::Insert(Box::new(row)))
    }

    pub(in crate::store) fn approval(&self, id: Uuid) -> Result<Option<ApprovalRow>, StoreError> {
        self.readers.read(|connection| {
            let mut select = connection.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
            Ok(select.query_row([id.as_bytes()], approval).optional()?)
        })
    }

    pub(in crate::store) fn approvals(&self, filter: &ApprovalFilter) -> Result<Vec<ApprovalRow>, StoreError> {
        let wanted = filter.states.iter().fold(0, |wanted, state| wanted | (1 << code(*state)));
        let wanted: i64 = if filter.states.is_empty() { -1 } else { wanted };
        let after = filter.after.map(Uuid::into_bytes);
        let sql = format!("{SELECT}{WHERE_PAGE}");
        self.readers
            .read(|connection| rows_of(connection, &sql, params![wanted, after, limit_of(filter.limit)], approval))
    }

    pub(in crate::store) fn decide_approval(
        &self,
        id: Uuid,
        revision: u64,
        decided: Decided,
        verdict: Verdict,
    ) -> Result<(), StoreError> {
        self.change_approval(ApprovalChange::Decide { id, revision, decided, verdict })
    }

    pub(in crate::store) fn advance_approval(
        &self,
        id: Uuid,
        revision: u64,
        step: ApprovalStep,
        at: i64,
    ) -> Result<(), StoreError> {
        self.change_approval(ApprovalChange::Advance { id, revision, step, at })
    }

    pub(in crate::store) fn expire_approvals(&self, now: i64) -> Result<(), StoreError> {
        let any = self
            .readers
            .read(|connection| Ok(connection.prepare_cached(IS_EXPIRED)?.query_row([now], |_| Ok(())).optional()?))?;
        any.map_or(Ok(()), |()| self.change_approval(ApprovalChange::Expire(now)))
    }

    pub(in crate::store) fn due_approvals(&self, now: i64, limit: u64) -> Result<Vec<ApprovalRow>, StoreError> {
        let sql = format!("{SELECT}{WHERE_DUE}");
        self.readers.read(|connection| rows_of(connection, &sql, [now, limit_of(limit)], approval))
    }

    fn change_approval(&self, change: ApprovalChange) -> Result<(), StoreError> {
        self.writer.run(Mutation::Approval(change))
    }
}

/// What decides over a step.
struct Found {
    seq: i64,
    state: ApprovalState,
    requested_by: Uuid,
    expires_at: i64,
    hold_until: Option<i64>,
}

/// Makes one change inside the writer's transaction.
pub(super) fn apply(connection: &Connection, limits: &Limits, change: &ApprovalChange) -> Result<(), StoreError> {
    match change {
        ApprovalChange::Insert(row) => insert(connection, limits, row),
        ApprovalChange::Decide { id, revision, decided, verdict } => {
            let found = find(connection, *id, *revision)?;
            decide(connection, &found, decided, *verdict)
        }
        ApprovalChange::Advance { id, revision, step, at } => {
            let found = find(connection, *id, *revision)?;
            advance(connection, &found, step, *at)
        }
        ApprovalChange::Expire(now) => expire(connection, *now),
    }
}

fn expire(connection: &Connection, now: i64) -> Result<(), StoreError> {
    let mut update = connection.prepare_cached(
        "UPDATE approval SET state = ?2, finished_at = expires_at, revision = revision + 1
         WHERE state = 1 AND expires_at <= ?1",
    )?;
    update.execute([now, code(ApprovalState::Expired)])?;
    Ok(())
}

fn insert(connection: &Connection, limits: &Limits, row: &ApprovalRow) -> Result<(), StoreError> {
    let is_new = row.revision == 1
        && row.state == ApprovalState::Pending
        && row.decided.is_none()
        && row.hold_until.is_none()
        && row.finished_at.is_none();
    if !is_new {
        return Err(StoreError::Conflict);
    }
    // What nobody decided in time is no obstacle, even where nobody has marked it so yet.
    expire(connection, row.requested_at)?;
    must_be_new(connection.execute(
        "INSERT INTO approval (id, action, subject, parameters, impact, reason, requested_by, requested_name,
                               requested_at, expires_at, state, outcome, revision, hands)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 1, ?11, 1, ?12) ON CONFLICT DO NOTHING",
        params![
            row.id.as_bytes(),
            row.action,
            row.subject,
            row.parameters,
            row.impact,
            row.reason,
            row.requested_by.as_bytes(),
            row.requested_name,
            row.requested_at,
            row.expires_at,
            row.outcome,
            hands::text(&row.hands),
        ],
    )?)?;
    within(limits.open_approvals, connection, "SELECT count(*) FROM approval WHERE state <= 3", [])
}

fn find(connection: &Connection, id: Uuid, revision: u64) -> Result<Found, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT seq, state, requested_by, expires_at, hold_until, revision FROM approval WHERE id = ?1",
    )?;
    let found = select.query_row([id.as_bytes()], |row| {
        let found = Found {
            seq: row.get(0)?,
            state: state_of(row.get(1)?)?,
            requested_by: Uuid::from_bytes(row.get(2)?),
            expires_at: row.get(3)?,
            hold_until: row.get(4)?,
        };
        Ok((found, row.get::<_, u64>(5)?))
    });
    let (found, stored) = found.optional()?.ok_or(StoreError::NotFound)?;
    if stored == revision { Ok(found) } else { Err(StoreError::Conflict) }
}

fn decide(connection: &Connection, found: &Found, decided: &Decided, verdict: Verdict) -> Result<(), StoreError> {
    if decided.by == found.requested_by {
        return Err(StoreError::OwnRequest);
    }
    if found.state != ApprovalState::Pending || found.expires_at <= decided.at {
        return Err(StoreError::Conflict);
    }
    let (state, hold_until, finished_at) = match verdict {
        Verdict::Approve { hold_until } => (ApprovalState::Approved, Some(hold_until), None),
        Verdict::Reject => (ApprovalState::Rejected, None, Some(decided.at)),
    };
    connection.execute(
        "UPDATE approval SET decided_by = ?2, decided_name = ?3, decided_at = ?4, state = ?5, hold_until = ?6,
                             finished_at = ?7, revision = revision + 1
         WHERE seq = ?1",
        params![found.seq, decided.by.as_bytes(), decided.name, decided.at, code(state), hold_until, finished_at],
    )?;
    Ok(())
}

fn advance(connection: &Connection, found: &Found, step: &ApprovalStep, at: i64) -> Result<(), StoreError> {
    use ApprovalState as State;
    let (state, outcome) = match (found.state, step) {
        (State::Pending | State::Approved, ApprovalStep::Cancel { outcome }) => (State::Cancelled, Some(outcome)),
        (State::Approved, ApprovalStep::Execute) if found.hold_until.is_some_and(|end| end <= at) => {
            (State::Executing, None)
        }
        (State::Executing, ApprovalStep::Finish { outcome }) => (State::Done, Some(outcome)),
        (State::Executing, ApprovalStep::Fail { outcome }) => (State::Failed, Some(outcome)),
        _ => return Err(StoreError::Conflict),
    };
    let finished_at = state.is_final().then_some(at);
    connection.execute(
        "UPDATE approval SET state = ?2, outcome = ?3, finished_at = ?4, revision = revision + 1 WHERE seq = ?1",
        params![found.seq, code(state), outcome, finished_at],
    )?;
    Ok(())
}

fn approval(row: &Row<'_>) -> rusqlite::Result<ApprovalRow> {
    let decided_by = row.get::<_, Option<[u8; 16]>>(10)?.map(Uuid::from_bytes);
    let decided_name: Option<String> = row.get(11)?;
    let decided_at: Option<i64> = row.get(12)?;
    let decided = decided_by.zip(decided_name).zip(decided_at);
    Ok(ApprovalRow {
        id: Uuid::from_bytes(row.get(0)?),
        action: row.get(1)?,
        subject: row.get(2)?,
        parameters: row.get(3)?,
        impact: row.get(4)?,
        reason: row.get(5)?,
        requested_by: Uuid::from_bytes(row.get(6)?),
        requested_name: row.get(7)?,
        requested_at: row.get(8)?,
        expires_at: row.get(9)?,
        decided: decided.map(|((by, name), at)| Decided { by, name, at }),
        hold_until: row.get(13)?,
        state: state_of(row.get(14)?)?,
        outcome: row.get(15)?,
        finished_at: row.get(16)?,
        revision: row.get(17)?,
        hands: hands::read(row, 18)?,
    })
}

fn code(state: ApprovalState) -> i64 {
    match state {
        ApprovalState::Pending => 1,
        ApprovalState::Approved => 2,
        ApprovalState::Executing => 3,
        ApprovalState::Done => 4,
        ApprovalState::Failed => 5,
        ApprovalState::Rejected => 6,
        ApprovalState::Cancelled => 7,
        ApprovalState::Expired => 8,
    }
}

fn state_of(number: i64) -> rusqlite::Result<ApprovalState> {
    use ApprovalState as State;
    let states = [
        State::Pending,
        State::Approved,
        State::Executing,
        State::Done,
        State::Failed,
        State::Rejected,
        State::Cancelled,
        State::Expired,
    ];
    states.into_iter().find(|state| code(*state) == number).ok_or_else(|| root_keys::unknown(14, number))
}
