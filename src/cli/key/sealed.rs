//! How an object is sealed, which is for those who look at the machine itself.

use hal::RootKeyInfo;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    cli::{
        CliError,
        admin::shown_time,
        api::Here,
        output::say,
        root_key::{protection, state_name},
    },
    store::{AdapterId, ObjectId, RootKeyState},
    vault::Vault,
};

/// How an object is sealed.
#[derive(Serialize)]
pub(super) struct Sealed {
    /// Bytes in the database: wrapped KEK, nonce, ciphertext and tag.
    bytes: usize,
    /// How the root key wraps the object's KEK; `None` where the KEK was erased.
    scheme: Option<&'static str>,
    /// Bytes of the wrapped KEK.
    wrapped_kek_bytes: usize,
    /// The version of the root key that wraps it.
    version: Option<u32>,
    /// What operators decided about the root key.
    root_key_state: &'static str,
    /// The root key as the HSM tells it; `None` once it is destroyed.
    root_key: Option<RootKeyInfo>,
    /// Why the object's material cannot be had, now or ever.
    closed: Option<String>,
}

impl Sealed {
    /// How the object `id` is sealed, as the database has it; `None` where it is destroyed and its material gone.
    pub(super) fn of(here: &Here, id: Uuid, object: &Value) -> Result<Option<Self>, CliError> {
        let store = &here.admin.store;
        let adapter = object.get("adapter").and_then(Value::as_str).and_then(|id| id.parse().ok()).map(AdapterId);
        let Some(adapter) = adapter.map(|id| store.adapter(id)).transpose()?.flatten() else { return Ok(None) };
        let Some(sealed) = store.object(adapter.id, ObjectId(id))?.and_then(|row| row.sealed) else { return Ok(None) };
        let rows = store.root_keys()?;
        let root = rows.iter().find(|root| root.id == adapter.root_key).ok_or(CliError::SealedDamaged)?;
        let closed = match root.state {
            RootKeyState::Active => None,
            RootKeyState::Suspended => Some(format!(
                "its root key {:?} is suspended: the object opens again once that is resumed (keystead root-key resume)",
                root.label
            )),
            RootKeyState::Destroyed => Some(format!(
                "its root key {:?} was destroyed {}: its material cannot be recovered",
                root.label,
                shown_time(root.destroyed_at.unwrap_or(root.changed_at))
            )),
        };
        let wrapped = match root.state {
            RootKeyState::Destroyed => None,
            _ => Some(Vault::wrapping_of(&sealed).ok_or(CliError::SealedDamaged)?),
        };
        let root_key = match &wrapped {
            Some(wrapped) => Some(here.hsm()?.describe_root(wrapped.key())?),
            None => None,
        };
        Ok(Some(Self {
            bytes: sealed.bytes(),
            scheme: wrapped.as_ref().map(|wrapped| wrapped.scheme.name()),
            wrapped_kek_bytes: wrapped.as_ref().map_or(0, |wrapped| wrapped.ciphertext.len()),
            version: wrapped.as_ref().map(|wrapped| wrapped.version),
            root_key_state: state_name(root.state),
            root_key,
            closed,
        }))
    }

    /// Says it in words.
    pub(super) fn print(sealed: Option<&Self>) {
        let Some(sealed) = sealed else { return say("sealed      destroyed: its material is gone") };
        say(format_args!("sealed      {} bytes: AES-256-GCM under a key of its own (KEK)", sealed.bytes));
        if let (Some(scheme), Some(version)) = (sealed.scheme, sealed.version) {
            let kek = sealed.wrapped_kek_bytes;
            say(format_args!("KEK         wrapped by version {version} of the root key with {scheme}, {kek} bytes"));
        }
        if let Some(root) = &sealed.root_key {
            say(format_args!("root key    {:?}, {}, KCV {}", root.label.as_str(), root.id, root.kcv));
            for token in &root.tokens {
                say(format_args!("token       {:?}, serial {}, {}", token.label, token.serial, token.model));
            }
            if root.tokens.is_empty() {
                say("token       none: software root key, not an HSM");
            }
            say(format_args!("it says     {}", protection(root)));
        }
        if let Some(closed) = &sealed.closed {
            say(format_args!("closed      {closed}"));
        }
    }
}
