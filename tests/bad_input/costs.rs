//! Requests made to cost much.
