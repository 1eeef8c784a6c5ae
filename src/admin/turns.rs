//! Turns for what costs so much that the server does one of a kind at a time.
//!
//! A turn is waited for before a place among the requests at work is taken: however many wait for one, everybody else is answered.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::problem::Problem;

/// How long somebody waits for a turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is done once at a time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Searches in all adapters: each keeps a connection to the database busy, of which clients need the others.
    Search,
    /// Verifications of the audit log, which read whatever there is of it.
    Verification,
}

/// The turn of a request, held until it is done; the problem where others took too long. It is looked at only after the caller's
/// permission.
pub(super) type Turn = Result<OwnedSemaphorePermit, Problem>;

/// Who is at work, of each kind.
#[derive(Debug)]
pub(super) struct Turns {
    searches: Arc<Semaphore>,
    verifications: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        let one = || Arc::new(Semaphore::new(1));
        Self { searches: one(), verifications: one() }
    }
}

impl Turns {
    /// Waits until those who came before are done, but not for long.
    pub(super) async fn wait(&self, kind: Kind) -> Turn {
        let (one, busy) = match kind {
            Kind::Search => (&self.searches, "others are searching the keys of all adapters: try again"),
            Kind::Verification => (&self.verifications, "the audit log is being verified for somebody else: try again"),
        };
        match timeout(PATIENCE, Arc::clone(one).acquire_owned()).await {
            Ok(turn) => turn.map_err(Problem::internal),
            Err(_) => Err(Problem::busy(busy)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::problem::Code;

    #[tokio::test(start_paused = true)]
    async fn one_of_a_kind_is_done_at_a_time_and_nobody_waits_for_ever() {
        let turns = Turns::default();
        let first = turns.wait(Kind::Search).await.unwrap();
        let second = turns.wait(Kind::Search).await.unwrap_err();
        assert_eq!(second.code(), Code::Busy);
        assert!(turns.wait(Kind::Verification).await.is_ok(), "of another kind");
        drop(first);
        assert!(turns.wait(Kind::Search).await.is_ok());
    }

    #[tokio::test]
    async fn who_waits_is_next() {
        let turns = Turns::default();
        let first = turns.wait(Kind::Search).await.unwrap();
        let (second, ()) = tokio::join!(turns.wait(Kind::Search), async { drop(first) });
        assert!(second.is_ok());
    }
}
