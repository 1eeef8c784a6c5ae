//! How the HSM was when somebody looked last: for those who must not wait for it.

use hal::{Health, TokenState};
use parking_lot::Mutex;

/// How the HSM was when somebody looked last.
#[derive(Debug, Default)]
pub struct HsmView(Mutex<Option<HsmSeen>>);

/// How the HSM was.
#[derive(Clone, Debug)]
pub struct HsmSeen {
    /// All of it.
    pub health: Health,
    /// Each of its tokens.
    pub tokens: Vec<TokenState>,
}

impl HsmView {
    /// Notes how it is.
    pub fn set(&self, seen: HsmSeen) {
        *self.0.lock() = Some(seen);
    }

    /// How it was; `None` before somebody looked.
    #[must_use]
    pub fn last(&self) -> Option<HsmSeen> {
        self.0.lock().clone()
    }
}
