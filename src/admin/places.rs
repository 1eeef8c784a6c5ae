//! Places for connections: so many in all, and at most half of them for one address.
//!
//! Without the second bound one stranger who connects and says nothing could keep everybody else out. The machine itself may
//! take all of them: a proxy on it brings many people.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::net::network;

/// The places of a listener.
#[derive(Debug)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    of_one_address: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A place that is taken; free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    address: IpAddr,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Places {
    /// For `connections` at a time.
    pub(super) fn new(connections: u32) -> Self {
        let connections = connections as usize;
        Self {
            all: Arc::new(Semaphore::new(connections)),
            of_one_address: connections.div_ceil(2),
            taken: Arc::default(),
        }
    }

    /// Waits until there is a place.
    pub(super) async fn free(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.all).acquire_owned().await.ok()
    }

    /// Gives a free place to `address`; `None` where it has its share.
    pub(super) fn give(&self, permit: OwnedSemaphorePermit, address: IpAddr) -> Option<Place> {
        let address = network(address);
        let mut taken = self.taken.lock();
        let count = taken.entry(address).or_default();
        if *count >= self.of_one_address && !address.is_loopback() {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Place { _permit: permit, address, taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_address_takes_half_of_the_places_and_the_machine_itself_all() {
        let places = Places::new(4);
        let there: IpAddr = "192.0.2.1".parse().unwrap();
        let mut held = Vec::new();
        for _ in 0..2 {
            held.push(places.give(places.free().await.unwrap(), there).unwrap());
        }
        assert!(places.give(places.free().await.unwrap(), there).is_none());
        held.push(places.give(places.free().await.unwrap(), "2001:db8::1".parse().unwrap()).unwrap());
        held.clear();
        assert!(places.taken.lock().is_empty(), "nothing is remembered of those who are gone");
        for _ in 0..4 {
            held.push(places.give(places.free().await.unwrap(), "::1".parse().unwrap()).unwrap());
        }
        assert_eq!(places.all.available_permits(), 0);
    }
}
