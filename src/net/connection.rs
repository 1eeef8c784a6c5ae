//! One connection after its handshake: frame in, frame out, in order.
//!
//! It owns the connection's buffers and time-outs. It reads a frame's eight-byte header (KMIP Encoding §9.1.1: tag, type, length),
//! checks the length against the limit, and only then allocates, in steps as bytes arrive: a thousand peers that announce
//! the largest frame and send nothing cost what they sent, not what they announced.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, Semaphore, SemaphorePermit},
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::server::TlsStream;
use zeroize::{Zeroize, Zeroizing};

use super::{
    Handler, Limits, PeerIdentity,
    workers::{Answer, Unanswered, Workers},
};

/// Length of a TTLV header: three bytes of tag, one of type, four of length.
const HEADER_BYTES: usize = 8;
/// Tag Request Message (0x420078), type Structure (0x01).
const REQUEST_MESSAGE: [u8; 4] = [0x42, 0x00, 0x78, 0x01];
/// Requests up to this size arrive whole in one read. Almost all are smaller.
const SCRATCH_BYTES: usize = 4096;
/// What a larger frame starts with, whatever length it announces.
const FIRST_ALLOCATION: usize = 16 * 1024;
/// Room for large frames of all connections together. One that finds none waits for it, within its request time-out.
const LARGE_FRAMES_BYTES: u32 = 256 << 20;
/// What is read and thrown away so that a peer still sending can see the last answer instead of a reset.
const LINGER_BYTES: u64 = 16 << 20;
/// How long that may take, and how long saying goodbye may take.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The peer closed it between requests, with or without a close_notify.
    ByPeer,
    /// The peer closed it within a request.
    Truncated,
    /// The peer sent nothing for the idle time-out.
    Idle,
    /// A request, or the reading of its reply, took longer than the request time-out.
    Slow,
    /// What the peer sent is not a KMIP request.
    NotKmip,
    /// The peer announced a request of this many bytes.
    TooLarge(u64),
    /// Too many peers do not read the large replies that they asked for; this one was not sent.
    NoRoom,
    /// The server stops, or the certificate is no longer trusted.
    Stopped,
    /// The handler asked for it.
    ByHandler,
    /// The handler panicked.
    Panicked,
    /// The socket or TLS failed.
    Broken(io::Error),
}

/// What a connection shares with the server, which may want it to end.
#[derive(Debug)]
pub(super) struct Link {
    phase: AtomicU8,
    stop: Notify,
    draining: Arc<AtomicBool>,
}

/// No byte of a request has come: the connection can end without anybody missing an answer.
const IDLE: u8 = 0;
/// From the first byte of a request until its reply is written.
const BUSY: u8 = 1;
/// The connection must not begin another request.
const CLOSING: u8 = 2;

impl Link {
    pub(super) fn new(draining: Arc<AtomicBool>) -> Self {
        Self { phase: AtomicU8::new(IDLE), stop: Notify::new(), draining }
    }

    /// Ends the connection if it is idle; a request under way is left alone.
    pub(super) fn stop_if_idle(&self) {
        if self.phase.compare_exchange(IDLE, CLOSING, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            self.stop.notify_one();
        }
    }

    /// Forbids further requests, and ends the connection if it is idle. Returns whether a request is under way.
    pub(super) fn stop(&self) -> bool {
        let busy = self.phase.swap(CLOSING, Ordering::SeqCst) == BUSY;
        self.stop.notify_one();
        busy
    }

    /// Whether the connection may begin a request; then it counts as busy.
    fn begin(&self) -> bool {
        self.phase.compare_exchange(IDLE, BUSY, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Ends a request. Whether the connection may go on.
    fn end(&self) -> bool {
        // In this order: whoever sets `draining` looks at the phase afterwards, so one of the two sees the other.
        self.phase.compare_exchange(BUSY, IDLE, Ordering::SeqCst, Ordering::SeqCst).is_ok()
            && !self.draining.load(Ordering::SeqCst)
    }
}

/// The room for requests that are larger than their first allocation, shared by all connections.
#[derive(Debug)]
pub(super) struct LargeFrames {
    /// One permit for each KiB.
    room: Semaphore,
}

impl LargeFrames {
    pub(super) fn new() -> Self {
        Self { room: Semaphore::new((LARGE_FRAMES_BYTES / 1024) as usize) }
    }

    /// Waits for the room of a frame of `total` bytes; dropping what it returns gives it back. All of it is taken at once, so
    /// that no two frames wait for each other.
    async fn take(&self, total: usize) -> Option<SemaphorePermit<'_>> {
        let kibibytes = u32::try_from(total.div_ceil(1024)).unwrap_or(u32::MAX).min(LARGE_FRAMES_BYTES / 1024);
        self.room.acquire_many(kibibytes).await.ok()
    }
}

/// A whole request, with the room that a large one takes.
struct Request<'a> {
    bytes: Zeroizing<Vec<u8>>,
    room: Option<SemaphorePermit<'a>>,
}

/// What serving a connection needs.
pub(super) struct Connection<'a> {
    pub(super) peer: Arc<PeerIdentity>,
    pub(super) limits: &'a Limits,
    pub(super) handler: &'a dyn Handler,
    pub(super) workers: &'a Workers,
    pub(super) link: &'a Link,
    pub(super) large: &'a LargeFrames,
}

impl Connection<'_> {
    /// Answers requests until the connection ends, and closes it.
    pub(super) async fn serve(self, mut stream: TlsStream<TcpStream>) -> Ended {
        let ended = self.requests(&mut stream).await;
        close(stream, &ended).await;
        ended
    }

    async fn requests(&self, stream: &mut TlsStream<TcpStream>) -> Ended {
        let mut frames = FrameReader::new();
        let mut idle = std::pin::pin!(sleep_until(Instant::now() + self.limits.idle_timeout));
        let mut stop = std::pin::pin!(self.link.stop.notified());
        loop {
            if frames.is_empty() {
                // Re-armed only when it fires, not with every request: the timer wheel stays out of the busy path.
                let deadline = Instant::now() + self.limits.idle_timeout;
                let begun = loop {
                    tokio::select! {
                        biased;
                        begun = frames.begin(stream) => break begun,
                        () = &mut stop => return Ended::Stopped,
                        () = &mut idle => {
                            if Instant::now() >= deadline {
                                return Ended::Idle;
                            }
                            idle.as_mut().reset(deadline);
                        }
                    }
                };
                match begun {
                    Ok(true) => {}
                    Ok(false) => return Ended::ByPeer,
                    Err(error) => return broken_between_requests(error),
                }
            }
            if !self.link.begin() {
                return Ended::Stopped;
            }
            if let Err(ended) = self.one_request(&mut frames, stream).await {
                return ended;
            }
            if !self.link.end() {
                return Ended::Stopped;
            }
        }
    }

    async fn one_request(&self, frames: &mut FrameReader, stream: &mut TlsStream<TcpStream>) -> Result<(), Ended> {
        let limits = self.limits;
        let reading = timeout(limits.request_timeout, frames.frame(stream, limits.max_frame_bytes, self.large));
        let Request { bytes, room } = match reading.await.map_err(|_| Ended::Slow)? {
            Ok(request) => request,
            Err(ended) => {
                if let (Ended::TooLarge(_), Some(reply)) = (&ended, self.handler.too_large(limits.max_frame_bytes)) {
                    self.write(stream, &reply.bytes).await?;
                }
                return Err(ended);
            }
        };
        let answer = self.workers.answer(&self.peer, bytes).await.map_err(|unanswered| match unanswered {
            Unanswered::Panicked => Ended::Panicked,
            Unanswered::NoRoom => Ended::NoRoom,
        })?;
        drop(room);
        let Answer { reply, room: _room } = answer;
        self.write(stream, &reply.bytes).await?;
        if reply.close { Err(Ended::ByHandler) } else { Ok(()) }
    }

    async fn write(&self, stream: &mut TlsStream<TcpStream>, bytes: &[u8]) -> Result<(), Ended> {
        let writing = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        timeout(self.limits.request_timeout, writing).await.map_err(|_| Ended::Slow)?.map_err(Ended::Broken)
    }
}

/// Says goodbye as far as the peer still listens. Bounded in time and bytes.
async fn close(mut stream: TlsStream<TcpStream>, ended: &Ended) {
    match ended {
        Ended::Broken(_) | Ended::Slow => {}
        Ended::ByPeer | Ended::Truncated | Ended::Idle | Ended::NotKmip | Ended::Stopped => {
            let _: Result<_, _> = timeout(LINGER_TIME, stream.shutdown()).await;
        }
        Ended::TooLarge(_) | Ended::NoRoom | Ended::ByHandler | Ended::Panicked => {
            let _: Result<_, _> = timeout(LINGER_TIME, stream.shutdown()).await;
            linger(stream.into_inner().0).await;
        }
    }
}

/// Reads and throws away what the peer still sends. Closing with bytes unread would reset the connection, and a reset overtakes
/// whatever was written last: an alert or an answer.
pub(super) async fn linger(mut socket: TcpStream) {
    let drain = async {
        let _: io::Result<()> = socket.shutdown().await;
        let _: io::Result<u64> = tokio::io::copy(&mut socket.take(LINGER_BYTES), &mut tokio::io::sink()).await;
    };
    let _: Result<_, _> = timeout(LINGER_TIME, drain).await;
}

/// A peer that goes without a close_notify, or with a reset, between requests has done nothing unusual.
fn broken_between_requests(error: io::Error) -> Ended {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match error.kind() {
        UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe => Ended::ByPeer,
        _ => Ended::Broken(error),
    }
}

/// Cuts the byte stream into request frames.
struct FrameReader {
    scratch: Zeroizing<Box<[u8]>>,
    filled: usize,
}

impl FrameReader {
    fn new() -> Self {
        Self { scratch: Zeroizing::new(vec![0; SCRATCH_BYTES].into_boxed_slice()), filled: 0 }
    }

    /// Whether no byte of the next frame is here.
    fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Waits for the first bytes of a frame; `false` if the stream ended instead. Nothing is lost when it is dropped.
    async fn begin(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<bool> {
        let read = stream.read(self.scratch.get_mut(self.filled..).unwrap_or_default()).await?;
        self.filled += read;
        Ok(read > 0)
    }

    /// Reads the frame that has begun.
    async fn frame<'a>(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        limit: u32,
        large: &'a LargeFrames,
    ) -> Result<Request<'a>, Ended> {
        while self.filled < HEADER_BYTES {
            if !self.begin(stream).await.map_err(broken_within_request)? {
                return Err(Ended::Truncated);
            }
        }
        let Some([tag @ .., l0, l1, l2, l3]) = self.scratch.first_chunk::<HEADER_BYTES>() else {
            return Err(Ended::NotKmip);
        };
        if *tag != REQUEST_MESSAGE {
            return Err(Ended::NotKmip);
        }
        let announced = u64::from(u32::from_be_bytes([*l0, *l1, *l2, *l3])) + HEADER_BYTES as u64;
        let total = match usize::try_from(announced) {
            Ok(total) if announced <= u64::from(limit) => total,
            _ => return Err(Ended::TooLarge(announced)),
        };
        if total <= self.filled {
            return Ok(Request { bytes: self.take(total), room: None });
        }
        self.rest(stream, total, large).await
    }

    /// Takes the first `total` bytes, all of which are here, and keeps what a pipelining peer has sent behind them.
    fn take(&mut self, total: usize) -> Zeroizing<Vec<u8>> {
        let frame = Zeroizing::new(self.scratch.get(..total).unwrap_or_default().to_vec());
        self.scratch.copy_within(total..self.filled, 0);
        let behind = self.filled - total;
        self.scratch.get_mut(behind..self.filled).unwrap_or_default().zeroize();
        self.filled = behind;
        frame
    }

    /// Reads a frame of `total` bytes, of which only some are here.
    async fn rest<'a>(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        total: usize,
        large: &'a LargeFrames,
    ) -> Result<Request<'a>, Ended> {
        let mut filled = self.filled;
        let mut room = None;
        let mut bytes = sized_copy(self.scratch.get(..filled).unwrap_or_default(), total.min(FIRST_ALLOCATION));
        self.scratch.get_mut(..filled).unwrap_or_default().zeroize();
        self.filled = 0;
        loop {
            // Never past the end of this frame: what follows stays in the stream.
            match stream.read(bytes.get_mut(filled..).unwrap_or_default()).await.map_err(broken_within_request)? {
                0 => return Err(Ended::Truncated),
                read => filled += read,
            }
            if filled == total {
                return Ok(Request { bytes, room });
            }
            if filled == bytes.len() {
                if room.is_none() {
                    room = large.take(total).await;
                }
                // Not `Vec::resize`: it may leave the old bytes behind. The old buffer is wiped as it is dropped.
                bytes = sized_copy(&bytes, total.min(filled * 2));
            }
        }
    }
}

/// A buffer of exactly `size` bytes that begins with `start`.
fn sized_copy(start: &[u8], size: usize) -> Zeroizing<Vec<u8>> {
    let mut buffer = Zeroizing::new(Vec::with_capacity(size));
    buffer.extend_from_slice(start);
    buffer.resize(size, 0);
    buffer
}

fn broken_within_request(error: io::Error) -> Ended {
    match broken_between_requests(error) {
        Ended::ByPeer => Ended::Truncated,
        ended => ended,
    }
}
