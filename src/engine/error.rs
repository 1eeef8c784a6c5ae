//! Why an operation failed, and the one place that picks the Result Reason a client of each version sees (KMIP 1.4 §11).

use hal::HalError;
use jiff::Timestamp;
use kmip::{
    enums::ResultReason,
    error::{DecodeError, Fault},
    version::Version,
};

use crate::{audit::AuditError, store::StoreError, vault::VaultError};

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpError {
    /// The item or its payload cannot be read.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// Nothing with this identifier that the client may know of.
    #[error("no object has this unique identifier")]
    NotFound,
    /// The request names no object and no earlier item of the batch left one.
    #[error("no unique identifier is given, and the ID placeholder is empty")]
    NoPlaceholder,
    /// The object's material is gone.
    #[error("the object is destroyed")]
    Destroyed,
    /// An operator has suspended the root key that the object, or a new one, is sealed under.
    #[error("the root key that protects this adapter's keys is suspended: an operator must resume it")]
    RootKeySuspended,
    /// The root key that the object, or a new one, is sealed under is gone.
    #[error("{}", root_key_destroyed(*at, *creating))]
    RootKeyDestroyed {
        /// When, in seconds since 1970-01-01 UTC.
        at: i64,
        /// Whether the object was about to be made.
        creating: bool,
    },
    /// Destroy of an object that is destroyed already.
    #[error("the object is destroyed already")]
    DestroyedAlready,
    /// The object's state does not permit the operation.
    #[error("{0}")]
    WrongState(&'static str),
    /// The operation cannot be done on this object in any state.
    #[error("{0}")]
    IllegalOperation(&'static str),
    /// Somebody else may do this, or nobody.
    #[error("{0}")]
    PermissionDenied(&'static str),
    /// The client may not set, change or delete this attribute.
    #[error("{0}")]
    ReadOnlyAttribute(&'static str),
    /// A value that cannot be.
    #[error("{0}")]
    InvalidField(&'static str),
    /// The message breaks a rule of its operation.
    #[error("{0}")]
    InvalidMessage(&'static str),
    /// Another object of the adapter has this Name; `creating` tells a new object from a changed one.
    #[error("another object has this name")]
    NameTaken {
        /// Whether the object was about to be made.
        creating: bool,
    },
    /// More instances than one of a single-instance attribute, or an index that cannot be.
    #[error("{0}")]
    IndexOutOfBounds(&'static str),
    /// No attribute, or no instance of it, to change.
    #[error("{0}")]
    AttributeNotFound(&'static str),
    /// The key cannot be returned in this format.
    #[error("the key cannot be returned in this format")]
    KeyFormatType,
    /// The point cannot be returned in this form.
    #[error("the key cannot be returned with this compression")]
    KeyCompressionType,
    /// Attributes were to be wrapped without TTLV encoding, or the key cannot be wrapped in this encoding.
    #[error("{0}")]
    EncodingOption(&'static str),
    /// The server holds no key value for this object.
    #[error("the server does not hold the key value")]
    KeyValueNotPresent,
    /// Application Data is left out, and the server makes up none for this namespace.
    #[error("the server makes up no application data: the request must bring it")]
    ApplicationNamespace,
    /// Sensitive: leaves only wrapped.
    #[error("the object is sensitive: it is returned only wrapped")]
    Sensitive,
    /// Not extractable: never leaves.
    #[error("the object is not extractable")]
    NotExtractable,
    /// The operation is not one this server has.
    #[error("the server does not support this operation")]
    OperationNotSupported,
    /// The operation is, what was asked of it is not.
    #[error("{0}")]
    FeatureNotSupported(&'static str),
    /// The credential is wrong.
    #[error("authentication was not successful")]
    Authentication,
    /// The answer is longer than the client reads.
    #[error("the response is longer than the maximum response size")]
    ResponseTooLarge,
    /// A key could not be wrapped or unwrapped.
    #[error("{0}")]
    Cryptographic(&'static str),
    /// The material could not be sealed or opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
    /// The audit log could not be written, so nothing may be answered.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// What the store holds for the object is not what the server wrote.
    #[error("the stored object cannot be read")]
    CorruptObject,
}

impl From<StoreError> for OpError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::NotFound,
            other => Self::Store(other),
        }
    }
}

fn root_key_destroyed(at: i64, creating: bool) -> String {
    let date = Timestamp::from_second(at).map_or_else(|_| at.to_string(), |at| at.strftime("%Y-%m-%d").to_string());
    if creating {
        format!("the root key of this adapter was destroyed on {date}: no new keys can be protected")
    } else {
        format!("the root key that protected this object was destroyed on {date}; its key material cannot be recovered")
    }
}

/// How loudly an error is to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The client's doing: nothing an operator could mend.
    Client,
    /// The server, its disk or its HSM: an operator should look.
    Server,
}

impl OpError {
    /// The Result Reason for a client of `version`, one that the version defines.
    pub(super) fn reason(&self, version: Version) -> ResultReason {
        let (newest, fallback) = self.reasons();
        if newest.in_version(version) { newest } else { fallback }
    }

    /// Who must act.
    pub(super) fn blame(&self) -> Blame {
        match self {
            Self::Vault(_) | Self::Store(_) | Self::Audit(_) | Self::CorruptObject => Blame::Server,
            _ => Blame::Client,
        }
    }

    /// What the client reads. Internal causes stay in the log, joined to it by the correlation id.
    pub(super) fn client_message(&self, correlation: uuid::Uuid) -> String {
        match self {
            Self::Vault(VaultError::Hal(HalError::Unavailable(_))) => {
                format!("the HSM is not available, try again later (correlation id {correlation})")
            }
            // The cause is in the log: what it is says nothing to a client, and it may name tokens and root keys.
            Self::Vault(VaultError::Hal(
                HalError::Refused(_) | HalError::UnknownRootKey(_) | HalError::UnknownSigner(_),
            )) => {
                format!("the HSM is not available until an operator acts (correlation id {correlation})")
            }
            Self::Store(StoreError::DiskFull) => format!("the server's disk is full (correlation id {correlation})"),
            Self::Store(StoreError::Overloaded | StoreError::Conflict | StoreError::StaleRootKey) => {
                format!("the server is busy, try again (correlation id {correlation})")
            }
            Self::Vault(_) | Self::Store(_) | Self::Audit(_) | Self::CorruptObject => {
                format!("internal error (correlation id {correlation})")
            }
            other => other.to_string(),
        }
    }

    /// The most telling reason of any version, and the one that every 1.x version has.
    fn reasons(&self) -> (ResultReason, ResultReason) {
        use ResultReason as R;
        let same = |reason| (reason, reason);
        match self {
            Self::Decode(error) => match error.fault {
                // §11.1: a field that the version does not know is an invalid field; what cannot be parsed is an invalid message.
                Fault::InvalidValue
                | Fault::UnknownEnumeration { .. }
                | Fault::NotInVersion { .. }
                | Fault::UnexpectedField => same(R::InvalidField),
                _ => same(R::InvalidMessage),
            },
            Self::NotFound => (R::ObjectNotFound, R::ItemNotFound),
            Self::NoPlaceholder => same(R::ItemNotFound),
            Self::Destroyed => (R::ObjectDestroyed, R::ItemNotFound),
            Self::RootKeySuspended | Self::RootKeyDestroyed { creating: true, .. } => same(R::PermissionDenied),
            Self::RootKeyDestroyed { creating: false, .. } => (R::ObjectDestroyed, R::ItemNotFound),
            Self::DestroyedAlready => (R::ObjectDestroyed, R::PermissionDenied),
            Self::WrongState(_) => (R::WrongKeyLifecycleState, R::PermissionDenied),
            Self::IllegalOperation(_) => (R::IllegalOperation, R::IllegalOperation),
            Self::PermissionDenied(_) => same(R::PermissionDenied),
            Self::ReadOnlyAttribute(_) => (R::ReadOnlyAttribute, R::PermissionDenied),
            Self::InvalidField(_) => same(R::InvalidField),
            Self::InvalidMessage(_) => same(R::InvalidMessage),
            Self::NameTaken { creating: true } => (R::NonUniqueNameAttribute, R::InvalidField),
            Self::NameTaken { creating: false } => (R::NonUniqueNameAttribute, R::IllegalOperation),
            Self::IndexOutOfBounds(_) => (R::MultiValuedAttribute, R::IndexOutOfBounds),
            Self::AttributeNotFound(_) => (R::AttributeInstanceNotFound, R::ItemNotFound),
            Self::KeyFormatType => same(R::KeyFormatTypeNotSupported),
            Self::KeyCompressionType => same(R::KeyCompressionTypeNotSupported),
            Self::EncodingOption(_) => (R::EncodingOptionError, R::InvalidField),
            Self::KeyValueNotPresent => (R::KeyValueNotPresent, R::IllegalOperation),
            Self::ApplicationNamespace => same(R::ApplicationNamespaceNotSupported),
            Self::Sensitive => (R::Sensitive, R::PermissionDenied),
            Self::NotExtractable => (R::NotExtractable, R::PermissionDenied),
            Self::OperationNotSupported => same(R::OperationNotSupported),
            Self::FeatureNotSupported(_) => same(R::FeatureNotSupported),
            Self::Authentication => same(R::AuthenticationNotSuccessful),
            Self::ResponseTooLarge => same(R::ResponseTooLarge),
            Self::Cryptographic(_) => same(R::CryptographicFailure),
            Self::Vault(_) | Self::Store(_) | Self::Audit(_) | Self::CorruptObject => same(R::GeneralFailure),
        }
    }
}
