//! What a token and a root key must prove before a KEK is trusted to them.
//!
//! A token's word (its mechanism list, a CKA_ attribute) is never enough: NSS marks keys unextractable and lets them out.

use cryptoki::{
    mechanism::Mechanism,
    object::{Attribute, AttributeType, ObjectHandle},
    session::Session,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    checks,
    profile::{Dialect, ProviderProfile},
    recovery::Fault,
    schemes::{self, RootRef},
};
use crate::{
    HalError, Kcv, Kek, Outage, Refusal, RootKeyAttributes, RootKeyId, RootKeyVersion, WrapScheme, WrappedKek,
};

/// How often a scheme is tried where the token answers with a failure of its own.
const ATTEMPTS: usize = 3;

/// A root key that passed, with a blob whose content is known: opening it tells a dead token from a damaged row.
pub(super) struct BoundRoot {
    pub(super) root: RootRef,
    /// What new KEKs are wrapped with.
    pub(super) scheme: WrapScheme,
    /// The check value on record that it was held to, if there was one.
    pub(super) held_to: Option<Kcv>,
    known: Kek,
    known_wrapped: WrappedKek,
}

impl BoundRoot {
    /// Whether the token still opens the known blob.
    pub(super) fn is_alive(&self, session: &Session) -> bool {
        self.is_same_key(session, self)
    }

    /// Whether the token opens a known blob of that scheme: one scheme may work while another does not.
    pub(super) fn is_alive_for(&self, session: &Session, scheme: WrapScheme) -> bool {
        if scheme == self.scheme {
            return self.is_alive(session);
        }
        let fresh = schemes::wrap(session, self.root, scheme, &self.known);
        let opened = fresh.and_then(|wrapped| schemes::unwrap(session, self.root, &wrapped));
        matches!(opened, Ok(kek) if kek.is_same(&self.known))
    }

    /// Whether this key opens what `earlier` wrapped: whether both are one key.
    pub(super) fn is_same_key(&self, session: &Session, earlier: &Self) -> bool {
        let opened = schemes::unwrap(session, self.root, &earlier.known_wrapped);
        matches!(opened, Ok(kek) if kek.is_same(&earlier.known))
    }
}

/// Tests a root key that was held to the check value `held_to`; `candidates` are the schemes to try, best first.
pub(super) fn bind(
    session: &Session,
    root: RootRef,
    candidates: &[WrapScheme],
    held_to: Option<Kcv>,
) -> Result<BoundRoot, Fault> {
    let attributes = attributes(session, root.handle)?;
    if attributes.sensitive != Some(true) || attributes.extractable != Some(false) {
        tracing::error!(root = %root.key, ?attributes, "root key refused: it must be SENSITIVE and not EXTRACTABLE");
        return Err(Refusal::KeyNotProtected.into());
    }
    stays_inside(session, root)?;
    for &scheme in candidates {
        match patient_round_trip(session, root, scheme) {
            Ok((known, known_wrapped)) => return Ok(BoundRoot { root, scheme, held_to, known, known_wrapped }),
            // The scheme worked on this token before, so it is the token that fails now.
            Err(fault) if fault.is_failure_of_token() => return Err(fault),
            Err(fault) => tracing::warn!(root = %root.key, %scheme, ?fault, "a wrap scheme failed its self-test"),
        }
    }
    Err(Refusal::NoWorkingScheme.into())
}

/// What a token of that make does with a throw-away session key: the schemes that work, best first, and how it is spoken to.
/// Leaves no object behind.
pub(super) fn proven_schemes(
    session: &Session,
    profile: &ProviderProfile,
) -> Result<(Vec<WrapScheme>, Dialect), Fault> {
    let root = throw_away_root(session, profile)?;
    let (mut proven, mut dialect, mut failed) = (Vec::new(), root.dialect, None);
    for &scheme in profile.order {
        for variant in profile.variants(scheme, dialect) {
            match patient_round_trip(session, RootRef { dialect: variant, ..root }, scheme) {
                Ok(_) => {
                    proven.push(scheme);
                    dialect = variant;
                    break;
                }
                Err(fault) if fault.is_failure_of_token() => failed = Some(fault),
                Err(_) => {}
            }
        }
    }
    session.destroy_object(root.handle)?;
    // A token that does not work now proves nothing; one on which something works may fail the rest in its own way.
    failed.filter(|_| proven.is_empty()).map_or(Ok((proven, dialect)), Err)
}

fn throw_away_root(session: &Session, profile: &ProviderProfile) -> Result<RootRef, Fault> {
    let template = [
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::Wrap(true),
        Attribute::Unwrap(true),
        Attribute::ValueLen(32.into()),
    ];
    let handle = session.generate_key(&Mechanism::AesKeyGen, &template)?;
    Ok(RootRef { key: RootKeyVersion::first(RootKeyId::from_uuid(Uuid::nil())), handle, dialect: profile.dialect() })
}

/// A root key's attributes as the token reports them; what it does not report stays `None`.
pub(super) fn attributes(session: &Session, key: ObjectHandle) -> Result<RootKeyAttributes, Fault> {
    let wanted = [
        AttributeType::Sensitive,
        AttributeType::Extractable,
        AttributeType::Local,
        AttributeType::AlwaysSensitive,
        AttributeType::NeverExtractable,
    ];
    let mut read = RootKeyAttributes::default();
    for attribute in session.get_attributes(key, &wanted)? {
        match attribute {
            Attribute::Sensitive(value) => read.sensitive = Some(value),
            Attribute::Extractable(value) => read.extractable = Some(value),
            Attribute::Local(value) => read.local = Some(value),
            Attribute::AlwaysSensitive(value) => read.always_sensitive = Some(value),
            Attribute::NeverExtractable(value) => read.never_extractable = Some(value),
            _ => {}
        }
    }
    Ok(read)
}

/// Tries to get the key out in each way that PKCS#11 has; every one must fail. Which code it fails with is the token's own
/// affair, and that the token is alive at all is shown by the round trip that follows.
fn stays_inside(session: &Session, root: RootRef) -> Result<(), Fault> {
    let mut stays = true;
    for check in checks::enforcement(session, root)?.iter().filter(|check| !check.passed) {
        tracing::error!(root = %root.key, check = check.name, seen = check.detail, "root key refused: it does not stay inside");
        stays = false;
    }
    if stays { Ok(()) } else { Err(Refusal::TokenNotEnforcing.into()) }
}

pub(super) fn random_kek() -> Result<Kek, Fault> {
    let mut bytes = Zeroizing::new([0; Kek::LEN]);
    let failed = |_| Fault::Stop(HalError::Unavailable(Outage::DeviceFailed));
    SystemRandom::new().fill(bytes.as_mut_slice()).map_err(failed)?;
    Ok(Kek::new(bytes))
}

/// Repeats a round trip that failed for a reason which may pass: what comes of it is remembered for long.
fn patient_round_trip(session: &Session, root: RootRef, scheme: WrapScheme) -> Result<(Kek, WrappedKek), Fault> {
    let mut outcome = round_trip(session, root, scheme);
    for _ in 1..ATTEMPTS {
        if !matches!(outcome, Err(Fault::Suspect)) {
            break;
        }
        outcome = round_trip(session, root, scheme);
    }
    outcome
}

/// Wraps a random KEK, sees a tampered blob refused and the true one open to the same KEK.
fn round_trip(session: &Session, root: RootRef, scheme: WrapScheme) -> Result<(Kek, WrappedKek), Fault> {
    let kek = random_kek()?;
    let wrapped = schemes::wrap(session, root, scheme, &kek)?;
    let mut tampered = wrapped.clone();
    if let Some(byte) = tampered.ciphertext.first_mut() {
        *byte ^= 1;
    }
    if schemes::opens(session, root, &tampered) {
        tracing::error!(root = %root.key, %scheme, "the token opens a tampered blob");
        return Err(Refusal::NoWorkingScheme.into());
    }
    // Last, so that the refusal before it was the blob's fault and not the token's.
    let opened = schemes::unwrap(session, root, &wrapped)?;
    if opened.is_same(&kek) { Ok((kek, wrapped)) } else { Err(Fault::Suspect) }
}
