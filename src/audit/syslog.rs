//! Sends every record to a syslog receiver over TLS (RFC 5424 messages in RFC 5425 frames).
//!
//! A thread reads the segments behind the writers' backs, so that a receiver that is slow or away delays nobody; how far it has
//! come is kept in a file, and it catches up from there. A record is sent once or, around a connection that broke, more than
//! once: syslog has no acknowledgements, so a record counts as received when the connection has outlived it by a while. Records
//! carry their sequence numbers, by which a receiver tells repeated ones.

mod connection;
mod cursor;
mod follower;
mod message;

use std::{
    collections::VecDeque,
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use metrics::gauge;

use self::{connection::Connection, cursor::Cursor, follower::Follower, message::Sender};
pub use self::{connection::ReceiverError, message::Facility};
use super::{Audit, AuditError};
use crate::telemetry::metric;

/// How often new records are looked for.
const PERIOD: Duration = Duration::from_millis(200);
/// The pause after a connection failed, and the longest one after many.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A record that the connection has outlived for so long has arrived.
const ARRIVED_AFTER: Duration = Duration::from_secs(2);

/// Who receives the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Host name or address.
    pub host: String,
    /// Port; 6514 is syslog over TLS.
    pub port: u16,
    /// The name in its certificate, where that is not `host`.
    pub server_name: Option<String>,
    /// Who may have issued its certificate, PEM.
    pub ca_file: PathBuf,
    /// This side's certificate chain and private key, PEM, where it asks for them.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The facility of the messages.
    pub facility: Facility,
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The running thread. It ends when this is dropped.
pub struct Forwarding {
    alive: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Forwarding {
    /// Begins where the cursor file says, or with the oldest record.
    ///
    /// # Errors
    /// The receiver's certificates cannot be used, or the thread cannot be started.
    pub fn start(audit: &Arc<Audit>, receiver: Receiver) -> Result<Self, ReceiverError> {
        let connection = Connection::new(&receiver)?;
        let place = audit.place();
        let cursor = Cursor::read(place.cursor());
        let mut forwarder = Forwarder {
            audit: Arc::clone(audit),
            follower: Follower::new(place, cursor.sequence()),
            sender: Sender::new(receiver.facility),
            receiver,
            connection,
            cursor,
            sent: VecDeque::new(),
            pause: FIRST_PAUSE,
            said: false,
        };
        let (alive, ended) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("audit-syslog".to_owned())
            .spawn(move || forwarder.run(&ended))
            .map_err(|source| ReceiverError::Thread(AuditError::Thread(source)))?;
        Ok(Self { alive: Some(alive), thread: Some(thread) })
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        self.alive = None;
        if let Some(thread) = self.thread.take() {
            let _: thread::Result<()> = thread.join();
        }
    }
}

struct Forwarder {
    audit: Arc<Audit>,
    receiver: Receiver,
    connection: Connection,
    follower: Follower,
    sender: Sender,
    cursor: Cursor,
    /// What was sent on this connection and may not have arrived: when, and up to which record.
    sent: VecDeque<(Instant, u64)>,
    pause: Duration,
    /// That the receiver is away was said.
    said: bool,
}

impl Forwarder {
    fn run(&mut self, ended: &mpsc::Receiver<()>) {
        let mut wait = Duration::ZERO;
        while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            wait = match self.step() {
                Ok(sent) => {
                    if std::mem::replace(&mut self.said, false) {
                        tracing::info!(receiver = %self.receiver, "the audit log is sent again");
                    }
                    self.pause = FIRST_PAUSE;
                    if sent { Duration::ZERO } else { PERIOD }
                }
                Err(error) => self.fail(&error),
            };
            let behind = self.audit.shared.chain.lock().tail().sequence.saturating_sub(self.cursor.sequence());
            gauge!(metric::AUDIT_SYSLOG_BEHIND).set(f64::from(u32::try_from(behind).unwrap_or(u32::MAX)));
        }
        // What is on its way may arrive; what did not is sent again at the next start.
        self.connection.close();
    }

    /// Sends what is there. Returns whether there was something.
    fn step(&mut self) -> Result<bool, ReceiverError> {
        self.connection.open(&self.receiver)?;
        self.connection.check()?;
        self.note_arrivals();
        let mut frames = Vec::new();
        let last = self.follower.read(|line, record| self.sender.frame(line, record, &mut frames));
        let Some(last) = last.map_err(ReceiverError::Log)? else { return Ok(false) };
        self.connection.send(&frames)?;
        self.sent.push_back((Instant::now(), last));
        Ok(true)
    }

    /// Moves the cursor over what the connection has outlived.
    fn note_arrivals(&mut self) {
        let mut arrived = None;
        while let Some((_, last)) = self.sent.pop_front_if(|(at, _)| at.elapsed() >= ARRIVED_AFTER) {
            arrived = Some(last);
        }
        if let Some(Err(error)) = arrived.map(|last| self.cursor.move_to(last)) {
            tracing::warn!(%error, "how far the audit log was sent cannot be kept: after a restart records are sent again");
        }
    }

    /// Begins again with what may not have arrived. Returns how long to wait.
    fn fail(&mut self, error: &ReceiverError) -> Duration {
        if !std::mem::replace(&mut self.said, true) {
            tracing::warn!(receiver = %self.receiver, %error, "the audit log waits for its receiver; requests do not");
        }
        self.connection.close();
        self.sent.clear();
        self.follower.go_back_to(self.cursor.sequence());
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

#[cfg(test)]
mod tests;
