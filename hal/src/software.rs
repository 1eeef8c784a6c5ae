//! Software backend (in the making).
