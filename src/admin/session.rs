//! Sessions of browsers: a cookie instead of an API key in a script's reach.
//!
//! They are in memory only, so a restart ends them. A session is found by the digest of its token; it says who logged in with
//! what, never what they may do, which is looked up at every request. Each login makes a new token, so that one that was
//! planted before is worth nothing, and changes need a second token that another site's page cannot read.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use parking_lot::Mutex;
use ring::{
    digest::{SHA256, digest},
    error::Unspecified,
    rand::{SecureRandom as _, SystemRandom},
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::caller::LoggedInBy;

/// A session without a request for so long is over.
pub(super) const IDLE: Duration = Duration::from_secs(15 * 60);
/// A session is over so long after its login, however busy it is.
pub(super) const ABSOLUTE: Duration = Duration::from_secs(12 * 3600);
/// Sessions in all, and of one identity; past that the one that was idle longest ends.
const MOST: usize = 1024;
const MOST_OF_ONE: usize = 32;

/// The sessions of the process.
#[derive(Default)]
pub(super) struct Sessions {
    open: Mutex<HashMap<[u8; 32], Session>>,
}

/// Who logged in, with what, and when.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// The identity.
    pub(super) identity: Uuid,
    /// Names it in audit events.
    pub(super) number: Uuid,
    /// What it logged in with, which must still be valid.
    pub(super) by: LoggedInBy,
    /// What a change must bring along.
    pub(super) csrf: String,
    began: Instant,
    used: Instant,
}

impl Sessions {
    /// Begins a session, and ends the one whose token was `earlier`. Returns the token.
    ///
    /// # Errors
    /// There are no random numbers.
    pub(super) fn open(
        &self,
        identity: Uuid,
        by: LoggedInBy,
        earlier: Option<&str>,
        now: Instant,
    ) -> Result<Zeroizing<String>, Unspecified> {
        let (token, csrf) = (random_token()?, random_token()?.to_string());
        let mut open = self.open.lock();
        if let Some(earlier) = earlier {
            open.remove(&key(earlier));
        }
        open.retain(|_, session| !session.is_over(now));
        if open.values().filter(|session| session.identity == identity).count() >= MOST_OF_ONE {
            end_idlest(&mut open, |session| session.identity == identity);
        }
        if open.len() >= MOST {
            end_idlest(&mut open, |_| true);
        }
        open.insert(key(&token), Session { identity, number: Uuid::new_v4(), by, csrf, began: now, used: now });
        Ok(token)
    }

    /// The session with this token, used now.
    pub(super) fn find(&self, token: &str, now: Instant) -> Option<Session> {
        let mut open = self.open.lock();
        let key = key(token);
        let session = open.get_mut(&key)?;
        if session.is_over(now) {
            open.remove(&key);
            return None;
        }
        session.used = now;
        Some(session.clone())
    }

    /// Ends the session with this token.
    pub(super) fn end(&self, token: &str) {
        self.open.lock().remove(&key(token));
    }
}

impl Session {
    /// How long it lasts at most from now on.
    pub(super) fn left(&self, now: Instant) -> Duration {
        ABSOLUTE.saturating_sub(now.saturating_duration_since(self.began))
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) >= IDLE || now.saturating_duration_since(self.began) >= ABSOLUTE
    }
}

fn end_idlest(open: &mut HashMap<[u8; 32], Session>, among: impl Fn(&Session) -> bool) {
    let idlest = open.iter().filter(|(_, session)| among(session)).min_by_key(|(_, session)| session.used);
    if let Some(key) = idlest.map(|(key, _)| *key) {
        open.remove(&key);
    }
}

/// What a token is found by. Its digest, so that the time a search takes tells nothing of the token.
fn key(token: &str) -> [u8; 32] {
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    key
}

/// 256 random bits as text.
fn random_token() -> Result<Zeroizing<String>, Unspecified> {
    let mut bytes = Zeroizing::new([0; 32]);
    SystemRandom::new().fill(&mut *bytes)?;
    Ok(Zeroizing::new(Base64UrlUnpadded::encode_string(&*bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY: LoggedInBy = LoggedInBy::ApiKey(Uuid::nil());

    fn open(sessions: &Sessions, identity: u128, earlier: Option<&str>, now: Instant) -> Zeroizing<String> {
        sessions.open(Uuid::from_u128(identity), BY, earlier, now).unwrap()
    }

    #[test]
    fn a_session_ends_when_idle_and_at_its_time_however_busy() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let token = open(&sessions, 1, None, start);
        let step = IDLE.saturating_sub(Duration::from_secs(1));
        let mut now = start;
        while now + step < start + ABSOLUTE {
            now += step;
            assert!(sessions.find(&token, now).is_some());
        }
        assert!(sessions.find(&token, start + ABSOLUTE).is_none());
        let token = open(&sessions, 1, None, start);
        assert!(sessions.find(&token, start + IDLE).is_none());
    }

    #[test]
    fn a_login_makes_a_new_token_and_ends_the_one_it_came_with() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let planted = open(&sessions, 1, None, now);
        let token = open(&sessions, 1, Some(&planted), now);
        assert_ne!(*planted, *token);
        assert!(sessions.find(&planted, now).is_none());
        assert!(sessions.find(&token, now).is_some());
        sessions.end(&token);
        assert!(sessions.find(&token, now).is_none());
        assert!(sessions.find("made up", now).is_none());
    }

    #[test]
    fn sessions_are_bounded_and_the_idlest_goes_first() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let first = open(&sessions, 1, None, start);
        for seconds in 1..=u64::try_from(MOST_OF_ONE).unwrap() {
            open(&sessions, 1, None, start + Duration::from_secs(seconds));
        }
        assert!(sessions.find(&first, start + Duration::from_secs(60)).is_none());
        for identity in 0..2 * MOST as u128 {
            open(&sessions, 1000 + identity, None, start + Duration::from_secs(61));
        }
        assert!(sessions.open.lock().len() <= MOST);
    }
}
