//! What a module and its tokens offer, for an operator who sets one up. Leaves no object behind.

use std::path::{Path, PathBuf};

use cryptoki::{
    context::Pkcs11,
    mechanism::{Mechanism, MechanismType},
    object::{Attribute, AttributeType},
    session::Session,
    slot::{Limit, Slot},
    types::RawAuthPin,
};
use serde::Serialize;

use super::{link, profile::ProviderProfile, recovery::Fault, self_test};
use crate::{HalError, Outage, SecretBytes, TokenInfo, WrapScheme};

/// A module and what is behind it.
#[derive(Clone, Debug, Serialize)]
pub struct ProbeReport {
    /// The module's path.
    pub module: PathBuf,
    /// The module's own description.
    pub library: Option<LibraryInfo>,
    /// Every slot that has a token.
    pub slots: Vec<SlotReport>,
}

/// How a module describes itself.
#[derive(Clone, Debug, Serialize)]
pub struct LibraryInfo {
    /// What it is.
    pub description: String,
    /// Its maker.
    pub manufacturer: String,
    /// Its version.
    pub version: String,
    /// The version of PKCS#11 that it implements.
    pub cryptoki_version: String,
}

/// One slot and the token in it.
#[derive(Clone, Debug, Serialize)]
pub struct SlotReport {
    /// The slot's number. It may change; tokens are configured by label and serial.
    pub slot: u64,
    /// The token, unless it does not describe itself.
    pub token: Option<TokenInfo>,
    /// Whether it was initialised.
    pub initialized: bool,
    /// Whether its user PIN is set.
    pub user_pin_set: bool,
    /// Whether its user PIN is locked.
    pub user_pin_locked: bool,
    /// The most sessions it allows; `None` where it does not say or has no limit.
    pub max_sessions: Option<u64>,
    /// The mechanisms it lists. Vendors' own ones are left out.
    pub mechanisms: Vec<MechanismReport>,
    /// What logging in and trying showed; only for the token that was asked for, with a PIN.
    pub trial: Option<Trial>,
}

/// A mechanism as the token lists it.
#[derive(Clone, Debug, Serialize)]
pub struct MechanismReport {
    /// Its PKCS#11 name.
    pub name: String,
    /// What the token says it may be used for.
    pub uses: Vec<&'static str>,
}

/// What the token did, as opposed to what it says.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    /// The make of token that it was taken for: a page of `docs/hsm/`.
    pub profile: &'static str,
    /// Wrap schemes that passed the self-test with a throw-away session key, best first.
    pub schemes: Vec<WrapScheme>,
    /// Whether an unextractable session key stayed inside.
    pub keeps_keys_inside: bool,
    /// Whether its random number generator answered.
    pub random: bool,
    /// Whether it signs with a throw-away P-256 key.
    pub signs_p256: bool,
    /// Whether it signs with a throw-away P-384 key.
    pub signs_p384: bool,
}

/// Which token to log in to.
#[derive(Debug)]
pub struct ProbeLogin<'a> {
    /// Its label.
    pub token_label: &'a str,
    /// Its user PIN. It is tried once.
    pub pin: &'a SecretBytes,
}

/// Loads `module` and reports what is behind it; with a login, also what its token really does. Blocks for as long as the
/// module does: a command-line tool may be interrupted, a server must not call this.
///
/// # Errors
/// [`HalError::Unavailable`] where the module does not load or no token has the label, [`HalError::Refused`] for the PIN.
pub fn probe(module: &Path, login: Option<&ProbeLogin<'_>>) -> Result<ProbeReport, HalError> {
    run(module, login).map_err(|fault| match fault {
        Fault::Stop(error) => error,
        Fault::Gone(outage) => HalError::Unavailable(outage),
        Fault::Stale | Fault::Suspect | Fault::BadData | Fault::Unsupported => {
            HalError::Unavailable(Outage::DeviceFailed)
        }
    })
}

fn run(path: &Path, login: Option<&ProbeLogin<'_>>) -> Result<ProbeReport, Fault> {
    let module = link::load_module(path)?;
    let library = module.get_library_info().ok().map(|info| LibraryInfo {
        description: info.library_description().to_owned(),
        manufacturer: info.manufacturer_id().to_owned(),
        version: info.library_version().to_string(),
        cryptoki_version: info.cryptoki_version().to_string(),
    });
    let mut slots = Vec::new();
    for slot in module.get_slots_with_token()? {
        slots.push(report(&module, slot));
    }
    if let Some(login) = login {
        let (slot, info) = link::find_token(&module, login.token_label, None)?;
        let profile = ProviderProfile::of(module.get_library_info().ok().as_ref(), &link::describe(&info));
        let session = module.open_rw_session(slot)?;
        let pin = RawAuthPin::new(Box::new(login.pin.expose_secret().to_vec()));
        link::log_in(&session, &pin)?;
        let trial = try_out(&session, profile)?;
        if let Some(report) = slots.iter_mut().find(|report| report.slot == slot.id()) {
            report.trial = Some(trial);
        }
    }
    Ok(ProbeReport { module: path.to_owned(), library, slots })
}

fn report(module: &Pkcs11, slot: Slot) -> SlotReport {
    let info = module.get_token_info(slot).ok();
    let mechanisms = module.get_mechanism_list(slot).unwrap_or_default();
    SlotReport {
        slot: slot.id(),
        token: info.as_ref().map(link::describe),
        initialized: info.as_ref().is_some_and(cryptoki::slot::TokenInfo::token_initialized),
        user_pin_set: info.as_ref().is_some_and(cryptoki::slot::TokenInfo::user_pin_initialized),
        user_pin_locked: info.as_ref().is_some_and(cryptoki::slot::TokenInfo::user_pin_locked),
        max_sessions: info.as_ref().and_then(|info| match info.max_session_count() {
            Limit::Max(max) => Some(max),
            Limit::Unavailable | Limit::Infinite => None,
        }),
        mechanisms: mechanisms.into_iter().map(|mechanism| describe_mechanism(module, slot, mechanism)).collect(),
        trial: None,
    }
}

fn describe_mechanism(module: &Pkcs11, slot: Slot, mechanism: MechanismType) -> MechanismReport {
    let uses = module.get_mechanism_info(slot, mechanism).map_or_else(
        |_| Vec::new(),
        |info| {
            let uses = [
                (info.encrypt(), "encrypt"),
                (info.decrypt(), "decrypt"),
                (info.wrap(), "wrap"),
                (info.unwrap(), "unwrap"),
                (info.sign(), "sign"),
                (info.verify(), "verify"),
                (info.generate(), "generate"),
                (info.generate_key_pair(), "generate-key-pair"),
                (info.derive(), "derive"),
                (info.digest(), "digest"),
            ];
            uses.into_iter().filter_map(|(offered, name)| offered.then_some(name)).collect()
        },
    );
    MechanismReport { name: mechanism.to_string(), uses }
}

fn try_out(session: &Session, profile: &ProviderProfile) -> Result<Trial, Fault> {
    let mut byte = [0];
    Ok(Trial {
        profile: profile.name,
        schemes: self_test::proven_schemes(session, profile)?.0,
        keeps_keys_inside: self_test::throw_away_key_stays_inside(session, profile)?,
        random: session.generate_random_slice(&mut byte).is_ok(),
        signs_p256: signs(session, crate::der::P256_OID, 32)?,
        signs_p384: signs(session, crate::der::P384_OID, 48)?,
    })
}

fn signs(session: &Session, curve: &[u8], digest_len: usize) -> Result<bool, Fault> {
    let public = [
        Attribute::Token(false),
        Attribute::Private(false),
        Attribute::Verify(true),
        Attribute::EcParams(curve.to_vec()),
    ];
    let private = [
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
    ];
    let Ok((public, private)) = session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private) else {
        return Ok(false);
    };
    let digest = vec![1; digest_len];
    let signed = session.sign(&Mechanism::Ecdsa, private, &digest);
    let readable = session.get_attributes(public, &[AttributeType::EcPoint]).is_ok_and(|read| !read.is_empty());
    let verified = signed.is_ok_and(|signature| session.verify(&Mechanism::Ecdsa, public, &digest, &signature).is_ok());
    session.destroy_object(private)?;
    session.destroy_object(public)?;
    Ok(verified && readable)
}
