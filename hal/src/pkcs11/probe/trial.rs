//! Tries out a token on throw-away session keys: what it does, as opposed to what it says, and whether root keys may be on it.

use cryptoki::{
    context::Pkcs11,
    error::Error,
    mechanism::{Mechanism, aead::GcmParams},
    object::{Attribute, KeyType, ObjectClass, ObjectHandle},
    session::Session,
    slot::Slot,
};
use serde::Serialize;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::super::{
    checks::{self, code},
    profile::{IvMode, ProviderProfile},
    recovery::Fault,
    schemes::{self, RootRef},
    self_test, signers,
};
use crate::{Kek, RootKeyId, RootKeyVersion, SelfCheck, SignScheme, SignerKind, WrapScheme};

/// Sessions beyond the first that are opened to see whether the token lets them be; more than `workers` is by default.
const SESSIONS_TRIED: usize = 16;

/// What the token did.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    /// The make of token that it was taken for: a page of `docs/hsm/`.
    pub profile: &'static str,
    /// Whether root keys may be on this token.
    pub usable: bool,
    /// Why: each reason against it, or that there is none.
    pub why: Vec<String>,
    /// The scheme that new KEKs would be wrapped with.
    pub scheme: Option<WrapScheme>,
    /// Why that one.
    pub scheme_why: String,
    /// The schemes that work, best first; blobs of each would open.
    pub schemes: Vec<WrapScheme>,
    /// Whose IV `aes-gcm` uses, as it came out; `None` where that scheme does not work.
    pub iv: Option<IvMode>,
    /// Whether a protected key stays inside.
    pub keeps_keys_inside: bool,
    /// Each way out that was tried.
    pub enforcement: Vec<SelfCheck>,
    /// What was tried with keys: making, taking in, wrapping, signing.
    pub mechanisms: Vec<SelfCheck>,
    /// How many sessions may be open.
    pub sessions: SessionTrial,
    /// How many session objects the trial left behind; 0, or the token does not destroy what it should.
    pub objects_left: usize,
}

/// How many sessions may be open.
#[derive(Clone, Debug, Serialize)]
pub struct SessionTrial {
    /// The most that the token says it allows; `None` where it does not say or has no limit.
    pub stated: Option<u64>,
    /// How many were tried, beside the one of the trial itself.
    pub tried: usize,
    /// How many opened.
    pub opened: usize,
    /// What stopped them, where something did.
    pub refused_with: Option<String>,
}

/// Tries everything; `stated` is the token's own session limit, `pinned` the scheme that the operator demands. Whatever the
/// token refuses is in the report.
pub(super) fn try_out(
    module: &Pkcs11,
    slot: Slot,
    session: &Session,
    profile: &ProviderProfile,
    stated: Option<u64>,
    pinned: Option<WrapScheme>,
) -> Trial {
    let before = session_objects(session);
    let made = session.generate_key(&Mechanism::AesKeyGen, &root_template(true));
    let mut mechanisms = vec![seen("makes-aes-256-keys", made.as_ref().map(|_| "a key of 32 bytes"))];
    let mut enforcement = Vec::new();
    let (mut schemes, mut iv) = (Vec::new(), None);
    if let Ok(handle) = made {
        // A token on which nothing works is tried in the way that its profile has first.
        let (_, dialect) = self_test::proven_schemes(session, profile).unwrap_or((Vec::new(), profile.dialect()));
        let root = RootRef { key: RootKeyVersion::first(RootKeyId::from_uuid(Uuid::nil())), handle, dialect };
        enforcement = checks::enforcement(session, root).unwrap_or_else(|fault| vec![not_learnt(&fault)]);
        for &scheme in profile.order {
            let check = checks::round_trip(session, root, scheme).unwrap_or_else(|fault| not_learnt(&fault));
            if check.passed {
                schemes.push(scheme);
            }
            mechanisms.push(check);
        }
        iv = schemes.contains(&WrapScheme::AesGcm).then_some(dialect.iv);
        mechanisms.push(gcm(session, handle));
        mechanisms.extend(check_values(session, handle));
        mechanisms.push(seen("destroys-keys", session.destroy_object(handle).as_ref().map(|()| "the key is gone")));
    }
    mechanisms.push(import(session));
    mechanisms.extend(SignerKind::ALL.into_iter().map(|kind| signs(session, kind)));
    mechanisms.push(random(session));
    let (scheme, scheme_why) = choose(&schemes, pinned);
    let why = reasons_against(&mechanisms, &enforcement, scheme.is_some(), &scheme_why);
    Trial {
        profile: profile.name,
        usable: why.is_empty(),
        why: if why.is_empty() { vec!["every check that a root key depends on passed".to_owned()] } else { why },
        scheme,
        scheme_why,
        schemes,
        iv,
        keeps_keys_inside: !enforcement.is_empty() && enforcement.iter().all(|check| check.passed),
        enforcement,
        mechanisms,
        sessions: open_sessions(module, slot, stated),
        objects_left: session_objects(session).saturating_sub(before),
    }
}

fn choose(working: &[WrapScheme], pinned: Option<WrapScheme>) -> (Option<WrapScheme>, String) {
    match (pinned, working.first()) {
        (Some(pinned), _) if working.contains(&pinned) => {
            (Some(pinned), format!("hsm.scheme asks for {pinned}, and it works"))
        }
        (Some(pinned), _) => (None, format!("hsm.scheme asks for {pinned}, which does not work on this token")),
        (None, Some(&best)) => {
            let why = match best {
                WrapScheme::AesGcm => "it binds each key to its root key and makes no object on the token",
                WrapScheme::AesKw => "aes-gcm does not work here; this is the next best",
                WrapScheme::AesKwp => "neither aes-gcm nor aes-kw works here",
            };
            (Some(best), format!("{best}: {why}"))
        }
        (None, None) => (None, "no wrap scheme works on this token".to_owned()),
    }
}

/// What speaks against root keys on this token.
fn reasons_against(
    mechanisms: &[SelfCheck],
    enforcement: &[SelfCheck],
    has_scheme: bool,
    scheme_why: &str,
) -> Vec<String> {
    let failed = |name: &str| mechanisms.iter().find(|check| check.name == name && !check.passed);
    let mut why = Vec::new();
    if let Some(check) = failed("makes-aes-256-keys") {
        why.push(format!("it makes no AES-256 keys that are sensitive and not extractable: {}", check.detail));
        return why;
    }
    for check in enforcement.iter().filter(|check| !check.passed) {
        why.push(format!("a key that must stay inside comes out ({}): {}", check.name, check.detail));
    }
    if !has_scheme {
        why.push(scheme_why.to_owned());
    }
    if failed("check-value-by-aes-ecb").is_some() && failed("check-value-by-aes-cbc").is_some() {
        let by_gcm = mechanisms.iter().any(|check| check.name == "aes-gcm-with-an-iv-of-12-bytes" && check.passed);
        if !by_gcm {
            why.push("no key check value can be computed: it offers neither AES-ECB, AES-CBC nor AES-GCM".to_owned());
        }
    }
    if let Some(check) = failed("destroys-keys") {
        why.push(format!("it does not destroy what it is told to destroy: {}", check.detail));
    }
    why
}

fn seen(name: &str, result: Result<&str, &Error>) -> SelfCheck {
    match result {
        Ok(detail) => SelfCheck::new(name, true, detail),
        Err(error) => SelfCheck::new(name, false, code(error)),
    }
}

fn not_learnt(fault: &Fault) -> SelfCheck {
    SelfCheck::new("connection", false, format!("the login or the token was lost while it was tried: {fault:?}"))
}

/// A session key protected as a root key is.
fn root_template(make: bool) -> Vec<Attribute> {
    let mut template = vec![
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::Wrap(true),
        Attribute::Unwrap(true),
    ];
    if make {
        template.push(Attribute::ValueLen(32.into()));
    }
    template
}

/// AES-GCM with additional data and an IV of 12 bytes, and what becomes of the IV.
fn gcm(session: &Session, key: ObjectHandle) -> SelfCheck {
    const NAME: &str = "aes-gcm-with-an-iv-of-12-bytes";
    let (given, plain) = ([0xa5; 12], Zeroizing::new([0x5a; Kek::LEN]));
    let mut iv = given;
    let sealed = seal(session, key, &mut iv, b"context", plain.as_slice());
    let sealed = match sealed {
        Ok(sealed) => sealed,
        Err(error) => return SelfCheck::new(NAME, false, code(&error)),
    };
    let words = if iv == given { "the IV given is used" } else { "the token writes an IV of its own into the buffer" };
    let opened = open(session, key, iv, b"context", &sealed);
    if !opened.is_ok_and(|opened| opened.as_slice() == plain.as_slice()) {
        return SelfCheck::new(NAME, false, "what it sealed does not open");
    }
    match open(session, key, iv, b"another", &sealed) {
        Ok(_) => SelfCheck::new(NAME, false, "it opens with other additional data"),
        Err(error) => {
            let detail = format!("{words}; other additional data is refused with {}", code(&error));
            SelfCheck::new(NAME, true, detail)
        }
    }
}

fn seal(session: &Session, key: ObjectHandle, iv: &mut [u8], context: &[u8], plain: &[u8]) -> Result<Vec<u8>, Error> {
    session.encrypt(&Mechanism::AesGcm(GcmParams::new(iv, context, 128.into())?), key, plain)
}

fn open(
    session: &Session,
    key: ObjectHandle,
    mut iv: [u8; 12],
    context: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    session.decrypt(&Mechanism::AesGcm(GcmParams::new(&mut iv, context, 128.into())?), key, sealed).map(Zeroizing::new)
}

/// The ways to a key check value. One is enough.
fn check_values(session: &Session, key: ObjectHandle) -> [SelfCheck; 2] {
    [("check-value-by-aes-ecb", Mechanism::AesEcb), ("check-value-by-aes-cbc", Mechanism::AesCbc([0; 16]))].map(
        |(name, mechanism)| {
            let block = session.encrypt(&mechanism, key, &[0; 16]);
            seen(name, block.as_ref().map(|_| "a block of zeros was encrypted"))
        },
    )
}

/// Takes in a key whose check value is known: AES-256 of a block of zeros under 00 01 .. 1f begins f2 90 00.
fn import(session: &Session) -> SelfCheck {
    const NAME: &str = "takes-in-keys";
    let mut template = root_template(false);
    template.extend([
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Value((0..32).collect()),
    ]);
    let created = session.create_object(&template);
    schemes::wipe_values(&mut template);
    let handle = match created {
        Ok(handle) => handle,
        Err(error) => return SelfCheck::new(NAME, false, code(&error)),
    };
    let block = session.encrypt(&Mechanism::AesEcb, handle, &[0; 16]);
    let right = block.as_ref().is_ok_and(|block| block.starts_with(&[0xf2, 0x90, 0x00]));
    let destroyed = session.destroy_object(handle);
    match (block, destroyed) {
        (_, Err(error)) => SelfCheck::new(NAME, false, format!("it is not destroyed again: {}", code(&error))),
        (Err(error), _) => SelfCheck::new(NAME, true, format!("its check value was not compared: {}", code(&error))),
        (Ok(_), _) if right => SelfCheck::new(NAME, true, "its check value is that of its bytes"),
        (Ok(_), _) => SelfCheck::new(NAME, false, "its check value is not that of its bytes"),
    }
}

/// Makes a key pair of this kind and signs in every way that fits it.
fn signs(session: &Session, kind: SignerKind) -> SelfCheck {
    let name = format!("signs-with-{kind}");
    let (mechanism, public, private) = signers::templates(kind, false);
    let (public, private) = match session.generate_key_pair(&mechanism, &public, &private) {
        Ok(pair) => pair,
        Err(error) => return SelfCheck::new(name, false, format!("it makes no such key: {}", code(&error))),
    };
    let key = signers::read_public(session, public).ok().flatten().map(|(_, key)| key).unwrap_or_default();
    let (mut works, mut fails) = (Vec::new(), Vec::new());
    for scheme in SignScheme::ALL.into_iter().filter(|scheme| scheme.fits(kind)) {
        let input = signers::input(b"message", scheme);
        match session.sign(&signers::mechanism(scheme), private, &input) {
            Err(error) => fails.push(format!("{} ({})", scheme.name(), code(&error))),
            Ok(signature) => {
                let good = signers::encoded(signature, kind)
                    .is_some_and(|signature| signers::verifies(&key, b"message", &signature, scheme));
                if good {
                    works.push(scheme.name())
                } else {
                    fails.push(format!("{} (does not verify)", scheme.name()))
                }
            }
        }
    }
    let destroyed = session.destroy_object(private).and(session.destroy_object(public));
    if let Err(error) = destroyed {
        fails.push(format!("the key is not destroyed again ({})", code(&error)));
    }
    let passed = fails.is_empty();
    let mut detail = works.join(", ");
    if !passed {
        detail.push_str(if detail.is_empty() { "not " } else { "; not " });
        detail.push_str(&fails.join(", "));
    }
    SelfCheck::new(name, passed, detail)
}

fn random(session: &Session) -> SelfCheck {
    let (mut one, mut other) = ([0; 32], [0; 32]);
    let filled = session.generate_random_slice(&mut one).and_then(|()| session.generate_random_slice(&mut other));
    match filled {
        Err(error) => SelfCheck::new("random-numbers", false, code(&error)),
        Ok(()) if one == other => SelfCheck::new("random-numbers", false, "the same 32 bytes twice"),
        Ok(()) => SelfCheck::new("random-numbers", true, "32 bytes twice, and different"),
    }
}

fn open_sessions(module: &Pkcs11, slot: Slot, stated: Option<u64>) -> SessionTrial {
    let mut open = Vec::new();
    let mut refused_with = None;
    for _ in 0..SESSIONS_TRIED {
        match module.open_rw_session(slot) {
            Ok(session) => open.push(session),
            Err(error) => {
                refused_with = Some(code(&error));
                break;
            }
        }
    }
    SessionTrial { stated, tried: SESSIONS_TRIED, opened: open.len(), refused_with }
}

fn session_objects(session: &Session) -> usize {
    session.find_objects(&[Attribute::Token(false)]).map_or(0, |found| found.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, passed: bool) -> SelfCheck {
        SelfCheck::new(name, passed, "CKR_SOMETHING")
    }

    #[test]
    fn a_pinned_scheme_is_taken_or_nothing_is() {
        let works = [WrapScheme::AesKw];
        assert_eq!(choose(&works, None).0, Some(WrapScheme::AesKw));
        assert_eq!(choose(&works, Some(WrapScheme::AesKw)).0, Some(WrapScheme::AesKw));
        assert_eq!(choose(&works, Some(WrapScheme::AesGcm)).0, None);
        assert_eq!(choose(&[], None).0, None);
    }

    #[test]
    fn each_reason_against_a_token_is_named() {
        let good = [check("makes-aes-256-keys", true), check("check-value-by-aes-ecb", true)];
        assert!(reasons_against(&good, &[check("value-unreadable", true)], true, "").is_empty());
        let leaks = reasons_against(&good, &[check("not-copied-to-extractable", false)], true, "");
        assert!(leaks[0].contains("not-copied-to-extractable") && leaks[0].contains("CKR_SOMETHING"), "{leaks:?}");
        assert_eq!(reasons_against(&good, &[], false, "no scheme"), ["no scheme"]);
        let ecb = [check("check-value-by-aes-ecb", false), check("check-value-by-aes-cbc", false)];
        assert_eq!(reasons_against(&ecb, &[], true, "").len(), 1);
        let [a, b] = ecb;
        assert!(reasons_against(&[a, b, check("aes-gcm-with-an-iv-of-12-bytes", true)], &[], true, "").is_empty());
        assert_eq!(reasons_against(&[check("makes-aes-256-keys", false)], &[], false, "no scheme").len(), 1);
        // A token that does not sign may still hold root keys.
        assert!(reasons_against(&[check("signs-with-rsa-2048", false)], &[], true, "").is_empty());
    }
}
