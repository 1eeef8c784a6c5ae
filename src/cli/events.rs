//! How events of the audit log are listed, of one adapter or of all.

use super::view::Column;

/// The columns of a list of events.
pub(super) const COLUMNS: [Column; 7] = [
    ("TIME", "/time"),
    ("WHO", "/actor_name"),
    ("FROM", "/peer"),
    ("WHAT", "/operation"),
    ("OUTCOME", "/outcome"),
    ("NAME", "/name"),
    ("OBJECT", "/object"),
];
