//! The server's thread that seals segments, signs checkpoints and takes old segments away. Commands leave that to it.
//!
//! It alone waits for the HSM: while the token is away there are no checkpoints and nothing is taken away, which is said, and
//! requests go on. The first checkpoint after that vouches for everything before it.

use std::{
    fs::{self, File},
    io,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use hal::{RootKeys, SignerId, SignerInfo};
use jiff::{SignedDuration, Timestamp};
use metrics::{counter, gauge};

use super::{
    Audit, AuditError, Hash, LastCheckpoint, Own, Signed, SignedKind,
    checkpoint::{self, SigningError},
    place::{Place, Segment, first_of},
    tail::{self, Tail},
};
use crate::telemetry::metric;

/// How often old segments are looked for.
const RETENTION_PERIOD: Duration = Duration::from_secs(600);
/// How often the thread looks around.
const PERIOD: Duration = Duration::from_millis(200);

/// The key in the HSM that signs. The token may be away.
pub struct AuditSigner {
    /// The HSM.
    pub hal: Arc<dyn RootKeys>,
    /// The key.
    pub key: SignerId,
}

/// What the thread does.
pub struct VouchOptions {
    /// Who signs; without anyone there are no checkpoints, and what is removed is said without a signature.
    pub signer: Option<AuditSigner>,
    /// How long after a record its checkpoint is signed, at the latest.
    pub every: Duration,
    /// How long sealed segments are kept; `None` for ever.
    pub keep: Option<Duration>,
}

/// The running thread. Dropping it signs what is not signed yet, where the token is there.
pub struct Vouching {
    alive: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Vouching {
    /// Begins.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(audit: Arc<Audit>, options: VouchOptions) -> Result<Self, AuditError> {
        let (alive, ended) = mpsc::channel();
        let mut voucher = Voucher::new(audit, options);
        let thread = thread::Builder::new()
            .name("audit-signing".to_owned())
            .spawn(move || voucher.run(&ended))
            .map_err(AuditError::Thread)?;
        Ok(Self { alive: Some(alive), thread: Some(thread) })
    }
}

impl Drop for Vouching {
    fn drop(&mut self) {
        self.alive = None;
        if let Some(thread) = self.thread.take() {
            let _: thread::Result<()> = thread.join();
        }
    }
}

struct Voucher {
    audit: Arc<Audit>,
    place: Place,
    options: VouchOptions,
    /// What the HSM says of the key, once it was asked.
    known: Option<SignerInfo>,
    /// The last record that a checkpoint is about.
    signed: u64,
    /// The seal of a segment that has no checkpoint yet.
    seal: Option<Tail>,
    failing: bool,
}

impl Voucher {
    fn new(audit: Arc<Audit>, options: VouchOptions) -> Self {
        let place = audit.place();
        let old = checkpoint::read_all(&place.checkpoints()).unwrap_or_default();
        let checkpoints = old.iter().filter(|signed| signed.kind == SignedKind::Checkpoint);
        let last = checkpoints.max_by_key(|signed| signed.through);
        let signed = last.map_or(0, |last| last.through);
        *audit.shared.checkpoint.lock() = last.map(told);
        Self { audit, place, options, known: None, signed, seal: None, failing: false }
    }

    fn run(&mut self, ended: &mpsc::Receiver<()>) {
        let mut due = Instant::now();
        let mut retention_due = Instant::now();
        loop {
            let is_end = ended.recv_timeout(PERIOD) != Err(RecvTimeoutError::Timeout);
            self.audit.shared.rotate_if_due();
            let sealed = self.audit.shared.sealed.lock().take();
            if is_end || sealed.is_some() || Instant::now() >= due {
                due = Instant::now() + self.options.every;
                self.seal = sealed.or(self.seal);
                self.vouch();
            }
            if is_end {
                return;
            }
            if self.options.keep.is_some() && Instant::now() >= retention_due {
                retention_due = Instant::now() + RETENTION_PERIOD;
                if let Err(error) = self.retain() {
                    tracing::warn!(%error, "old segments of the audit log stay for now");
                }
            }
        }
    }

    /// Signs what is new, and says once when that fails or works again.
    fn vouch(&mut self) {
        if self.options.signer.is_none() {
            return;
        }
        match self.sign_new() {
            Ok(()) => {
                if std::mem::replace(&mut self.failing, false) {
                    tracing::info!("checkpoints of the audit log are signed again");
                }
            }
            Err(error) => {
                counter!(metric::AUDIT_CHECKPOINT_FAILURES).increment(1);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%error, "checkpoints of the audit log wait until the HSM signs them; requests do not");
                }
            }
        }
        let tail = self.audit.shared.chain.lock().tail().sequence;
        let unsigned = u32::try_from(tail.saturating_sub(self.signed)).unwrap_or(u32::MAX);
        gauge!(metric::AUDIT_UNSIGNED).set(f64::from(unsigned));
    }

    fn sign_new(&mut self) -> Result<(), SigningError> {
        if let Some(seal) = self.seal {
            self.checkpoint(seal)?;
            self.seal = None;
            // Of the checkpoints before it, the seals' are enough.
            let seals = self.seals();
            if let Err(error) = checkpoint::thin_out(&self.place.checkpoints(), |old| seals.contains(&old.through_hash))
            {
                tracing::warn!(%error, "the file of checkpoints could not be made shorter");
            }
        }
        let tail = self.audit.shared.chain.lock().refresh()?;
        // The record after the one that was signed is the checkpoint itself.
        if tail.sequence > self.signed + 1 {
            self.checkpoint(tail)?;
        }
        Ok(())
    }

    fn checkpoint(&mut self, about: Tail) -> Result<(), SigningError> {
        let signed = self.sign(SignedKind::Checkpoint, about)?;
        self.keep(&signed)?;
        *self.audit.shared.checkpoint.lock() = Some(told(&signed));
        self.signed = self.signed.max(about.sequence);
        Ok(())
    }

    /// Signs a statement, where there is a key for it.
    fn sign(&mut self, kind: SignedKind, about: Tail) -> Result<Signed, SigningError> {
        let unsigned = Signed::new(kind, about, Timestamp::now());
        let Some(signer) = &self.options.signer else { return Ok(unsigned) };
        let key = match &self.known {
            Some(known) => known.clone(),
            None => self.known.insert(signer.hal.describe_signer(signer.key)?).clone(),
        };
        Ok(unsigned.sign(&*signer.hal, &key)?)
    }

    /// Writes it into the file and into the chain.
    fn keep(&self, signed: &Signed) -> Result<(), AuditError> {
        let path = self.place.checkpoints();
        checkpoint::add(&path, signed).map_err(|source| AuditError::File { path, source })?;
        self.audit.shared.append_own(&Own::Signed(signed)).map(drop)
    }

    /// The hashes of the last records of sealed segments: what the first record of the next one is joined to.
    fn seals(&self) -> Vec<Hash> {
        let segments = self.place.segments().unwrap_or_default();
        let first = |segment: &Segment| first_of(&segment.path).ok().flatten();
        segments.iter().skip(1).filter_map(first).map(|first| first.prev).collect()
    }

    /// Takes away sealed segments whose last record is older than is kept. Only once that is on record, and signed.
    fn retain(&mut self) -> Result<(), SigningError> {
        let Some(keep) = self.options.keep.and_then(|keep| SignedDuration::try_from(keep).ok()) else { return Ok(()) };
        let now = Timestamp::now();
        let segments = self.place.sealed_segments().map_err(|source| self.unreadable(source))?;
        for segment in &segments {
            let Some((tail, time)) = last_record(segment).map_err(|source| self.unreadable(source))? else { break };
            if now.duration_since(time) < keep {
                break;
            }
            let signed = self.sign(SignedKind::Retention, tail)?;
            self.keep(&signed)?;
            fs::remove_file(&segment.path).map_err(|source| AuditError::File { path: segment.path.clone(), source })?;
            tracing::info!(path = %segment.path.display(), through = tail.sequence, "an old segment of the audit log was removed");
        }
        Ok(())
    }

    fn unreadable(&self, source: io::Error) -> AuditError {
        AuditError::File { path: self.place.dir.clone(), source }
    }
}

fn told(signed: &Signed) -> LastCheckpoint {
    LastCheckpoint { through: signed.through, at: signed.signed_at.clone() }
}

/// The last record of a sealed segment, and when it was written.
fn last_record(segment: &Segment) -> io::Result<Option<(Tail, Timestamp)>> {
    let file = File::open(&segment.path)?;
    let ending = tail::read(&file, file.metadata()?.len())?;
    Ok(ending.tail.zip(ending.time))
}

#[cfg(test)]
mod tests;
