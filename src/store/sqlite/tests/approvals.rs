//! Requests that need two people: every step that there is, and that there are no others.

use std::thread;

use super::*;
use crate::store::{ApprovalFilter, ApprovalRow, ApprovalState as State, ApprovalStep as Step, Decided, Verdict};

const ANN: Uuid = Uuid::from_u128(0xa1);
const BEN: Uuid = Uuid::from_u128(0xb2);

/// What Ann asks for at 100, to be decided before 200.
pub(super) fn request(subject: &str) -> ApprovalRow {
    ApprovalRow {
        id: Uuid::now_v7(),
        action: "adapter.delete".into(),
        subject: subject.into(),
        parameters: "{}".into(),
        impact: r#"{"keys":3}"#.into(),
        reason: "no longer used".into(),
        requested_by: ANN,
        requested_name: "ann".into(),
        hands: [Uuid::from_u128(0xc3), Uuid::from_u128(0xd4)].into(),
        requested_at: 100,
        expires_at: 200,
        decided: None,
        hold_until: None,
        state: State::Pending,
        outcome: None,
        finished_at: None,
        revision: 1,
    }
}

fn asked(store: &Store, subject: &str) -> Uuid {
    let row = request(subject);
    store.insert_approval(row.clone()).unwrap();
    row.id
}

fn by_ben(at: i64) -> Decided {
    Decided { by: BEN, name: "ben".into(), at }
}

const APPROVE: Verdict = Verdict::Approve { hold_until: 160 };

fn stored(store: &Store, id: Uuid) -> ApprovalRow {
    store.approval(id).unwrap().unwrap()
}

fn outcome() -> String {
    "said so".into()
}

fn steps() -> [Step; 4] {
    [
        Step::Cancel { outcome: outcome() },
        Step::Execute,
        Step::Finish { outcome: outcome() },
        Step::Fail { outcome: outcome() },
    ]
}

/// A request in the given state.
pub(super) fn in_state(store: &Store, subject: &str, state: State) -> Uuid {
    let id = asked(store, subject);
    let decide = |verdict| store.decide_approval(id, 1, by_ben(150), verdict).unwrap();
    let step = |revision, step| store.advance_approval(id, revision, step, 170).unwrap();
    match state {
        State::Pending => {}
        State::Approved => decide(APPROVE),
        State::Rejected => decide(Verdict::Reject),
        State::Cancelled => step(1, Step::Cancel { outcome: outcome() }),
        State::Expired => store.expire_approvals(200).unwrap(),
        State::Executing | State::Done | State::Failed => {
            decide(APPROVE);
            step(2, Step::Execute);
            match state {
                State::Done => step(3, Step::Finish { outcome: outcome() }),
                State::Failed => step(3, Step::Fail { outcome: outcome() }),
                _ => {}
            }
        }
    }
    assert_eq!(stored(store, id).state, state);
    id
}

const STATES: [State; 8] = [
    State::Pending,
    State::Approved,
    State::Executing,
    State::Done,
    State::Failed,
    State::Rejected,
    State::Cancelled,
    State::Expired,
];

/// The error of a change that must leave the request as it was.
fn refused(store: &Store, id: Uuid, change: impl FnOnce() -> Result<(), StoreError>) -> StoreError {
    let before = store.approval(id).unwrap();
    let error = change().unwrap_err();
    assert_eq!(store.approval(id).unwrap(), before);
    error
}

#[test]
fn a_request_is_read_back_as_it_was_given() {
    let fixture = Fixture::new();
    let row = request("one");
    fixture.store.insert_approval(row.clone()).unwrap();
    let fixture = fixture.reopened();
    assert_eq!(fixture.store.approval(row.id).unwrap(), Some(row));
    assert_eq!(fixture.store.approval(Uuid::new_v4()).unwrap(), None);
}

#[test]
fn a_request_begins_pending_and_undecided() {
    let fixture = Fixture::new();
    for ahead in [
        ApprovalRow { state: State::Approved, ..request("one") },
        ApprovalRow { decided: Some(by_ben(150)), ..request("one") },
        ApprovalRow { hold_until: Some(160), ..request("one") },
        ApprovalRow { finished_at: Some(160), ..request("one") },
        ApprovalRow { revision: 2, ..request("one") },
    ] {
        let id = ahead.id;
        let error = refused(&fixture.store, id, || fixture.store.insert_approval(ahead));
        assert!(matches!(error, StoreError::Conflict));
    }
}

#[test]
fn of_one_thing_there_is_one_open_request() {
    let fixture = Fixture::new();
    for state in STATES {
        let subject = format!("{state:?}");
        let id = in_state(&fixture.store, &subject, state);
        let again = fixture.store.insert_approval(request(&subject));
        assert_eq!(again.is_ok(), state.is_final(), "{state:?}");
        assert!(state.is_final() || matches!(again, Err(StoreError::Duplicate)));
        let same_id = ApprovalRow { id, ..request("something else") };
        assert!(matches!(fixture.store.insert_approval(same_id), Err(StoreError::Duplicate)));
        let other_action = ApprovalRow { action: "object.destroy".into(), ..request(&subject) };
        fixture.store.insert_approval(other_action).unwrap();
    }
}

#[test]
fn a_request_that_nobody_decided_in_time_is_no_obstacle_to_the_next() {
    let fixture = Fixture::new();
    let first = asked(&fixture.store, "one");
    let at = |requested_at| ApprovalRow { requested_at, expires_at: 300, ..request("one") };
    assert!(matches!(fixture.store.insert_approval(at(199)), Err(StoreError::Duplicate)));
    assert_eq!(stored(&fixture.store, first).state, State::Pending);
    fixture.store.insert_approval(at(200)).unwrap();
    assert_eq!(stored(&fixture.store, first).state, State::Expired);
}

#[test]
fn open_requests_are_limited() {
    let fixture = Fixture::with(StoreOptions { max_open_approvals: 2, ..StoreOptions::default() });
    let first = asked(&fixture.store, "one");
    asked(&fixture.store, "two");
    let third = fixture.store.insert_approval(request("three"));
    assert!(matches!(third, Err(StoreError::LimitReached { limit: 2 })));
    fixture.store.advance_approval(first, 1, Step::Cancel { outcome: outcome() }, 110).unwrap();
    asked(&fixture.store, "three");
}

#[test]
fn a_request_is_approved_held_executed_and_done() {
    let fixture = Fixture::new();
    let row = request("one");
    fixture.store.insert_approval(row.clone()).unwrap();
    fixture.store.decide_approval(row.id, 1, by_ben(150), APPROVE).unwrap();
    let approved = ApprovalRow {
        decided: Some(by_ben(150)),
        hold_until: Some(160),
        state: State::Approved,
        revision: 2,
        ..row.clone()
    };
    assert_eq!(stored(&fixture.store, row.id), approved);
    let early = refused(&fixture.store, row.id, || fixture.store.advance_approval(row.id, 2, Step::Execute, 159));
    assert!(matches!(early, StoreError::Conflict));
    fixture.store.advance_approval(row.id, 2, Step::Execute, 160).unwrap();
    let executing = ApprovalRow { state: State::Executing, revision: 3, ..approved };
    assert_eq!(stored(&fixture.store, row.id), executing);
    fixture.store.advance_approval(row.id, 3, Step::Finish { outcome: outcome() }, 165).unwrap();
    let done =
        ApprovalRow { state: State::Done, outcome: Some(outcome()), finished_at: Some(165), revision: 4, ..executing };
    assert_eq!(stored(&fixture.store, row.id), done);
}

#[test]
fn nobody_decides_his_own_request() {
    let fixture = Fixture::new();
    let id = asked(&fixture.store, "one");
    for verdict in [APPROVE, Verdict::Reject] {
        let ann = Decided { by: ANN, name: "somebody else".into(), at: 150 };
        let error = refused(&fixture.store, id, || fixture.store.decide_approval(id, 1, ann, verdict));
        assert!(matches!(error, StoreError::OwnRequest));
    }
    // The database itself would not take it either.
    let connection = rusqlite::Connection::open(fixture.path()).unwrap();
    let sql = "UPDATE approval SET decided_by = requested_by, decided_name = 'x', decided_at = 1";
    assert!(connection.execute(sql, []).unwrap_err().to_string().contains("CHECK"));
    fixture.store.decide_approval(id, 1, by_ben(150), Verdict::Reject).unwrap();
    assert_eq!(stored(&fixture.store, id).finished_at, Some(150));
}

#[test]
fn only_a_pending_request_at_the_named_revision_is_decided_and_only_in_time() {
    let fixture = Fixture::new();
    for state in STATES.into_iter().filter(|state| *state != State::Pending) {
        let id = in_state(&fixture.store, &format!("{state:?}"), state);
        let revision = stored(&fixture.store, id).revision;
        let error = refused(&fixture.store, id, || fixture.store.decide_approval(id, revision, by_ben(150), APPROVE));
        assert!(matches!(error, StoreError::Conflict), "{state:?}");
    }
    let id = asked(&fixture.store, "one");
    for (revision, at) in [(0, 150), (2, 150), (1, 200)] {
        let error =
            refused(&fixture.store, id, || fixture.store.decide_approval(id, revision, by_ben(at), Verdict::Reject));
        assert!(matches!(error, StoreError::Conflict), "{revision} {at}");
    }
    let unknown = fixture.store.decide_approval(Uuid::new_v4(), 1, by_ben(150), APPROVE);
    assert!(matches!(unknown, Err(StoreError::NotFound)));
    fixture.store.decide_approval(id, 1, by_ben(199), APPROVE).unwrap();
}

#[test]
fn of_all_who_decide_at_once_one_wins() {
    let fixture = Fixture::new();
    for round in 0..10 {
        let id = asked(&fixture.store, &format!("{round}"));
        let won: Vec<Uuid> = thread::scope(|scope| {
            let racers: Vec<_> = (0..8_u128)
                .map(|number| {
                    let (store, by) = (&fixture.store, Uuid::from_u128(number));
                    scope.spawn(move || {
                        let decided = Decided { by, name: "racer".into(), at: 150 };
                        let verdict = if number % 2 == 0 { APPROVE } else { Verdict::Reject };
                        match store.decide_approval(id, 1, decided, verdict) {
                            Ok(()) => Some(by),
                            Err(StoreError::Conflict) => None,
                            Err(error) => panic!("{error}"),
                        }
                    })
                })
                .collect();
            racers.into_iter().filter_map(|racer| racer.join().unwrap()).collect()
        });
        assert_eq!(won.len(), 1);
        assert_eq!(stored(&fixture.store, id).decided.map(|decided| decided.by), won.first().copied());
    }
}

#[test]
fn a_cancellation_and_an_execution_at_once_are_not_both_done() {
    let fixture = Fixture::new();
    for round in 0..10 {
        let id = in_state(&fixture.store, &format!("{round}"), State::Approved);
        let done = thread::scope(|scope| {
            let cancel =
                scope.spawn(|| fixture.store.advance_approval(id, 2, Step::Cancel { outcome: outcome() }, 170));
            let execute = scope.spawn(|| fixture.store.advance_approval(id, 2, Step::Execute, 170));
            [cancel.join().unwrap().is_ok(), execute.join().unwrap().is_ok()]
        });
        let state = stored(&fixture.store, id).state;
        assert_eq!(done, [state == State::Cancelled, state == State::Executing]);
    }
}

#[test]
fn there_are_no_other_steps() {
    let fixture = Fixture::new();
    for (from, state) in STATES.into_iter().enumerate() {
        for (number, step) in steps().into_iter().enumerate() {
            let to = match (state, &step) {
                (State::Pending | State::Approved, Step::Cancel { .. }) => Some(State::Cancelled),
                (State::Approved, Step::Execute) => Some(State::Executing),
                (State::Executing, Step::Finish { .. }) => Some(State::Done),
                (State::Executing, Step::Fail { .. }) => Some(State::Failed),
                _ => None,
            };
            let id = in_state(&fixture.store, &format!("{from} {number}"), state);
            let revision = stored(&fixture.store, id).revision;
            for wrong in [revision - 1, revision + 1] {
                let error =
                    refused(&fixture.store, id, || fixture.store.advance_approval(id, wrong, step.clone(), 300));
                assert!(matches!(error, StoreError::Conflict));
            }
            if let Some(to) = to {
                fixture.store.advance_approval(id, revision, step, 300).unwrap();
                let row = stored(&fixture.store, id);
                assert_eq!((row.state, row.revision), (to, revision + 1));
                assert_eq!(row.finished_at, to.is_final().then_some(300));
            } else {
                let error =
                    refused(&fixture.store, id, || fixture.store.advance_approval(id, revision, step.clone(), 300));
                assert!(matches!(error, StoreError::Conflict), "{state:?} {step:?}");
            }
        }
    }
    let unknown = fixture.store.advance_approval(Uuid::new_v4(), 1, Step::Execute, 300);
    assert!(matches!(unknown, Err(StoreError::NotFound)));
}

#[test]
fn what_nobody_decided_in_time_expires_and_nothing_else_does() {
    let fixture = Fixture::new();
    let ids = STATES.map(|state| {
        let id = in_state(&fixture.store, &format!("{state:?}"), State::Pending);
        (id, state)
    });
    for (id, state) in ids {
        if state == State::Approved {
            fixture.store.decide_approval(id, 1, by_ben(150), APPROVE).unwrap();
        }
    }
    fixture.store.expire_approvals(199).unwrap();
    assert!(ids.iter().all(|(id, _)| stored(&fixture.store, *id).state != State::Expired));
    fixture.store.expire_approvals(201).unwrap();
    for (id, state) in ids {
        let row = stored(&fixture.store, id);
        let expected = if state == State::Approved { State::Approved } else { State::Expired };
        assert_eq!(row.state, expected);
        assert_eq!(row.finished_at, (expected == State::Expired).then_some(200));
    }
}

#[test]
fn requests_are_listed_newest_first_by_state_and_page() {
    let fixture = Fixture::new();
    let ids: Vec<(Uuid, State)> = STATES
        .iter()
        .cycle()
        .take(16)
        .enumerate()
        .map(|(number, state)| (in_state(&fixture.store, &format!("{number}"), *state), *state))
        .collect();
    // What expired took what was pending with it.
    let state_now = |id| stored(&fixture.store, id).state;
    let listed = |states: &[State], after, limit| -> Vec<Uuid> {
        let filter = ApprovalFilter { states: states.to_vec(), after, limit };
        fixture.store.approvals(&filter).unwrap().into_iter().map(|row| row.id).collect()
    };
    let newest_first: Vec<Uuid> = ids.iter().rev().map(|(id, _)| *id).collect();
    assert_eq!(listed(&[], None, 100), newest_first);
    assert_eq!(listed(&STATES, None, 100), newest_first);
    for state in STATES {
        let expected: Vec<Uuid> = newest_first.iter().copied().filter(|id| state_now(*id) == state).collect();
        assert_eq!(listed(&[state], None, 100), expected, "{state:?}");
    }
    let mut pages = Vec::new();
    while let page @ [_, ..] = listed(&[], pages.last().copied(), 5).as_slice() {
        pages.extend_from_slice(page);
    }
    assert_eq!(pages, newest_first);
    assert_eq!(listed(&[], Some(Uuid::new_v4()), 5), Vec::<Uuid>::new());
    assert_eq!(listed(&[], None, 0), Vec::<Uuid>::new());
}

#[test]
fn what_is_to_be_executed_is_found_when_its_hold_ends_and_after_a_crash() {
    let fixture = Fixture::new();
    let ids = STATES.map(|state| in_state(&fixture.store, &format!("{state:?}"), state));
    let due = |store: &Store, now, limit| -> Vec<Uuid> {
        store.due_approvals(now, limit).unwrap().into_iter().map(|row| row.id).collect()
    };
    assert_eq!(due(&fixture.store, 159, 10), [ids[2]]);
    let fixture = fixture.reopened();
    assert_eq!(due(&fixture.store, 160, 10), [ids[1], ids[2]]);
    assert_eq!(due(&fixture.store, 160, 1), [ids[1]]);
}
