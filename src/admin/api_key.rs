//! The text of an API key: `ks_`, its identifier, `_`, and 256 random bits. Only the bits' digest is kept.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use ring::{
    digest::{SHA256, digest},
    error::Unspecified,
    rand::{SecureRandom as _, SystemRandom},
};
use uuid::Uuid;
use zeroize::Zeroizing;

const PREFIX: &str = "ks_";

/// An API key as its holder gives it.
pub(super) struct ApiKey {
    /// Its identifier. Not secret.
    pub(super) id: Uuid,
    secret: Zeroizing<[u8; 32]>,
}

impl ApiKey {
    /// A new one.
    ///
    /// # Errors
    /// There are no random numbers.
    pub(super) fn generate() -> Result<Self, Unspecified> {
        let mut secret = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(&mut *secret)?;
        Ok(Self { id: Uuid::new_v4(), secret })
    }

    /// Reads the text; `None` where it cannot be a key.
    #[must_use]
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let is_lower_hex = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        let id = Some(id).filter(|id| id.len() == 32 && id.bytes().all(is_lower_hex))?;
        let mut bytes = Zeroizing::new([0; 32]);
        let length = Base64UrlUnpadded::decode(secret, &mut *bytes).ok()?.len();
        (length == 32).then_some(Self { id: Uuid::parse_str(id).ok()?, secret: bytes })
    }

    /// The text for its holder: the only time that the secret is shown.
    #[must_use]
    pub(super) fn text(&self) -> Zeroizing<String> {
        let mut secret = Zeroizing::new([0; 43]);
        // Thirty-two bytes always fit.
        let secret = Base64UrlUnpadded::encode(&*self.secret, &mut *secret).unwrap_or_default();
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 32 + 1 + 43));
        text.push_str(PREFIX);
        text.push_str(self.id.simple().encode_lower(&mut Uuid::encode_buffer()));
        text.push('_');
        text.push_str(secret);
        text
    }

    /// What is kept of the secret.
    #[must_use]
    pub(super) fn hash(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &*self.secret).as_ref());
        hash
    }

    /// Whether this is the key of which `hash` is kept; takes the same time whatever the answer.
    #[must_use]
    pub(super) fn is_of(&self, hash: &[u8; 32]) -> bool {
        verify_slices_are_equal(&self.hash(), hash).is_ok()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_its_neighbours_do_not() {
        let key = ApiKey::generate().unwrap();
        let text = key.text();
        let read = ApiKey::parse(&text).unwrap();
        assert_eq!(read.id, key.id);
        assert!(read.is_of(&key.hash()));
        assert!(!ApiKey::generate().unwrap().is_of(&key.hash()));
        for bad in [
            "",
            "ks_",
            "ks__",
            &text[1..],
            &text[..text.len() - 1],
            &format!("{}A", *text),
            &text.to_uppercase(),
            &text.replace("ks_", "ks-"),
        ] {
            assert!(ApiKey::parse(bad).is_none(), "{bad}");
        }
        assert!(!format!("{key:?}").contains(text.splitn(3, '_').last().unwrap()));
    }
}
