//! Who came to the KMIP port lately.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Which of them.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HandshakeQuery {
    /// Those that came, or came again, after an answer with this `sequence`.
    pub since: Option<u64>,
    /// `accepted` or `refused`; without it both.
    pub outcome: Option<HandshakeOutcome>,
    /// Those that are of this adapter.
    pub adapter: Option<Uuid>,
    /// At most so many items, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
}

/// Whether a client was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HandshakeOutcome {
    /// It was.
    Accepted,
    /// It was not.
    Refused,
}

/// Who came to the KMIP port since the server's start, last first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Handshakes {
    /// Given as `since`, it asks for what comes after this answer.
    pub sequence: u64,
    /// Since when there are any.
    pub started_at: String,
    /// One for each client, address and outcome.
    pub items: Vec<Handshake>,
}

/// A client at an address, let in or refused.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Handshake {
    /// Greater than that of everything before.
    pub sequence: u64,
    /// Whether it was let in.
    pub outcome: HandshakeOutcome,
    /// Why not, in a word, such as `unknown`.
    pub reason: Option<String>,
    /// Why not, as a sentence.
    pub message: Option<String>,
    /// What to do, as a sentence.
    pub remedy: Option<String>,
    /// Where it came from last.
    pub address: String,
    /// The adapter that it acts as, or would act as.
    pub adapter: Option<Uuid>,
    /// The TLS version, such as `1.3`; null where it did not come to that.
    pub tls_version: Option<String>,
    /// Its certificate.
    pub certificate: Option<PresentedCertificate>,
    /// When it came first.
    pub first_seen: String,
    /// When it came last.
    pub last_seen: String,
    /// How often it came.
    pub times: u64,
    /// What the holder of the certificate has made since the server's start; null where that is nothing.
    pub objects: Option<ObjectsMade>,
}

/// A certificate that a client presented. Whoever made it chose what is in it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PresentedCertificate {
    /// SHA-256 of the certificate, in lower hexadecimal.
    pub fingerprint: String,
    /// SHA-1 of the certificate, as vCenter shows it; null where the certificate was let in.
    pub thumbprint_sha1: Option<String>,
    /// SHA-256 of the certificate, as vCenter shows it.
    pub thumbprint_sha256: String,
    /// Its subject; null where it cannot be read.
    pub subject: Option<String>,
    /// Its issuer; null where it cannot be read, or was let in.
    pub issuer: Option<String>,
    /// When its validity begins, likewise.
    pub not_before: Option<String>,
    /// When its validity ends.
    pub not_after: Option<String>,
    /// The certificate in PEM form, to be registered; null where it was let in.
    pub pem: Option<String>,
}

/// What the holder of a certificate has made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ObjectsMade {
    /// How many objects.
    pub made: u64,
    /// The first.
    pub first: ObjectMade,
    /// The last.
    pub last: ObjectMade,
}

/// That an object was made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ObjectMade {
    /// The object.
    pub id: Uuid,
    /// When.
    pub at: String,
}

/// Whether an adapter is in use, and by whom.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AdapterUsage {
    /// The adapter.
    pub adapter: Uuid,
    /// The first object that was made; null where none was.
    pub first_object: Option<MadeObject>,
    /// The last one.
    pub last_object: Option<MadeObject>,
    /// Who connected, last first; at most 50.
    pub clients: Vec<super::ClientReport>,
    /// How many have connected that are not in the list.
    pub more_clients: usize,
}

/// An object, and who made it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MadeObject {
    /// The object.
    pub id: Uuid,
    /// When it was made.
    pub created_at: String,
    /// The fingerprint of the certificate whose holder made it, where that was since the server's start.
    pub certificate: Option<String>,
    /// Where the holder of that certificate connected from last.
    pub address: Option<String>,
}
