//! Several tokens as one backend: each call goes to a token that serves and holds the root key, and to the next where it fails.
//!
//! All tokens hold the same root keys, put there by import; a key that one of them made inside itself would be on no other, so
//! it is refused. A token that holds another key under a root key's id never serves that key: every token is told which check
//! value to expect, the one on record or, where none is, the one that the tokens agreed on when the key was first used. What a
//! set knows of its tokens only decides in which order they are tried. Whatever it believes, a call fails only after every
//! token was asked or the deadline has passed.

mod admin;
mod member;
mod verdict;

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::bounded;
use parking_lot::RwLock;

use self::{
    member::{Member, Standing},
    verdict::Verdict,
};
use crate::{
    Capabilities, Degradation, HalError, Health, Kcv, Kek, KeyWrapper, Outage, Refusal, RootKeyVersion, RootKeys,
    SignScheme, SignerId, TokenState, WrappedKek,
};

/// Administration may take real tokens many seconds; it is waited for this long.
const ADMIN_PATIENCE: Duration = Duration::from_secs(90);

/// Several tokens that hold the same root keys.
pub struct TokenSet {
    members: Vec<Member>,
    /// Whose turn it is to be asked first.
    turn: AtomicUsize,
    deadline: Duration,
    /// The check values that every token was told to expect.
    recorded: RwLock<HashMap<RootKeyVersion, Kcv>>,
    /// Which token holds which signing key.
    homes: RwLock<HashMap<SignerId, usize>>,
    merged: OnceLock<Capabilities>,
    unconnected: Capabilities,
}

impl fmt::Debug for TokenSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSet").field("tokens", &self.members.len()).finish_non_exhaustive()
    }
}

impl TokenSet {
    /// A set of `tokens`, asked in turn. No call of request handling takes longer than `deadline` and the deadline of one
    /// token together; give each token the deadline divided by their number, so that all can be tried within it.
    ///
    /// # Errors
    /// [`Refusal::Configuration`] where there is no token.
    pub fn new(tokens: Vec<Arc<dyn RootKeys>>, deadline: Duration) -> Result<Self, HalError> {
        let first = tokens.first().ok_or(HalError::Refused(Refusal::Configuration))?;
        let unconnected = Capabilities {
            token: None,
            schemes: Vec::new(),
            scheme: None,
            sessions: 0,
            ..first.capabilities().clone()
        };
        Ok(Self {
            members: tokens.into_iter().enumerate().map(|(index, hal)| Member::new(index, hal)).collect(),
            turn: AtomicUsize::new(0),
            deadline,
            recorded: RwLock::default(),
            homes: RwLock::default(),
            merged: OnceLock::new(),
            unconnected,
        })
    }

    /// Asks one token after the other until one answers; says which.
    fn attempt<T>(
        &self,
        key: Option<RootKeyVersion>,
        first: Option<usize>,
        op: impl Fn(&dyn RootKeys) -> Result<T, HalError>,
    ) -> Result<(usize, T), HalError> {
        let deadline = Instant::now() + self.deadline;
        if let Some(key) = key {
            self.agree(key, deadline)?;
        }
        let mut verdict = Verdict::default();
        let mut useless = Vec::new();
        for member in self.in_order(key, first) {
            if verdict.has_any() && Instant::now() >= deadline {
                verdict.add(HalError::Unavailable(Outage::DeadlinePassed));
                break;
            }
            match op(member.hal()) {
                Ok(answer) => {
                    member.served();
                    verdict.warn_if_tampered(member);
                    if let Some(key) = key {
                        useless.into_iter().for_each(|(other, error): (&Member, _)| other.pass_over(key, &error));
                    }
                    return Ok((member.index(), answer));
                }
                Err(error) => {
                    if member::is_about_the_key(&error) {
                        useless.push((member, error.clone()));
                    }
                    member.failed(&error);
                    verdict.add(error);
                }
            }
        }
        Err(verdict.sum_up())
    }

    /// The tokens in the order in which to try them: one that is due for another trial, those that serve the key in turn, those
    /// that failed just now, those that lately were of no use for the key.
    fn in_order(&self, key: Option<RootKeyVersion>, first: Option<usize>) -> Vec<&Member> {
        let turn = first.unwrap_or_else(|| self.turn.fetch_add(1, Ordering::Relaxed)) % self.members.len().max(1);
        let (before, from) = self.members.split_at_checked(turn).unwrap_or((&[], &self.members));
        let mut order: Vec<(Standing, &Member)> =
            from.iter().chain(before).map(|member| (member.standing(key), member)).collect();
        order.sort_by_key(|(standing, _)| *standing);
        order.into_iter().map(|(_, member)| member).collect()
    }

    /// Sees to it that the tokens have a check value to hold the key to. Where none is on record the tokens within reach must
    /// have the same one: a blob wrapped by one key would not open by another.
    fn agree(&self, key: RootKeyVersion, deadline: Instant) -> Result<(), HalError> {
        if self.recorded.read().contains_key(&key) {
            return Ok(());
        }
        let patience = deadline.saturating_duration_since(Instant::now());
        let described = self.ask_all(patience, move |hal| hal.describe_root(key));
        let mut found = described.iter().filter_map(|answer| answer.as_ref().ok()).map(|info| info.kcv);
        // No token shows the key: the call itself will say why.
        let Some(kcv) = found.next() else { return Ok(()) };
        if !found.all(|other| kcv.admits(other)) {
            tracing::error!(root = %key, "the tokens hold different keys under this root key's id; none of them is used");
            return Err(HalError::Refused(Refusal::TokensDisagree));
        }
        let mut recorded = self.recorded.write();
        // A value that was put on record meanwhile is the one that holds.
        if let Entry::Vacant(vacant) = recorded.entry(key) {
            vacant.insert(kcv);
            self.tell(key, kcv);
        }
        Ok(())
    }

    /// Tells every token which check value the key must have.
    fn record(&self, key: RootKeyVersion, kcv: Kcv) {
        // Repeated often, with what is known already; tokens test a key anew when they are told.
        let mut recorded = self.recorded.write();
        if recorded.insert(key, kcv) != Some(kcv) {
            self.tell(key, kcv);
        }
    }

    /// Called with `recorded` locked, so that every token hears the values in the order in which they were recorded.
    fn tell(&self, key: RootKeyVersion, kcv: Kcv) {
        for member in &self.members {
            member.hal().expect_root(key, kcv);
            member.forgive(key);
        }
    }

    /// Asks all tokens at the same time; the answers are in their order. One that does not answer in time is unavailable.
    fn ask_all<T, F>(&self, patience: Duration, ask: F) -> Vec<Result<T, HalError>>
    where
        T: Send + 'static,
        F: Fn(&dyn RootKeys) -> Result<T, HalError> + Send + Sync + 'static,
    {
        let deadline = Instant::now() + patience;
        let ask = Arc::new(ask);
        let (answer, answers) = bounded(self.members.len());
        for member in &self.members {
            let (index, hal) = (member.index(), member.share());
            let (ask, answer) = (Arc::clone(&ask), answer.clone());
            let spawned = thread::Builder::new().name(format!("hsm-ask-{index}")).spawn(move || {
                // Nobody listens any more where the asker gave up.
                let _ = answer.send((index, ask(hal.as_ref())));
            });
            if let Err(error) = spawned {
                tracing::error!(%error, "cannot start a thread to ask a token");
            }
        }
        drop(answer);
        let mut found: Vec<_> =
            self.members.iter().map(|_| Err(HalError::Unavailable(Outage::DeadlinePassed))).collect();
        while let Ok((index, answer)) = answers.recv_deadline(deadline) {
            if let Some(place) = found.get_mut(index) {
                *place = answer;
            }
        }
        found
    }

    /// How many tokens are of no use for a key that others serve.
    fn passed_over(&self) -> usize {
        self.members.iter().filter(|member| member.is_passed_over()).count()
    }
}

impl KeyWrapper for TokenSet {
    fn wrap_kek(&self, under: RootKeyVersion, kek: &Kek) -> Result<WrappedKek, HalError> {
        self.attempt(Some(under), None, |hal| hal.wrap_kek(under, kek)).map(|(_, wrapped)| wrapped)
    }

    fn unwrap_kek(&self, wrapped: &WrappedKek) -> Result<Kek, HalError> {
        if !wrapped.is_well_formed() {
            return Err(HalError::Tampered);
        }
        self.attempt(Some(wrapped.key()), None, |hal| hal.unwrap_kek(wrapped)).map(|(_, kek)| kek)
    }

    fn sign(&self, signer: SignerId, message: &[u8], scheme: SignScheme) -> Result<Vec<u8>, HalError> {
        let home = self.homes.read().get(&signer).copied();
        let (index, signature) = self.attempt(None, home, |hal| hal.sign(signer, message, scheme))?;
        if home != Some(index) {
            self.homes.write().insert(signer, index);
        }
        Ok(signature)
    }

    fn random(&self, out: &mut [u8]) -> Result<(), HalError> {
        let len = out.len();
        let (_, bytes) = self.attempt(None, None, |hal| {
            let mut bytes = zeroize::Zeroizing::new(vec![0; len]);
            hal.random(&mut bytes).map(|()| bytes)
        })?;
        out.copy_from_slice(&bytes);
        Ok(())
    }

    /// Ready only where every token is.
    fn health(&self) -> Health {
        let answers = self.ask_all(self.deadline, |hal| Ok(hal.health()));
        let tokens = answers.len();
        let (mut away, mut degraded, mut why) = (0, None, None);
        for answer in answers {
            match answer.unwrap_or_else(Health::Down) {
                Health::Ready => {}
                Health::Degraded(degradation) => degraded = Some(degradation),
                Health::Down(error) => {
                    away += 1;
                    why = why.or(Some(error));
                }
            }
        }
        let without = self.passed_over();
        match (why, degraded) {
            (Some(error), _) if away == tokens => Health::Down(error),
            (Some(_), _) => Health::Degraded(Degradation::TokensAway { away, tokens }),
            (None, Some(degradation)) => Health::Degraded(degradation),
            (None, None) if without > 0 => Health::Degraded(Degradation::KeysNotEverywhere { without, tokens }),
            (None, None) => Health::Ready,
        }
    }

    /// Those of one token until every token was reached once.
    fn capabilities(&self) -> &Capabilities {
        if let Some(merged) = self.merged.get() {
            return merged;
        }
        let each: Vec<_> = self.members.iter().map(|member| member.hal().capabilities()).collect();
        if each.iter().all(|one| one.scheme.is_some()) {
            return self.merged.get_or_init(|| merge(&each, &self.unconnected));
        }
        each.into_iter().find(|one| one.scheme.is_some()).unwrap_or(&self.unconnected)
    }

    fn token_states(&self) -> Vec<TokenState> {
        let answers = self.ask_all(self.deadline, |hal| Ok(hal.token_states()));
        let away = |member: &Member| {
            let health = Health::Down(HalError::Unavailable(Outage::DeadlinePassed));
            let (label, seals) = (member.name(), Vec::new());
            vec![TokenState {
                label,
                serial: None,
                health,
                scheme: None,
                workers: 0,
                stuck: 0,
                busy: 0,
                waiting: 0,
                refuses: false,
                seals,
            }]
        };
        self.members.iter().zip(answers).flat_map(|(member, answer)| answer.unwrap_or_else(|_| away(member))).collect()
    }
}

/// What all tokens of a set can do together.
fn merge(each: &[&Capabilities], base: &Capabilities) -> Capabilities {
    let Some((first, others)) = each.split_first() else { return base.clone() };
    for one in each {
        if one.scheme.is_some_and(|scheme| !each.iter().all(|other| other.schemes.contains(&scheme))) {
            tracing::error!(
                token = ?one.token,
                scheme = ?one.scheme,
                "what this token wraps, others of the set do not open; set hsm.scheme to a scheme that all of them prove"
            );
        }
    }
    Capabilities {
        schemes: first
            .schemes
            .iter()
            .copied()
            .filter(|one| others.iter().all(|other| other.schemes.contains(one)))
            .collect(),
        sessions: each.iter().map(|one| one.sessions).sum(),
        is_hsm: each.iter().all(|one| one.is_hsm),
        ..(*first).clone()
    }
}
