//! Why a command failed, and the exit code that tells scripts.

use std::{io, net::SocketAddr, path::PathBuf, process::ExitCode};

use super::root_key::RootKeyError;
use crate::{
    audit::AuditError,
    ca::CaError,
    config::{ConfigError, SecretFileError},
    root_keys::Failure,
    store::StoreError,
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// The first identity could not be made.
    #[error("the first identity could not be made: {0}")]
    FirstIdentity(#[from] crate::admin::first::FirstError),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The arguments do not fit together, or do not fit what is there.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The HSM said no, or not now.
    #[error("{0}")]
    Hal(#[from] hal::HalError),
    /// The database said no.
    #[error("the database: {0}")]
    Store(#[from] StoreError),
    /// The audit log cannot be written, so nothing was done.
    #[error("the audit log cannot be written: {0}")]
    Audit(#[from] AuditError),
    /// The audit log shows something wrong; the report says what.
    #[error("the audit log is not as it was written: the report says where")]
    AuditBroken,
    /// The audit log cannot be checked.
    #[error(transparent)]
    AuditUnreadable(#[from] crate::audit::verify::VerifyError),
    /// The audit log cannot be sent to its receiver.
    #[error("audit.syslog: {0}")]
    AuditReceiver(#[from] crate::audit::ReceiverError),
    /// A file is no public key that signs checkpoints.
    #[error("{}: there is no public key in it that signs checkpoints (PEM, ECDSA on P-256 or P-384)", .0.display())]
    NotASigner(PathBuf),
    /// No certificate was made.
    #[error("{0}")]
    Ca(#[from] CaError),
    /// A file holds something that cannot be used.
    #[error("{path}: {source}")]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with what it holds.
        source: CaError,
    },
    /// A file or directory cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file that holds a secret cannot be used.
    #[error("{path}: {source}")]
    Secret {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: SecretFileError,
    },
    /// There is no adapter, certificate or rule of that name.
    #[error("there is no {what} {name:?}{}", near(others))]
    NoSuch {
        /// What was looked for.
        what: &'static str,
        /// How it was named.
        name: String,
        /// Names that there are.
        others: Vec<String>,
    },
    /// The configuration names a key in the HSM that was never made for this directory.
    #[error(
        "{setting} = \"hsm:{label}\": no key of this label was made for this directory{}; `keystead init --dir DIR` makes it",
        near(others)
    )]
    SignerNotRecorded {
        /// The setting.
        setting: &'static str,
        /// The label in it.
        label: String,
        /// Labels that there are.
        others: Vec<String>,
    },
    /// The certificate that is there was issued for another key than the configuration names.
    #[error(
        "{} was not issued for {setting} = \"hsm:{label}\": remove it to have a new one made for this key",
        certificate.display()
    )]
    OtherKeysCertificate {
        /// The certificate's file.
        certificate: PathBuf,
        /// The setting.
        setting: &'static str,
        /// The label in it.
        label: String,
    },
    /// A row of the database was damaged.
    #[error("what is stored for this object is not what the vault wrote: the row is damaged")]
    SealedDamaged,
    /// A probe found that a token must not hold root keys; its report says why.
    #[error("root keys must not be on this token: the report says why")]
    TokenUnusable,
    /// There is nothing to wrap with.
    #[error("there is no root key yet: make one with `keystead root-key create`")]
    NoRootKey,
    /// A name is taken.
    #[error("there is already {what} {name:?}")]
    Exists {
        /// What there is, with its article.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Half of a pair of files is there.
    #[error("{present} is there but {missing} is not: restore it, or remove both to have new ones made")]
    HalfThere {
        /// The file that is there.
        present: PathBuf,
        /// The file that is not.
        missing: PathBuf,
    },
    /// A listing cannot be written as JSON.
    #[error("the listing cannot be written as JSON: {0}")]
    Json(serde_json::Error),
    /// The operating system has no random numbers, threads or signal handlers to give.
    #[error("the operating system refused {what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// A server runs on these files already.
    #[error("another Keystead serves this directory (it holds {})", lock.display())]
    Served {
        /// The lock that it holds.
        lock: PathBuf,
    },
    /// The database would have to be changed under a server that does not know its new form.
    #[error(
        "the server that runs on this directory is of another version than this program: its database has schema version {found}, \
         this program works with {known}. Stop that server first (it holds {}), or use the keystead program it was started from",
        lock.display()
    )]
    OtherVersionServes {
        /// The lock that the server holds.
        lock: PathBuf,
        /// The schema version of the database.
        found: u32,
        /// The one this program works with.
        known: u32,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The KMIP server cannot be set up.
    #[error(transparent)]
    Server(#[from] crate::net::ServerError),
    /// The server's certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] crate::net::TlsError),
    /// Adapters and certificates cannot be used.
    #[error(transparent)]
    Trust(#[from] crate::trust::TrustError),
    /// Metrics cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] crate::telemetry::TelemetryError),
    /// Checks found something that does not work; their report says what to do.
    #[error("{failed} of the checks failed")]
    ChecksFailed {
        /// How many.
        failed: usize,
    },
    /// A check of a server failed.
    #[error(transparent)]
    Check(#[from] super::check::CheckError),
    /// The contexts of this user.
    #[error(transparent)]
    Context(#[from] super::context::ContextError),
    /// The admin API said no, or nothing.
    #[error(transparent)]
    Api(#[from] super::api::ApiError),
    /// Something about root keys.
    #[error(transparent)]
    RootKey(#[from] RootKeyError),
    /// A password hash could not be made.
    #[error("the password could not be hashed")]
    PasswordHash,
}

/// Why arguments cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// A PKCS#11 token needs to be described.
    #[error("--hsm pkcs11 needs --module, --token-label and --pin-file")]
    TokenNotDescribed,
    /// No SoftHSM2 on this machine.
    #[error(
        "SoftHSM2 is not installed: apt install softhsm2 (or dnf install softhsm, brew install softhsm), or name its module \
         with --module, or use --hsm software to try Keystead without any token"
    )]
    NoSoftHsm,
    /// The data directory was made with another backend.
    #[error("{dir} was made with another HSM backend than --hsm asks for: leave --hsm out, or use another directory")]
    OtherBackend {
        /// The directory.
        dir: PathBuf,
    },
    /// An option says something else than the configuration that is there.
    #[error("{file} says {setting} = {kept:?}, {option} says {given:?}: edit the file, or use another directory", file = file.display())]
    Differs {
        /// The configuration.
        file: PathBuf,
        /// The setting.
        setting: &'static str,
        /// Its value in the file.
        kept: String,
        /// The option.
        option: &'static str,
        /// Its value.
        given: String,
    },
    /// The directory's first adapter has another name.
    #[error(
        "this directory's first adapter is {first:?}; make others with: keystead adapter create NAME --config {}",
        config.display()
    )]
    OtherAdapter {
        /// Its name.
        first: String,
        /// The configuration.
        config: PathBuf,
    },
    /// The first adapter's root key has another label.
    #[error(
        "the root key of this directory's first adapter is {kept:?}, --root-key says {given:?}; make others with: \
         keystead root-key create LABEL --config {}",
        config.display()
    )]
    OtherRootKey {
        /// Its label.
        kept: String,
        /// The label that was asked for.
        given: String,
        /// The configuration.
        config: PathBuf,
    },
    /// The server's certificate has a key of another kind.
    #[error(
        "{} has a key of the kind {kept}, --tls-key says {given}: leave --tls-key out, or use another directory",
        certificate.display()
    )]
    OtherKey {
        /// The server's certificate.
        certificate: PathBuf,
        /// The kind of its key.
        kept: String,
        /// The kind that was asked for.
        given: String,
    },
    /// The key in the HSM is of another kind.
    #[error("the key {label:?} in the HSM is of the kind {kept}, not {given}: name another label in the configuration")]
    OtherSignerKind {
        /// Its label.
        label: String,
        /// Its kind.
        kept: hal::SignerKind,
        /// The kind that was asked for.
        given: hal::SignerKind,
    },
    /// The key in the HSM serves another purpose already.
    #[error("the key {label:?} in the HSM is on record for {kept:?}: name another label for {setting}")]
    SignerOfOtherPurpose {
        /// Its label.
        label: String,
        /// Its purpose.
        kept: String,
        /// The setting that names it too.
        setting: &'static str,
    },
    /// No key signs the audit log.
    #[error(
        "no key signs the audit log of this directory: `keystead init --audit-key hsm` makes one, audit.signing_key names it"
    )]
    NoAuditSigner,
    /// The key cannot sign the audit log.
    #[error(
        "the key {label:?} is of the kind {kind}: checkpoints are signed with ECDSA on P-256 or P-384, so audit.signing_key must name another"
    )]
    AuditSignerKind {
        /// Its label.
        label: String,
        /// Its kind.
        kind: hal::SignerKind,
    },
    /// Nothing says what to probe.
    #[error("give --config, or --module")]
    NoModuleNamed,
    /// The beginning of a fingerprint is too short.
    #[error("a fingerprint is given with at least {least} of its hexadecimal digits, not {given}")]
    ShortFingerprint {
        /// Its digits.
        given: usize,
        /// How many are needed.
        least: usize,
    },
    /// The server's address in a context cannot be used.
    #[error("the context {context:?} names no server: it is written as https://HOST:PORT")]
    BadServer {
        /// The context's name.
        context: String,
    },
    /// A client's sequence needs its certificate.
    #[error("--as needs the client's certificate: give --cert and --key, or --client-token")]
    NoClientCertificate,
    /// There is no such file.
    #[error("{option}: there is no file {}", path.display())]
    NoFile {
        /// The option that names it.
        option: &'static str,
        /// Where it should be.
        path: PathBuf,
    },
    /// The software backend has no module.
    #[error("there is no PKCS#11 module to probe: the configuration's backend is \"software\"")]
    NothingToProbe,
    /// A label.
    #[error(transparent)]
    Label(#[from] hal::InvalidLabel),
    /// Several root keys, and none was chosen.
    #[error("there are several root keys: choose one with --root-key ({})", labels.join(", "))]
    RootKeyNotChosen {
        /// Their labels.
        labels: Vec<String>,
    },
    /// Numbers of shares that make no sense.
    #[error(transparent)]
    Quorum(#[from] crate::ceremony::CeremonyError),
    /// One folder for all shares, or one for each.
    #[error("--out is given {given} times for {shares} shares: give one folder for all of them, or one for each")]
    ShareFolders {
        /// How many folders were given.
        given: usize,
        /// How many shares there are.
        shares: usize,
    },
    /// Shares of another key than the one they were given for.
    #[error("the shares are of root key {given}, and {wanted} is needed: use the files of that ceremony")]
    OtherShares {
        /// What they are of.
        given: hal::RootKeyVersion,
        /// What was asked for.
        wanted: hal::RootKeyVersion,
    },
    /// A line of a credential file.
    #[error("{path}:{line}: a credential is written as user:password")]
    BadCredentialLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A password from standard input or a file cannot be used.
    #[error("a password has 1 to 1024 bytes of UTF-8 text")]
    BadPassword,
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Hal(error) => Self::Hal(error),
            Failure::Store(error) => Self::Store(error),
            Failure::Exists { label } => Self::Exists { what: "a root key with the label", name: label },
            failure => Self::RootKey(RootKeyError::Failed(failure)),
        }
    }
}

impl CliError {
    /// 2 where the caller must change arguments or configuration, 1 for everything else.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            CliError::Config(_) | CliError::Usage(_) | CliError::Context(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }

    /// The error of an operation on the file `path`.
    pub(super) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| CliError::File { path, source }
    }

    /// The error of reading the secret in `path`.
    pub(super) fn secret(path: impl Into<PathBuf>) -> impl FnOnce(SecretFileError) -> Self {
        let path = path.into();
        move |source| CliError::Secret { path, source }
    }

    /// The error of understanding what is in `path`.
    pub(super) fn content(path: impl Into<PathBuf>) -> impl FnOnce(CaError) -> Self {
        let path = path.into();
        move |source| CliError::BadFile { path, source }
    }
}

fn near(others: &[String]) -> String {
    if others.is_empty() { String::new() } else { format!("; there is {}", others.join(", ")) }
}
