//! The form of the audit log's lines.

use std::{fmt, net::SocketAddr};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::{Actor, Event, Outcome};
use crate::store::Fingerprint;

/// An event with what the log adds to it.
pub(super) struct Line<'a> {
    pub(super) time: Timestamp,
    pub(super) writer: Uuid,
    pub(super) sequence: u64,
    pub(super) event: &'a Event,
}

/// The form of a line. Fields without a value are left out.
#[derive(Serialize)]
struct Form<'a> {
    time: Shown<Milliseconds>,
    writer: Shown<Uuid>,
    sequence: u64,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Shown<Actor>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    adapter: Option<Shown<Uuid>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<Hex>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<Shown<SocketAddr>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Shown<Version>>,
    operation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<Shown<Uuid>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_rule: Option<Shown<Uuid>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root_key: Option<Shown<Uuid>>,
    outcome: &'a str,
    correlation: Shown<Uuid>,
}

impl Line<'_> {
    /// Adds the line to `lines`.
    pub(super) fn write(&self, lines: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        serde_json::to_writer(&mut *lines, &self.form())?;
        lines.push(b'\n');
        Ok(())
    }

    fn form(&self) -> Form<'static> {
        let (time, writer, sequence) = (Shown(Milliseconds(self.time)), Shown(self.writer), self.sequence);
        match self.event {
            Event::Request(event) => Form {
                time,
                writer,
                sequence,
                kind: "request",
                actor: None,
                adapter: Some(Shown(event.adapter.0)),
                certificate: Some(Hex(event.certificate)),
                peer: Some(Shown(event.peer)),
                version: event.version.map(|(major, minor)| Shown(Version(major, minor))),
                operation: event.operation,
                object: event.object.map(|id| Shown(id.0)),
                ca_rule: None,
                root_key: None,
                outcome: event.outcome.name(),
                correlation: Shown(event.correlation),
            },
            Event::Admin(event) => Form {
                time,
                writer,
                sequence,
                kind: "admin",
                actor: Some(Shown(event.actor)),
                adapter: event.adapter.map(|id| Shown(id.0)),
                certificate: event.certificate.map(Hex),
                peer: None,
                version: None,
                operation: event.action,
                object: None,
                ca_rule: event.ca_rule.map(Shown),
                root_key: event.root_key.map(Shown),
                outcome: event.outcome.name(),
                correlation: Shown(event.correlation),
            },
        }
    }
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed(reason) => reason,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LocalUser { uid } => write!(f, "uid:{uid}"),
            Self::Server => f.write_str("server"),
        }
    }
}

/// Written as its `Display` form.
struct Shown<T>(T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A fingerprint, as its `Display` form: thirty-two formatted bytes would be a third of what a line costs.
struct Hex(Fingerprint);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut digits = String::with_capacity(64);
        for byte in self.0.0 {
            digits
                .extend([byte >> 4, byte & 0xf].map(|nibble| char::from_digit(nibble.into(), 16).unwrap_or_default()));
        }
        serializer.serialize_str(&digits)
    }
}

/// RFC 3339 in UTC with three decimals.
struct Milliseconds(Timestamp);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

/// A KMIP version.
struct Version(i32, i32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}
