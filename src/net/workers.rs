//! The bounded pool of threads that requests are answered on.
//!
//! It owns the hop from a connection's task to a thread that may block and back. A request that a thread has taken up is always
//! carried to its end, whether or not anybody still waits for the answer. Requests that never wait for the HSM have a few threads
//! of their own: they are answered while all other threads wait for it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use crossbeam_channel::{Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tracing::Span;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Handler, PeerIdentity, Reply};
use crate::telemetry::metric;

/// Room for large replies.
const LARGE_REPLIES_BYTES: u32 = 32 << 20;
/// Replies up to this size need no room: almost all are smaller.
const SMALL_REPLY_BYTES: usize = 64 * 1024;

/// The pool's entrance. The threads end once every clone is dropped and the queues are empty.
#[derive(Clone)]
pub(super) struct Workers {
    // Dropped before the queues, whose end is what the threads, and those who wait for them, wait for.
    handler: Arc<dyn Handler>,
    queue: Sender<Job>,
    /// For requests that never wait for the HSM.
    prompt: Sender<Job>,
}

/// Resolves when every thread of the pool has ended.
#[derive(Debug)]
pub(super) struct Ended(mpsc::Receiver<()>);

/// A reply, with the room that a large one takes until it is written.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) reply: Reply,
    pub(super) room: Option<OwnedSemaphorePermit>,
}

/// Why a request got no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// Its handler panicked, or the pool has ended.
    Panicked,
    /// Its reply is large, and too many peers do not read the large replies that they asked for.
    NoRoom,
}

struct Job {
    peer: Arc<PeerIdentity>,
    request: Zeroizing<Vec<u8>>,
    answer: oneshot::Sender<Result<Answer, Unanswered>>,
    span: Span,
}

/// Room for the large replies of all connections together, from when they are made until they are written. It is not waited
/// for: such a reply is in memory already, and peers that do not read would make those that wait ever more.
#[derive(Clone, Debug)]
pub(super) struct ReplyRoom(Arc<Semaphore>);

impl ReplyRoom {
    /// Room for two of the longest requests at least, for an object may fill one.
    pub(super) fn new(max_frame_bytes: u32) -> Self {
        let bytes = LARGE_REPLIES_BYTES.max(max_frame_bytes.saturating_mul(2));
        Self(Arc::new(Semaphore::new((bytes / 1024) as usize)))
    }

    /// The reply with the room that it takes.
    fn admit(&self, reply: Reply) -> Result<Answer, Unanswered> {
        if reply.bytes.len() <= SMALL_REPLY_BYTES {
            return Ok(Answer { reply, room: None });
        }
        let kibibytes = u32::try_from(reply.bytes.len().div_ceil(1024)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.0).try_acquire_many_owned(kibibytes).map_err(|_| Unanswered::NoRoom)?;
        Ok(Answer { reply, room: Some(room) })
    }
}

impl Workers {
    /// Starts `threads` threads (at least one), and a few for requests that never wait for the HSM, each over a queue of
    /// `waiting` requests. A connection has one request under way at most, so with as many places as connections no queue is
    /// ever full.
    ///
    /// # Errors
    /// A thread could not be started.
    pub(super) fn start(
        handler: &Arc<dyn Handler>,
        threads: usize,
        waiting: usize,
        room: ReplyRoom,
    ) -> Result<(Self, Ended), std::io::Error> {
        let (alive, ended) = mpsc::channel(1);
        let start = |name: &str, threads: usize| {
            let (queue, jobs) = crossbeam_channel::bounded(waiting);
            for index in 0..threads {
                let (handler, jobs, room, alive) = (Arc::clone(handler), jobs.clone(), room.clone(), alive.clone());
                thread::Builder::new().name(format!("{name}-{index}")).spawn(move || {
                    work(&*handler, &jobs, &room);
                    // First what it works with, such as the store: whoever waits for the end may end the process next.
                    drop(handler);
                    drop(alive);
                })?;
            }
            Ok::<_, std::io::Error>(queue)
        };
        let queue = start("request", threads.max(1))?;
        // Their work is short: a quarter as many are enough.
        let prompt = start("prompt", threads.div_ceil(4).max(2))?;
        Ok((Self { handler: Arc::clone(handler), queue, prompt }, Ended(ended)))
    }

    /// Has `request` answered. Dropping the future does not cancel the request.
    pub(super) async fn answer(
        &self,
        peer: &Arc<PeerIdentity>,
        request: Zeroizing<Vec<u8>>,
    ) -> Result<Answer, Unanswered> {
        let (answer, answered) = oneshot::channel();
        let queue = if self.handler.may_wait_for_hsm(&request) { &self.queue } else { &self.prompt };
        let job = Job { peer: Arc::clone(peer), request, answer, span: Span::current() };
        queue.try_send(job).map_err(|_| Unanswered::Panicked)?;
        answered.await.unwrap_or(Err(Unanswered::Panicked))
    }
}

impl Ended {
    pub(super) async fn wait(mut self) {
        // Nothing is ever sent: the channel closes with the last thread.
        let _: Option<()> = self.0.recv().await;
    }
}

fn work(handler: &dyn Handler, jobs: &Receiver<Job>, room: &ReplyRoom) {
    for Job { peer, request, answer, span } in jobs {
        let _in_connection = span.enter();
        // A handler keeps nothing half-done across a panic that a later request could see: its locks do not poison, its
        // transactions roll back.
        match catch_unwind(AssertUnwindSafe(|| handler.handle(&peer, request))) {
            // The peer may have gone meanwhile; what was done stays done.
            Ok(reply) => drop(answer.send(room.admit(reply))),
            Err(_payload) => {
                metrics::counter!(metric::HANDLER_PANICS).increment(1);
                let correlation = Uuid::new_v4();
                tracing::error!(%correlation, "a request ended in a panic; its connection is closed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;
    use crate::store::{AdapterId, Fingerprint};

    struct Echo;

    impl Handler for Echo {
        fn handle(&self, _peer: &PeerIdentity, request: Zeroizing<Vec<u8>>) -> Reply {
            assert_ne!(*request, b"panic", "the test asks for a panic");
            Reply { bytes: request, close: false }
        }

        fn too_large(&self, _limit: u32) -> Option<Reply> {
            None
        }
    }

    fn peer() -> Arc<PeerIdentity> {
        Arc::new(PeerIdentity {
            adapter: AdapterId(Uuid::nil()),
            certificate: Fingerprint([0; 32]),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        })
    }

    fn request(text: &str) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(text.as_bytes().to_vec())
    }

    #[tokio::test]
    async fn a_panic_leaves_its_thread_able_to_answer() {
        let handler: Arc<dyn Handler> = Arc::new(Echo);
        let (workers, _ended) = Workers::start(&handler, 1, 4, ReplyRoom::new(0)).unwrap();
        assert!(workers.answer(&peer(), request("panic")).await.is_err());
        assert_eq!(*workers.answer(&peer(), request("still here")).await.unwrap().reply.bytes, b"still here");
    }

    #[tokio::test]
    async fn large_replies_find_room_while_others_are_read_and_small_ones_always() {
        let handler: Arc<dyn Handler> = Arc::new(Echo);
        let (workers, _ended) = Workers::start(&handler, 1, 4, ReplyRoom::new(0)).unwrap();
        let large = || Zeroizing::new(vec![0; (LARGE_REPLIES_BYTES / 2) as usize]);
        let first = workers.answer(&peer(), large()).await.unwrap();
        let _second = workers.answer(&peer(), large()).await.unwrap();
        assert!(matches!(workers.answer(&peer(), large()).await, Err(Unanswered::NoRoom)));
        assert_eq!(*workers.answer(&peer(), request("small")).await.unwrap().reply.bytes, b"small");
        drop(first);
        workers.answer(&peer(), large()).await.unwrap();
    }

    #[tokio::test]
    async fn threads_end_with_the_last_entrance() {
        let handler: Arc<dyn Handler> = Arc::new(Echo);
        let (workers, ended) = Workers::start(&handler, 3, 4, ReplyRoom::new(0)).unwrap();
        drop(workers);
        ended.wait().await;
    }
}
