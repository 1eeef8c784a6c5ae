//! How events of the audit log are listed, of one adapter or of all.

use super::view::Column;

/// The columns of a list of events.
pub(super) const COLUMNS: [Column; 6] = [
    ("TIME", "/time"),
    ("WHO", "/actor"),
    ("WHAT", "/operation"),
    ("ABOUT", "/object"),
    ("OUTCOME", "/outcome"),
    ("FROM", "/peer"),
];
