//! The form of the audit log's lines.

use super::{
    checkpoint::Signed,
    event::{Actor, AdminEvent, Event, Outcome, RequestEvent, Subject, Via},
    json::Object,
    tail::Torn,
};

/// A record of the log's own.
#[derive(Clone, Debug)]
pub(super) enum Own<'a> {
    /// A segment begins.
    Segment,
    /// A segment ends.
    Seal,
    /// The bytes in front of this record are none.
    Recovery(Torn),
    /// Events could not be written for a while.
    Resumed { failures: u64 },
    /// A checkpoint, or a statement of what was removed.
    Signed(&'a Signed),
}

/// Adds the fields of an event; those without a value are left out.
pub(super) fn event(line: &mut Object<'_>, event: &Event) {
    match event {
        Event::Request(event) => request(event, line),
        Event::Admin(event) => admin(event, line),
    }
}

/// Adds the fields of a record of the log's own.
pub(super) fn own(line: &mut Object<'_>, own: &Own<'_>) {
    match own {
        Own::Segment => {
            line.plain("kind", "segment");
            line.plain("product", concat!("keystead ", env!("CARGO_PKG_VERSION")));
        }
        Own::Seal => line.plain("kind", "seal"),
        Own::Recovery(torn) => {
            line.plain("kind", "recovery");
            line.number("torn_bytes", torn.bytes);
            line.hex("torn_sha256", &torn.hash.0);
        }
        Own::Resumed { failures } => {
            line.plain("kind", "resumed");
            line.number("failures", *failures);
        }
        Own::Signed(signed) => signed.write(line),
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
        Outcome::Begun => line.plain("outcome", "begun"),
        Outcome::Success => line.plain("outcome", "success"),
        Outcome::Failed(reason) => line.plain("outcome", reason),
        Outcome::Denied(permission) => {
            line.plain("outcome", "denied");
            line.plain("permission", permission);
        }
    }
}
