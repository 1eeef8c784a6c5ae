//! What a module and its tokens offer, for an operator who sets one up. Leaves no object behind.

mod trial;

use std::path::{Path, PathBuf};

use cryptoki::{
    context::Pkcs11,
    mechanism::MechanismType,
    slot::{Limit, Slot},
    types::RawAuthPin,
};
use serde::{Serialize, Serializer};

pub use self::trial::{SessionTrial, Trial};
pub use super::profile::IvMode;
use super::{
    Provider,
    link::{describe, find_token, load_module, log_in},
    profile::ProviderProfile,
    recovery::Fault,
};
use crate::{HalError, SecretBytes, TokenInfo, WrapScheme};

/// A module and what is behind it.
#[derive(Clone, Debug, Serialize)]
pub struct ProbeReport {
    /// The module's path.
    pub module: PathBuf,
    /// The module's own description.
    pub library: Option<LibraryInfo>,
    /// Every slot that has a token.
    pub slots: Vec<SlotReport>,
    /// The tokens that were asked for and could not be logged in to.
    pub untried: Vec<Untried>,
}

/// A token that could not be logged in to.
#[derive(Clone, Debug, Serialize)]
pub struct Untried {
    /// The label that was asked for.
    pub token_label: String,
    /// Why not.
    #[serde(serialize_with = "as_text")]
    pub error: HalError,
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

/// Which token to log in to.
#[derive(Debug)]
pub struct ProbeLogin<'a> {
    /// Its label.
    pub token_label: &'a str,
    /// Its serial number, where the label alone does not tell.
    pub token_serial: Option<&'a str>,
    /// The only scheme to wrap with; `None` for the best that works.
    pub scheme: Option<WrapScheme>,
    /// The make to take it for; `None` for the one that it says it is.
    pub provider: Option<Provider>,
    /// Its user PIN. It is tried once.
    pub pin: &'a SecretBytes,
}

/// Loads `module` and reports what is behind it; with logins, also what their tokens really do. Blocks for as long as the
/// module does: a command-line tool may be interrupted, a server must not call this.
///
/// # Errors
/// [`HalError::Unavailable`] where the module does not load or has no slots to list. What is wrong with one token is in the
/// report.
pub fn probe(module: &Path, logins: &[ProbeLogin<'_>]) -> Result<ProbeReport, HalError> {
    run(module, logins).map_err(Fault::into_error)
}

fn as_text<S: Serializer>(error: &HalError, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(error)
}

fn run(path: &Path, logins: &[ProbeLogin<'_>]) -> Result<ProbeReport, Fault> {
    let module = load_module(path)?;
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
    let mut untried = Vec::new();
    for login in logins {
        match tried(&module, login) {
            Ok((slot, trial)) => {
                if let Some(report) = slots.iter_mut().find(|report| report.slot == slot) {
                    report.trial = Some(trial);
                }
            }
            Err(fault) => {
                untried.push(Untried { token_label: login.token_label.to_owned(), error: fault.into_error() })
            }
        }
    }
    Ok(ProbeReport { module: path.to_owned(), library, slots, untried })
}

fn tried(module: &Pkcs11, login: &ProbeLogin<'_>) -> Result<(u64, Trial), Fault> {
    let (slot, info) = find_token(module, login.token_label, login.token_serial)?;
    let session = module.open_rw_session(slot)?;
    let pin = RawAuthPin::new(Box::new(login.pin.expose_secret().to_vec()));
    log_in(&session, &pin)?;
    let own = || ProviderProfile::of(module.get_library_info().ok().as_ref(), &describe(&info));
    let profile = login.provider.map_or_else(own, |provider| provider.0);
    Ok((slot.id(), trial::try_out(module, slot, &session, profile, max_sessions(&info), login.scheme)))
}

fn report(module: &Pkcs11, slot: Slot) -> SlotReport {
    let info = module.get_token_info(slot).ok();
    let mechanisms = module.get_mechanism_list(slot).unwrap_or_default();
    SlotReport {
        slot: slot.id(),
        token: info.as_ref().map(describe),
        initialized: info.as_ref().is_some_and(cryptoki::slot::TokenInfo::token_initialized),
        user_pin_set: info.as_ref().is_some_and(cryptoki::slot::TokenInfo::user_pin_initialized),
        user_pin_locked: info.as_ref().is_some_and(cryptoki::slot::TokenInfo::user_pin_locked),
        max_sessions: info.as_ref().and_then(max_sessions),
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

fn max_sessions(info: &cryptoki::slot::TokenInfo) -> Option<u64> {
    match info.max_session_count() {
        Limit::Max(max) => Some(max),
        Limit::Unavailable | Limit::Infinite => None,
    }
}
