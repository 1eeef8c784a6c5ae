//! What is recorded: events made of identifiers, numbers, names from the program's own tables, and bounded names that operators
//! chose. Key material, attribute values and passwords have no type here that could hold them.

use std::{fmt, net::SocketAddr, sync::Arc};

use uuid::Uuid;

use crate::store::{AdapterId, Fingerprint, ObjectId};

/// One thing that happened, to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A batch item of a KMIP request, or a request that failed as a whole.
    Request(RequestEvent),
    /// An administrative action.
    Admin(AdminEvent),
}

/// A batch item of a KMIP request, or a request that failed as a whole (then `operation` says so).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestEvent {
    /// The adapter that the peer acts as.
    pub adapter: AdapterId,
    /// The peer's certificate.
    pub certificate: Fingerprint,
    /// The peer's address.
    pub peer: SocketAddr,
    /// The operation's name in the KMIP specification; `"Unknown"` for a code that this server does not know.
    pub operation: &'static str,
    /// The object that it was about.
    pub object: Option<ObjectId>,
    /// How it ended.
    pub outcome: Outcome,
    /// Joins the event to log lines and to the message that the client saw.
    pub correlation: Uuid,
    /// Major and minor KMIP version of the request, where its header was readable.
    pub version: Option<(i32, i32)>,
}

/// An action on adapters, certificates, rules, root keys, identities and whatever else administration is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminEvent {
    /// Who did it.
    pub actor: Actor,
    /// Where the request came from; `None` for what was done on the machine itself.
    pub peer: Option<SocketAddr>,
    /// What was done, a name from the program's own table such as `"adapter.create"`. Of one that [`changes_nothing`] there is no
    /// event before it is done, and it need not be synced before it is answered.
    pub action: &'static str,
    /// What it was about.
    pub subject: Subject,
    /// How it ended.
    pub outcome: Outcome,
    /// Joins the event to log lines, and to the answer that the caller saw.
    pub correlation: Uuid,
}

/// What an action is about; several of them where it joins things.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// An adapter.
    pub adapter: Option<AdapterId>,
    /// A certificate.
    pub certificate: Option<Fingerprint>,
    /// A rule for certificates of an authority.
    pub ca_rule: Option<Uuid>,
    /// A root key.
    pub root_key: Option<Uuid>,
    /// A managed object.
    pub object: Option<ObjectId>,
    /// An identity: a service, an operator.
    pub identity: Option<Uuid>,
    /// An API key, by its identifier, which is no part of its secret.
    pub api_key: Option<Uuid>,
    /// A request that waits for a second person.
    pub approval: Option<Uuid>,
    /// An external certificate authority.
    pub authority: Option<Fingerprint>,
    /// The name that it had at that time, so that the record can be read after it is gone.
    pub name: Option<Name>,
}

/// Who did something administrative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A command on the machine itself, run by this user.
    LocalUser {
        /// The real user id of the process.
        uid: u32,
    },
    /// The server itself.
    Server,
    /// A service or an operator who has shown who they are.
    Identity(Identity),
    /// Somebody who has not, such as whoever gave a wrong API key.
    Unknown,
}

/// A service or an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its identifier.
    pub id: Uuid,
    /// Its name at that time.
    pub name: Name,
    /// What it showed.
    pub via: Via,
}

/// How an identity was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// By an API key; its identifier.
    ApiKey(Uuid),
    /// By a TLS client certificate.
    Certificate(Fingerprint),
    /// By a browser session; a number for it, which is no part of its cookie.
    Session(Uuid),
}

/// How an operation or action ended, or that it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is about to be done. Another event of the same action and correlation says how it ended; where there is none, the
    /// server was cut off or could not write, and it may have been done.
    Begun,
    /// It was done.
    Success,
    /// It was not done, for this KMIP Result Reason (its name in the specification) or administrative error code.
    Failed(&'static str),
    /// It was not done because the actor may not; the permission that is missing, a name from the program's own table.
    Denied(&'static str),
}

/// A name that an operator chose. Longer ones are cut, so that no event is long; whatever characters it has, it is written as one
/// JSON string and can end neither that nor its line.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// Longest name in bytes. One that is cut ends with an ellipsis.
    pub const MAX_BYTES: usize = 240;
    const ELLIPSIS: &'static str = "…";

    /// `name`, or its beginning.
    #[must_use]
    pub fn new(name: &str) -> Self {
        if name.len() <= Self::MAX_BYTES {
            return Self(name.into());
        }
        let mut end = Self::MAX_BYTES - Self::ELLIPSIS.len();
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        Self([name.get(..end).unwrap_or_default(), Self::ELLIPSIS].concat().into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Whether nothing is different after an action of this name, so that one event, about its end, is enough.
#[must_use]
pub fn changes_nothing(action: &str) -> bool {
    [".list", ".read", ".search", ".verify"].iter().any(|ending| action.ends_with(ending))
}

impl Event {
    /// Whether it is about a change, or may be, so that it is on the disk before it is acknowledged.
    pub(super) fn is_mutation(&self) -> bool {
        match self {
            Self::Request(event) => event.outcome == Outcome::Success && !READS.contains(&event.operation),
            Self::Admin(event) => {
                // Whoever may do nothing must not make the disk work.
                !changes_nothing(event.action)
                    && !matches!(event.outcome, Outcome::Denied(_))
                    && event.actor != Actor::Unknown
            }
        }
    }
}

/// Operations that change nothing. Any other one counts as a change, so that a new one is on the safe side.
const READS: [&str; 23] = [
    "Get",
    "Locate",
    "Check",
    "GetAttributes",
    "GetAttributeList",
    "GetConstraints",
    "ObtainLease",
    "Validate",
    "Query",
    "QueryAsynchronousRequests",
    "DiscoverVersions",
    "Poll",
    "Ping",
    "Export",
    "Encrypt",
    "Decrypt",
    "Sign",
    "SignatureVerify",
    "MAC",
    "MACVerify",
    "RNGRetrieve",
    "RNGSeed",
    "Hash",
];
