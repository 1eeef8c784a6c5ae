//! PKCS#11 backend: root keys and signing keys stay in a token (an HSM, or SoftHSM2 for development).
//!
//! Words of PKCS#11 (slot, session, mechanism, CKR_) stay inside this module. Calls go through a bounded queue to worker threads
//! and come back within a deadline, whatever the token does; while it is away every call fails at once.

use std::{
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use uuid::Uuid;
use zeroize::Zeroizing;

pub use self::pin::PinSource;
pub use self::profile::Provider;
use self::{
    link::{Link, Target},
    pool::Pool,
    supervisor::Supervisor,
    workers::Kind,
};
use crate::{
    Capabilities, Degradation, DestroyConsent, HalError, Health, Kcv, Kek, KeyWrapper, Label, Outage, Refusal,
    RootKeyId, RootKeyInfo, RootKeyVersion, RootKeys, SecretBytes, SelfTestReport, SignScheme, SignerId, SignerInfo,
    SignerKind, TokenState, WrapScheme, WrappedKek,
};

mod checks;
pub mod client_key;
mod crew;
pub mod initialise;
mod link;
mod login;
mod lookout;
mod module;
mod pin;
mod pool;
pub mod probe;
mod profile;
mod recovery;
mod roots;
mod schemes;
mod seals;
mod self_test;
mod signers;
mod supervisor;
#[cfg(test)]
mod tests;
mod token;
mod workers;

/// Making a key may take a real HSM many seconds; administration waits this long.
const ADMIN_PATIENCE: Duration = Duration::from_secs(60);

/// How many blobs a worker re-wraps at a time; calls of request handling wait behind that many where all workers re-wrap.
const REWRAP_BATCH: usize = 16;
/// How many deadlines of a call a batch may take.
const REWRAP_DEADLINES: u32 = 4;

/// Which token, and how hard it may be worked.
pub struct Pkcs11Config {
    /// The vendor's PKCS#11 module (a shared library).
    pub module: PathBuf,
    /// The token's label. Slot numbers change; labels do not.
    pub token_label: String,
    /// The token's serial number, where the label alone does not tell or should not be trusted to.
    pub token_serial: Option<String>,
    /// Where the user PIN is read, for the first login and for every later one.
    pub pin: PinSource,
    /// Worker threads, each with one session; at least 1.
    pub workers: usize,
    /// Calls that may wait for a worker; at least 1. One more is refused at once.
    pub queue: usize,
    /// How long a call of request handling may take, the wait for a worker included.
    pub deadline: Duration,
    /// The only scheme to wrap with; `None` takes the best that the token proves. Blobs of every scheme are opened.
    pub scheme: Option<WrapScheme>,
    /// The make of token to take it for; `None` for the one that it says it is.
    pub provider: Option<Provider>,
}

impl fmt::Debug for Pkcs11Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkcs11Config")
            .field("module", &self.module)
            .field("token_label", &self.token_label)
            .field("token_serial", &self.token_serial)
            .finish_non_exhaustive()
    }
}

/// Keys on a token.
pub struct Pkcs11Hal {
    // The pool goes first: its workers close their sessions before the supervisor closes the anchor session.
    pool: Pool,
    _supervisor: Supervisor,
    link: Arc<Link>,
    deadline: Duration,
    /// The same for administration.
    admin_deadline: Duration,
}

impl fmt::Debug for Pkcs11Hal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkcs11Hal").field("capabilities", self.link.capabilities()).finish_non_exhaustive()
    }
}

impl Pkcs11Hal {
    /// Starts the supervisor, which connects and keeps connected. A token that is away (or refuses) is no error here: it is
    /// logged, every call says so at once, and the connection is tried for until it stands. Blocks for at most `deadline`.
    ///
    /// # Errors
    /// [`Refusal::Configuration`] where `workers` or `queue` is 0.
    pub fn new(config: Pkcs11Config) -> Result<Self, HalError> {
        let Pkcs11Config { module, token_label, token_serial, pin, workers, queue, deadline, scheme, provider } =
            config;
        if workers == 0 || queue == 0 {
            return Err(HalError::Refused(Refusal::Configuration));
        }
        let target =
            Target { module, label: token_label, serial: token_serial, pin, pinned: scheme, provider, workers };
        let link = Arc::new(Link::new(target));
        let pool = Pool::new(&link, workers, queue);
        let supervisor = Supervisor::start(Arc::clone(&link), Arc::clone(&pool.crew)).map_err(|error| {
            tracing::error!(%error, "cannot start the HSM supervisor thread");
            HalError::Unavailable(Outage::Overloaded)
        })?;
        // The outcome is in the log and in `health`; the server starts either way.
        link.bell.first_attempt(deadline);
        Ok(Self { pool, _supervisor: supervisor, link, deadline, admin_deadline: deadline.max(ADMIN_PATIENCE) })
    }

    fn call<T, F>(&self, patience: Duration, kind: Kind, op: F) -> Result<T, HalError>
    where
        T: Send + 'static,
        F: Fn(&workers::Conn) -> Result<T, recovery::Fault> + Send + 'static,
    {
        self.link.fail_fast()?;
        self.pool.call(patience, kind, op)
    }

    fn admin<T, F>(&self, op: F) -> Result<T, HalError>
    where
        T: Send + 'static,
        F: Fn(&workers::Conn) -> Result<T, recovery::Fault> + Send + 'static,
    {
        self.call(self.admin_deadline, Kind::Manage, op)
    }
}

impl Pkcs11Hal {
    /// Re-wraps a batch as one job of one worker: handing it over costs as much as a blob or two. Each blob has the deadline of
    /// a call, and all of them together a few.
    fn rewrap(&self, batch: &[WrappedKek], under: RootKeyVersion) -> Vec<Result<WrappedKek, HalError>> {
        let (olds, each) = (batch.to_vec(), self.deadline);
        let job = move |worker: &mut workers::Worker, until: Instant| {
            let mut done = Vec::with_capacity(olds.len());
            for old in &olds {
                let answer = worker.rewrap(old, under, until.min(Instant::now() + each));
                if done.is_empty() && answer == Err(HalError::Unavailable(Outage::SessionsExhausted)) {
                    // Before anything was done another worker can take the whole job.
                    return Err(HalError::Unavailable(Outage::SessionsExhausted));
                }
                done.push(answer);
            }
            Ok(done)
        };
        let patience = self.deadline.saturating_mul(REWRAP_DEADLINES);
        let done = self.link.fail_fast().and_then(|()| self.pool.submit(patience, job));
        done.unwrap_or_else(|error| batch.iter().map(|_| Err(error.clone())).collect())
    }
}

impl KeyWrapper for Pkcs11Hal {
    fn wrap_kek(&self, under: RootKeyVersion, kek: &Kek) -> Result<WrappedKek, HalError> {
        // A copy, because the worker may outlive this call; wiped when the job is dropped.
        let kek = Kek::new(Zeroizing::new(*kek.expose_secret()));
        self.call(self.deadline, Kind::Use, move |conn| {
            let bound = roots::bound(conn, under)?;
            conn.seal_with(&bound)?;
            schemes::wrap(&conn.session, bound.root, bound.scheme, &kek)
        })
    }

    fn unwrap_kek(&self, wrapped: &WrappedKek) -> Result<Kek, HalError> {
        if !wrapped.is_well_formed() {
            return Err(HalError::Tampered);
        }
        let wrapped = wrapped.clone();
        self.call(self.deadline, Kind::Open(wrapped.key(), wrapped.scheme), move |conn| {
            let bound = roots::bound(conn, wrapped.key())?;
            schemes::unwrap(&conn.session, bound.root, &wrapped)
        })
    }

    fn sign(&self, signer: SignerId, message: &[u8], scheme: SignScheme) -> Result<Vec<u8>, HalError> {
        let input = signers::input(message, scheme);
        self.call(self.deadline, Kind::Use, move |conn| signers::sign(conn, signer, &input, scheme))
    }

    fn random(&self, out: &mut [u8]) -> Result<(), HalError> {
        let len = out.len();
        let bytes = self.call(self.deadline, Kind::Use, move |conn| {
            let mut bytes = Zeroizing::new(vec![0; len]);
            conn.session.generate_random_slice(&mut bytes)?;
            Ok(bytes)
        })?;
        out.copy_from_slice(&bytes);
        Ok(())
    }

    /// Asks the token: opens a known blob where a root key is in use, reads the token's own description otherwise.
    fn health(&self) -> Health {
        let asked = self.call(self.deadline, Kind::Use, |conn| {
            if conn.login.is_well(&conn.session) {
                return Ok(());
            }
            // It says so where this session is gone, and nothing else.
            Err(conn.session.get_session_info().map_or_else(recovery::Fault::from, |_| recovery::Fault::Stale))
        });
        let stuck = self.pool.stuck();
        match asked {
            Err(error) => Health::Down(error),
            Ok(()) if stuck > 0 => Health::Degraded(Degradation::WorkersStuck { stuck, workers: self.pool.workers() }),
            Ok(()) => Health::Ready,
        }
    }

    fn capabilities(&self) -> &Capabilities {
        self.link.capabilities()
    }

    fn token_states(&self) -> Vec<TokenState> {
        let (label, configured) = self.link.names();
        let known = self.link.capabilities();
        let serial = known.token.as_ref().map(|token| token.serial.as_str()).or(configured);
        vec![TokenState {
            label: label.to_owned(),
            serial: serial.map(str::to_owned),
            health: self.health(),
            scheme: known.scheme,
            workers: self.pool.workers(),
            stuck: self.pool.stuck(),
            busy: self.pool.busy(),
            waiting: self.pool.waiting(),
            refuses: !self.link.is_up(),
            seals: self.link.seals.made(),
        }]
    }
}

impl RootKeys for Pkcs11Hal {
    fn generate_root(&self, label: &Label) -> Result<RootKeyInfo, HalError> {
        self.generate_version(RootKeyVersion::first(RootKeyId::from_uuid(Uuid::new_v4())), label)
    }

    fn generate_version(&self, key: RootKeyVersion, label: &Label) -> Result<RootKeyInfo, HalError> {
        let label = label.clone();
        self.admin(move |conn| roots::generate(conn, key, &label))
    }

    fn import_root(&self, key: RootKeyVersion, label: &Label, material: SecretBytes) -> Result<RootKeyInfo, HalError> {
        if material.len() != Kek::LEN {
            return Err(HalError::Refused(Refusal::KeyLength));
        }
        let label = label.clone();
        self.admin(move |conn| roots::import(conn, key, &label, &material))
    }

    fn describe_root(&self, key: RootKeyVersion) -> Result<RootKeyInfo, HalError> {
        self.admin(move |conn| roots::describe(conn, key))
    }

    fn list_roots(&self) -> Result<Vec<RootKeyInfo>, HalError> {
        self.admin(roots::list)
    }

    fn expect_root(&self, key: RootKeyVersion, kcv: Kcv) {
        self.link.expect(key, kcv);
    }

    fn expect_seals(&self, key: RootKeyVersion, made: u64) {
        self.link.seals.at_least(key, made);
    }

    fn self_test(&self, key: RootKeyVersion) -> Result<SelfTestReport, HalError> {
        let tested = self.admin(move |conn| roots::self_test(conn, key))?;
        Ok(SelfTestReport { key, tokens: vec![tested] })
    }

    fn rewrap_keks(&self, wrapped: &[WrappedKek], under: RootKeyVersion) -> Vec<Result<WrappedKek, HalError>> {
        wrapped.chunks(REWRAP_BATCH).flat_map(|batch| self.rewrap(batch, under)).collect()
    }

    fn destroy_root(&self, key: RootKeyVersion, consent: DestroyConsent) -> Result<(), HalError> {
        if consent.key() != key {
            return Err(HalError::Refused(Refusal::ConsentMismatch));
        }
        self.admin(move |conn| roots::destroy(conn, key))
    }

    fn generate_signer(&self, label: &Label, kind: SignerKind) -> Result<SignerInfo, HalError> {
        let (id, label) = (SignerId::from_uuid(Uuid::new_v4()), label.clone());
        self.admin(move |conn| signers::generate(conn, id, &label, kind))
    }

    fn find_signer(&self, label: &Label) -> Result<Option<SignerInfo>, HalError> {
        let label = label.clone();
        self.admin(move |conn| signers::find(conn, &label))
    }

    fn describe_signer(&self, signer: SignerId) -> Result<SignerInfo, HalError> {
        self.admin(move |conn| signers::describe(conn, signer))
    }
}
