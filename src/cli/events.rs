//! How events of the audit log are listed, of one adapter or of all.

use super::view::Column;

/// The columns of what was done with an adapter.
pub(super) const OF_ADAPTER: [Column; 7] = [
    ("TIME", "/time"),
    ("WHO", "/actor_name|/actor"),
    ("FROM", "/peer"),
    ("WHAT", "/operation"),
    ("OUTCOME", "/outcome"),
    ("NAME", "/name"),
    ("OBJECT", "/object"),
];

/// The columns of records of the audit log. A KMIP client is known by its adapter.
pub(super) const OF_LOG: [Column; 8] = [
    ("NUMBER", "/sequence"),
    ("TIME", "/time"),
    ("WHO", "/actor_name|/actor|/adapter"),
    ("FROM", "/peer"),
    ("WHAT", "/action"),
    ("ABOUT", "/name|/object|/root_key|/approval|/identity|/ca_rule|/adapter"),
    ("OUTCOME", "/outcome"),
    ("LACKED", "/permission"),
];
