//! Random operations on a few objects, compared after each with a model of the state table (KMIP 1.4 §3.22).

use std::{cell::Cell, collections::BTreeMap};

use kmip::{
    attributes::{Attribute, AttributeKind, AttributeName},
    client::Refusal,
    enums::{RevocationReasonCode, State},
    fields::DateTime,
    masks::StorageStatusMask,
    payloads::{LocateRequest, Response},
    tree::Value,
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use crate::harness::{
    ask::*,
    create_aes,
    engine::{TestServer, User},
};

const OBJECTS: usize = 5;

#[derive(Clone, Debug)]
enum Step {
    Create { activation: Option<i64>, deactivation: Option<i64> },
    RegisterSecret,
    RegisterOpaque { activation: Option<i64> },
    Activate(usize),
    Revoke(usize, RevocationReasonCode),
    Destroy(usize),
    AddDate(usize, AttributeKind, i64),
    ModifyDate(usize, AttributeKind, i64),
    AddNote(usize, i32),
    ModifyNote(usize, usize, i32),
    DeleteNote(usize, usize),
    Pass(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let object = || 0..OBJECTS;
    let offset = || -20_i64..60;
    let date = || prop_oneof![Just(AttributeKind::ActivationDate), Just(AttributeKind::DeactivationDate)];
    let code = proptest::sample::select(RevocationReasonCode::ALL);
    prop_oneof![
        2 => (proptest::option::of(offset()), proptest::option::of(offset()))
            .prop_map(|(activation, deactivation)| Step::Create { activation, deactivation }),
        1 => Just(Step::RegisterSecret),
        1 => proptest::option::of(offset()).prop_map(|activation| Step::RegisterOpaque { activation }),
        3 => object().prop_map(Step::Activate),
        3 => (object(), code).prop_map(|(object, code)| Step::Revoke(object, code)),
        2 => object().prop_map(Step::Destroy),
        2 => (object(), date(), offset()).prop_map(|(object, kind, at)| Step::AddDate(object, kind, at)),
        2 => (object(), date(), offset()).prop_map(|(object, kind, at)| Step::ModifyDate(object, kind, at)),
        1 => (object(), any::<i32>()).prop_map(|(object, value)| Step::AddNote(object, value)),
        1 => (object(), 0..3_usize, any::<i32>()).prop_map(|(object, at, value)| Step::ModifyNote(object, at, value)),
        1 => (object(), 0..3_usize).prop_map(|(object, at)| Step::DeleteNote(object, at)),
        3 => (0_i64..30).prop_map(Step::Pass),
    ]
}

/// What the specification says of one object.
#[derive(Clone, Debug)]
struct Model {
    id: String,
    opaque: bool,
    state: State,
    activation: Option<i64>,
    deactivation: Option<i64>,
    notes: BTreeMap<i32, i32>,
    material: Vec<u8>,
}

impl Model {
    /// Transitions 4 and 6: the dates move the state.
    fn settle(&mut self, now: i64) {
        if self.state == State::PreActive && self.activation.is_some_and(|at| at <= now) {
            self.state = State::Active;
        }
        if self.state == State::Active && self.deactivation.is_some_and(|at| at <= now) {
            self.state = State::Deactivated;
        }
    }

    fn destroyed(&self) -> bool {
        matches!(self.state, State::Destroyed | State::DestroyedCompromised)
    }

    fn activate(&mut self, now: i64) -> bool {
        let allowed = self.state == State::PreActive && !self.opaque;
        if allowed {
            self.state = State::Active;
            self.activation = Some(now);
        }
        allowed
    }

    fn revoke(&mut self, code: RevocationReasonCode, now: i64) -> bool {
        use RevocationReasonCode as R;
        let next = match (self.state, matches!(code, R::KeyCompromise | R::CaCompromise)) {
            (State::PreActive | State::Active | State::Deactivated, true) => State::Compromised,
            (State::Destroyed, true) => State::DestroyedCompromised,
            (State::Active, false) => State::Deactivated,
            _ => return false,
        };
        if next == State::Deactivated {
            self.deactivation = Some(now);
        }
        self.state = next;
        true
    }

    fn destroy(&mut self) -> bool {
        self.state = match self.state {
            State::PreActive | State::Deactivated => State::Destroyed,
            State::Compromised => State::DestroyedCompromised,
            _ => return false,
        };
        true
    }

    fn date(&mut self, kind: AttributeKind) -> &mut Option<i64> {
        if kind == AttributeKind::ActivationDate { &mut self.activation } else { &mut self.deactivation }
    }

    fn set_date(&mut self, kind: AttributeKind, at: i64, adding: bool) -> bool {
        let mut after = self.clone();
        let open = match kind {
            AttributeKind::ActivationDate => self.state == State::PreActive,
            _ => matches!(self.state, State::PreActive | State::Active),
        };
        let was_set = after.date(kind).replace(at).is_some();
        let ordered = match (after.activation, after.deactivation) {
            (Some(activation), Some(deactivation)) => activation <= deactivation,
            _ => true,
        };
        let allowed = open && ordered && was_set != adding;
        if allowed {
            *self = after;
        }
        allowed
    }
}

/// One run: the model beside the server, each object in a group of this run's own.
struct Run<'a> {
    server: &'a TestServer,
    alice: User,
    group: String,
    objects: Vec<Model>,
    steps: &'a Cell<u64>,
}

fn date(kind: AttributeKind, at: i64) -> Attribute {
    match kind {
        AttributeKind::ActivationDate => Attribute::ActivationDate(DateTime(at)),
        _ => Attribute::DeactivationDate(DateTime(at)),
    }
}

impl Run<'_> {
    fn make(&mut self, activation: Option<i64>, deactivation: Option<i64>, opaque: Option<bool>) {
        if self.objects.len() == OBJECTS {
            return;
        }
        let now = self.server.now();
        let (activation, deactivation) = (activation.map(|at| now + at), deactivation.map(|at| now + at));
        let dates = [
            activation.map(|at| date(AttributeKind::ActivationDate, at)),
            deactivation.map(|at| date(AttributeKind::DeactivationDate, at)),
        ];
        let given = dates.into_iter().flatten().chain([Attribute::ObjectGroup(self.group.clone())]);
        let outcome = match opaque {
            None => self.alice.ask(create_aes(128, given)),
            Some(false) => self.alice.ask(register_secret(b"secret", given)),
            Some(true) => self.alice.ask(register_opaque(b"opaque", given)),
        };
        let ordered = activation.zip(deactivation).is_none_or(|(activation, deactivation)| activation <= deactivation);
        assert_eq!(outcome.is_ok(), ordered, "{outcome:?}");
        let Ok(response) = outcome else { return };
        let id = made(response);
        let mut model = Model {
            opaque: opaque == Some(true),
            state: State::PreActive,
            activation,
            deactivation,
            notes: BTreeMap::new(),
            material: self.alice.material(&id),
            id,
        };
        model.settle(now);
        self.objects.push(model);
    }

    fn on(&mut self, object: usize, step: impl FnOnce(&User, &mut Model, i64) -> (Result<Response, Refusal>, bool)) {
        let now = self.server.now();
        let Some(model) = self.objects.get_mut(object) else { return };
        let before = model.state;
        let (outcome, allowed) = step(&self.alice, model, now);
        assert_eq!(outcome.is_ok(), allowed, "{before:?}: {outcome:?}");
        model.settle(now);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Create { activation, deactivation } => self.make(activation, deactivation, None),
            Step::RegisterSecret => self.make(None, None, Some(false)),
            Step::RegisterOpaque { activation } => self.make(activation, None, Some(true)),
            Step::Activate(n) => self.on(n, |user, model, now| (user.ask(activate(&model.id)), model.activate(now))),
            Step::Revoke(n, code) => {
                self.on(n, |user, model, now| (user.ask(revoke(&model.id, code)), model.revoke(code, now)));
            }
            Step::Destroy(n) => self.on(n, |user, model, _| (user.ask(destroy(&model.id)), model.destroy())),
            Step::AddDate(n, kind, at) => self.on(n, |user, model, now| {
                (user.ask(add(&model.id, date(kind, now + at))), model.set_date(kind, now + at, true))
            }),
            Step::ModifyDate(n, kind, at) => self.on(n, |user, model, now| {
                (user.ask(modify(&model.id, date(kind, now + at))), model.set_date(kind, now + at, false))
            }),
            Step::AddNote(n, value) => self.on(n, |user, model, _| {
                let outcome = user.ask(add(&model.id, custom("x-note", Value::Integer(value))));
                if let Ok(Response::AddAttribute(response)) = &outcome {
                    let index = response.attribute.index.unwrap_or(0);
                    assert_eq!(model.notes.insert(index, value), None, "the index is taken");
                }
                (outcome, !model.destroyed())
            }),
            Step::ModifyNote(n, at, value) => self.on(n, |user, model, _| {
                let index = model.notes.keys().nth(at).copied().unwrap_or(99);
                let outcome = user.ask(modify_at(&model.id, custom("x-note", Value::Integer(value)), index));
                let allowed = !model.destroyed() && model.notes.contains_key(&index);
                if allowed {
                    model.notes.insert(index, value);
                }
                (outcome, allowed)
            }),
            Step::DeleteNote(n, at) => self.on(n, |user, model, _| {
                let index = model.notes.keys().nth(at).copied().unwrap_or(99);
                let outcome = user.ask(delete(&model.id, AttributeName::Other("x-note".to_owned()), index));
                let allowed = !model.destroyed() && model.notes.remove(&index).is_some();
                (outcome, allowed)
            }),
            Step::Pass(seconds) => {
                self.server.pass(seconds);
                let now = self.server.now();
                self.objects.iter_mut().for_each(|model| model.settle(now));
            }
        }
    }

    /// Everything that clients can see of the objects agrees with the model.
    fn compare(&self) {
        self.steps.set(self.steps.get() + 1);
        // The searches first: they must not depend on somebody having looked at the objects.
        for state in State::ALL {
            let mut found = self.by_state(*state);
            let mut expected: Vec<String> =
                self.objects.iter().filter(|model| model.state == *state).map(|model| model.id.clone()).collect();
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "Locate by {state:?}");
        }
        for model in &self.objects {
            assert_eq!(self.alice.state(&model.id), model.state, "{model:?}");
            let got = self.alice.ask(get(&model.id));
            assert_eq!(got.is_err(), model.destroyed(), "{got:?} of {model:?}");
            if let Ok(response) = got {
                assert_eq!(material(response), model.material);
            }
            let notes: BTreeMap<i32, i32> = self
                .alice
                .custom(&model.id, "x-note")
                .into_iter()
                .map(|(index, value)| match value {
                    Value::Integer(value) => (index, value),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(notes, model.notes);
        }
        let on_line: Vec<String> =
            self.objects.iter().rev().filter(|model| !model.destroyed()).map(|model| model.id.clone()).collect();
        assert_eq!(self.alice.find(locate([Attribute::ObjectGroup(self.group.clone())])), on_line, "newest first");
    }

    fn by_state(&self, state: State) -> Vec<String> {
        let criteria = [Attribute::State(state), Attribute::ObjectGroup(self.group.clone())];
        let on_line = self.alice.find(locate(criteria.clone()));
        let destroyed = Some(StorageStatusMask::from_bits(4));
        let destroyed = self.alice.find(LocateRequest { storage_status_mask: destroyed, ..locate(criteria) });
        let gone = matches!(state, State::Destroyed | State::DestroyedCompromised);
        assert!(if gone { on_line.is_empty() } else { destroyed.is_empty() }, "{state:?}");
        on_line.into_iter().chain(destroyed).collect()
    }
}

#[test]
fn random_lives_follow_the_state_table() {
    let server = TestServer::new();
    let runs = Cell::new(0_u64);
    let steps = Cell::new(0_u64);
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&proptest::collection::vec(step(), 1..48), |story| {
        runs.set(runs.get() + 1);
        let group = format!("run {}", runs.get());
        let mut run = Run { server: &server, alice: server.alice(), group, objects: Vec::new(), steps: &steps };
        for step in story {
            run.take(step);
            run.compare();
        }
        Ok(())
    });
    outcome.unwrap();
    println!("{} lives, {} steps compared", runs.get(), steps.get());
}
