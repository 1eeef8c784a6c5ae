//! The form of the audit log's lines.

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    event::{Actor, AdminEvent, Event, Outcome, RequestEvent, Subject, Via},
    json::Object,
};

/// An event with what the log adds to it.
pub(super) struct Line<'a> {
    pub(super) time: Timestamp,
    pub(super) writer: Uuid,
    pub(super) sequence: u64,
    pub(super) event: &'a Event,
}

impl Line<'_> {
    /// Adds the line to `lines`. Fields without a value are left out.
    pub(super) fn write(&self, lines: &mut Vec<u8>) {
        let mut line = Object::new(lines);
        line.shown("time", format_args!("{:.3}", self.time));
        line.id("writer", self.writer);
        line.number("sequence", self.sequence);
        match self.event {
            Event::Request(event) => request(event, &mut line),
            Event::Admin(event) => admin(event, &mut line),
        }
        line.end();
        lines.push(b'\n');
    }
}

fn request(event: &RequestEvent, line: &mut Object<'_>) {
    line.plain("kind", "request");
    line.id("adapter", event.adapter.0);
    line.hex("certificate", &event.certificate.0);
    line.shown("peer", format_args!("{}", event.peer));
    if let Some((major, minor)) = event.version {
        line.shown("version", format_args!("{major}.{minor}"));
    }
    line.plain("operation", event.operation);
    if let Some(object) = event.object {
        line.id("object", object.0);
    }
    outcome(event.outcome, line);
    line.id("correlation", event.correlation);
}

fn admin(event: &AdminEvent, line: &mut Object<'_>) {
    line.plain("kind", "admin");
    actor(&event.actor, line);
    if let Some(peer) = event.peer {
        line.shown("peer", format_args!("{peer}"));
    }
    line.plain("operation", event.action);
    subject(&event.subject, line);
    outcome(event.outcome, line);
    line.id("correlation", event.correlation);
}

fn actor(actor: &Actor, line: &mut Object<'_>) {
    match actor {
        Actor::LocalUser { uid } => line.shown("actor", format_args!("uid:{uid}")),
        Actor::Server => line.plain("actor", "server"),
        Actor::Unknown => line.plain("actor", "unknown"),
        Actor::Identity(identity) => {
            line.shown("actor", format_args!("identity:{}", identity.id));
            line.named("actor_name", &identity.name);
            match identity.via {
                Via::ApiKey(id) => line.shown("via", format_args!("api_key:{id}")),
                Via::Certificate(fingerprint) => line.shown("via", format_args!("certificate:{fingerprint}")),
                Via::Session(id) => line.shown("via", format_args!("session:{id}")),
            }
        }
    }
}

fn subject(subject: &Subject, line: &mut Object<'_>) {
    let Subject { adapter, certificate, ca_rule, root_key, object, identity, api_key, approval, authority, name } =
        subject;
    let ids = [
        ("adapter", adapter.map(|id| id.0)),
        ("object", object.map(|id| id.0)),
        ("ca_rule", *ca_rule),
        ("root_key", *root_key),
        ("identity", *identity),
        ("api_key", *api_key),
        ("approval", *approval),
    ];
    for (field, id) in ids {
        if let Some(id) = id {
            line.id(field, id);
        }
    }
    for (field, fingerprint) in [("certificate", certificate), ("authority", authority)] {
        if let Some(fingerprint) = fingerprint {
            line.hex(field, &fingerprint.0);
        }
    }
    if let Some(name) = name {
        line.named("name", name);
    }
}

fn outcome(outcome: Outcome, line: &mut Object<'_>) {
    match outcome {
        Outcome::Success => line.plain("outcome", "success"),
        Outcome::Failed(reason) => line.plain("outcome", reason),
        Outcome::Denied(permission) => {
            line.plain("outcome", "denied");
            line.plain("permission", permission);
        }
    }
}
