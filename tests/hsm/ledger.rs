//! What clients were told, and what must therefore be true.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Mutex,
};

use kmip::{
    attributes::Attribute,
    client::{ClientError, Refusal},
    enums::ResultReason,
    payloads::LocateRequest,
};

use crate::harness::{
    ask::{found, get, locate, material},
    server::Connection,
};

/// The group that all keys of a test belong to.
pub(super) const GROUP: &str = "ledger";

/// Every key that was acknowledged.
#[derive(Default)]
pub(super) struct Ledger {
    entries: Mutex<HashMap<String, Entry>>,
}

/// What is known of a key.
#[derive(Clone, Default)]
pub(super) struct Entry {
    /// What the first Get returned.
    pub(super) bytes: Option<Vec<u8>>,
    destroyed: bool,
    /// Somebody is at work on it.
    leased: bool,
}

impl Ledger {
    /// A Create was acknowledged.
    pub(super) fn made(&self, id: String) {
        let before = self.entries.lock().unwrap().insert(id.clone(), Entry::default());
        assert!(before.is_none(), "{id} was made twice");
    }

    /// A live key that nobody else is at work on, for one operation.
    pub(super) fn lease(&self, dice: usize) -> Option<(String, Entry)> {
        let mut entries = self.entries.lock().unwrap();
        let free = entries.iter_mut().filter(|(_, entry)| !entry.destroyed && !entry.leased);
        let mut free: Vec<_> = free.collect();
        if free.is_empty() {
            return None;
        }
        let place = dice % free.len();
        let (id, entry) = free.swap_remove(place);
        entry.leased = true;
        Some((id.clone(), entry.clone()))
    }

    /// The operation is over; what Get returned, if it did.
    pub(super) fn release(&self, id: &str, bytes: Option<Vec<u8>>) {
        let mut entries = self.entries.lock().unwrap();
        let entry = entries.get_mut(id).expect("it was leased");
        entry.leased = false;
        if let Some(bytes) = bytes {
            let known = entry.bytes.get_or_insert_with(|| bytes.clone());
            assert_eq!(*known, bytes, "{id} has another key now");
        }
    }

    /// A Destroy was acknowledged.
    pub(super) fn destroyed(&self, id: &str) {
        let mut entries = self.entries.lock().unwrap();
        let entry = entries.get_mut(id).expect("it was leased");
        (entry.leased, entry.destroyed) = (false, true);
    }

    /// Live and destroyed keys.
    pub(super) fn counts(&self) -> (usize, usize) {
        let entries = self.entries.lock().unwrap();
        let destroyed = entries.values().filter(|entry| entry.destroyed).count();
        (entries.len() - destroyed, destroyed)
    }

    /// The server has exactly the live keys, each with its bytes, and hands out none of the destroyed ones.
    pub(super) fn check(&self, client: &mut Connection) {
        let entries = self.entries.lock().unwrap().clone();
        let all = LocateRequest { maximum_items: Some(100_000), ..locate([Attribute::ObjectGroup(GROUP.to_owned())]) };
        let located = found(client.call(all).unwrap());
        let there: BTreeSet<&str> = located.iter().map(String::as_str).collect();
        assert_eq!(there.len(), located.len(), "a key is there twice");
        let live = entries.iter().filter(|(_, entry)| !entry.destroyed).map(|(id, _)| id.as_str());
        assert_eq!(there, live.collect(), "what is there is not what was acknowledged");
        for (id, entry) in &entries {
            match client.call(get(id)) {
                Ok(response) => {
                    assert!(!entry.destroyed, "{id} was destroyed and is handed out");
                    let bytes = material(response);
                    assert_eq!(bytes.len(), 32);
                    assert!(entry.bytes.as_ref().is_none_or(|known| *known == bytes), "{id} has another key now");
                }
                Err(error) => assert!(entry.destroyed, "{id} was acknowledged and does not open: {error}"),
            }
        }
    }
}

/// Whether a refusal says what is true while the token is away: that, and nothing about the object.
pub(super) fn is_outage(error: &ClientError) -> bool {
    let ClientError::Refused(Refusal { reason, message, .. }) = error else { return false };
    *reason == Some(ResultReason::GeneralFailure)
        && message.as_ref().is_some_and(|text| text.starts_with("the HSM is not available"))
}
