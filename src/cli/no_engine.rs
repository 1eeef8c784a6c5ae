//! Stands in until the engine is joined: every request ends its connection.

use zeroize::Zeroizing;

use crate::net::{Handler, PeerIdentity, Reply};

pub(super) struct NoEngine;

impl Handler for NoEngine {
    fn handle(&self, _peer: &PeerIdentity, _request: Zeroizing<Vec<u8>>) -> Reply {
        Reply { bytes: Zeroizing::new(Vec::new()), close: true }
    }

    fn too_large(&self, _limit: u32) -> Option<Reply> {
        None
    }
}
