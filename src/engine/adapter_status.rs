//! What an adapter can do at the moment: for operators who ask why its clients are refused.

use crate::{
    store::{AdapterId, RootKeyState, Store, StoreError},
    trust::Trust,
};

/// What an adapter can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterStatus {
    /// Everything.
    Active,
    /// Its keys can be looked for, changed and destroyed, but none is handed out or made until an operator resumes its root key.
    RootKeySuspended,
    /// The same, for ever: what its root key protected is lost.
    RootKeyDestroyed {
        /// When, in seconds since 1970-01-01 UTC.
        at: i64,
    },
    /// Nobody can connect as it any more, and its objects are being destroyed.
    Deleting,
}

impl AdapterStatus {
    /// Its name in listings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::RootKeySuspended => "root-key-suspended",
            Self::RootKeyDestroyed { .. } => "root-key-destroyed",
            Self::Deleting => "deleting",
        }
    }
}

/// What the adapter `id` can do; `None` where there is none.
///
/// # Errors
/// The store failed.
pub fn adapter_status(store: &Store, trust: &Trust, id: AdapterId) -> Result<Option<AdapterStatus>, StoreError> {
    let Some(adapter) = trust.adapter(id) else {
        let deleted = store.deleted_adapters()?.iter().any(|deleted| deleted.id == id);
        return Ok(deleted.then_some(AdapterStatus::Deleting));
    };
    Ok(trust.root_key(adapter.root_key).map(|root_key| match root_key.state {
        RootKeyState::Active => AdapterStatus::Active,
        RootKeyState::Suspended => AdapterStatus::RootKeySuspended,
        RootKeyState::Destroyed => {
            AdapterStatus::RootKeyDestroyed { at: root_key.destroyed_at.unwrap_or(root_key.changed_at) }
        }
    }))
}
