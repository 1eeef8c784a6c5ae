//! What is known of the makes of token: by which mechanisms and calls they wrap keys, and who makes the IV.
//!
//! A profile only says what to try and in which order; the self-test at the first login decides, so that a wrong profile costs
//! nothing but a scheme. `docs/hsm/` says for each make what was run and what is from its maker's documents alone.

use std::ffi::c_ulong;

use cryptoki::{
    context::Info,
    error::Error,
    mechanism::{Mechanism, MechanismType, vendor_defined::VendorDefinedMechanism},
};

use serde::Serialize;

use crate::{TokenInfo, WrapScheme};

/// One make of token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ProviderProfile {
    /// As in the names of the pages under `docs/hsm/`.
    pub(super) name: &'static str,
    /// It is this make where one of these is in what the token or the module says of itself; in lower case.
    signs: &'static [&'static str],
    /// Schemes in the order of preference.
    pub(super) order: &'static [WrapScheme],
    /// Who makes the IV of `aes-gcm`: what to try, in this order.
    pub(super) ivs: &'static [IvMode],
    /// The ways to wrap by RFC 3394, in the order in which to try them.
    pub(super) kw: &'static [KeyWrap],
    /// The ways to wrap by RFC 5649. CKM_AES_KEY_WRAP_KWP (0x210B) is not among them: cryptoki 0.12 has no name for it, and
    /// takes other numbers only from the range that vendors have for themselves.
    pub(super) kwp: &'static [KeyWrap],
    /// Whether C_UnwrapKey wants CKA_VALUE_LEN in its template; elsewhere it must not be there.
    pub(super) value_len: bool,
}

/// A make of token, chosen by an operator rather than recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provider(pub(super) &'static ProviderProfile);

impl Provider {
    /// The make of a name, as in the names of the pages under `docs/hsm/`; `None` for any other text.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        PROFILES.iter().copied().chain([&GENERIC]).find(|profile| profile.name == name).map(Self)
    }

    /// Every make.
    pub fn all() -> impl Iterator<Item = Self> {
        PROFILES.iter().copied().chain([&GENERIC]).map(Self)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name
    }
}

/// Who makes the IV of an AES-GCM seal, and where it is found afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IvMode {
    /// The caller passes 12 random bytes.
    Caller12,
    /// The caller passes a buffer of 12 zeros, and the token writes its own IV there (AWS CloudHSM).
    TokenWritesIv12,
    /// The token puts an IV of 16 bytes behind the tag (Luna in FIPS mode).
    TokenAppends16,
}

/// One way to wrap a key by AES key wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyWrap {
    pub(super) mechanism: Number,
    pub(super) call: Call,
}

/// A mechanism, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// CKM_AES_KEY_WRAP, 0x2109.
    AesKeyWrap,
    /// CKM_AES_KEY_WRAP_PAD, 0x210A: RFC 5649 on SoftHSM2 and something else on NSS, so no profile uses it.
    #[cfg(test)]
    AesKeyWrapPad,
    /// A vendor's own.
    Vendor(c_ulong),
}

impl Number {
    pub(super) fn mechanism(self) -> Result<Mechanism<'static>, Error> {
        Ok(match self {
            Self::AesKeyWrap => Mechanism::AesKeyWrap,
            #[cfg(test)]
            Self::AesKeyWrapPad => Mechanism::AesKeyWrapPad,
            Self::Vendor(number) => {
                let kind = MechanismType::new_vendor_defined(number)?;
                Mechanism::VendorDefined(VendorDefinedMechanism::new::<()>(kind, None))
            }
        })
    }
}

/// The functions that a mechanism is used with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// C_Encrypt and C_Decrypt: the KEK is data, and no object is made.
    Encrypt,
    /// C_WrapKey and C_UnwrapKey: the KEK is a session object for a moment.
    WrapKey,
}

/// How a token is spoken to: what of its profile passed the self-test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) iv: IvMode,
    pub(super) kw: Option<KeyWrap>,
    pub(super) kwp: Option<KeyWrap>,
    pub(super) value_len: bool,
}

impl ProviderProfile {
    /// The profile of a token, by what it and its module say of themselves.
    pub(super) fn of(library: Option<&Info>, token: &TokenInfo) -> &'static Self {
        let library = library.map(|info| format!("{} {}", info.manufacturer_id(), info.library_description()));
        Self::named_in(&format!("{} {} {}", token.manufacturer, token.model, library.unwrap_or_default()))
    }

    fn named_in(words: &str) -> &'static Self {
        let words = words.to_lowercase();
        let names = |profile: &&&'static Self| profile.signs.iter().any(|sign| words.contains(sign));
        PROFILES.iter().find(names).copied().unwrap_or(&GENERIC)
    }

    /// What to begin the self-test with.
    pub(super) fn dialect(&self) -> Dialect {
        Dialect {
            iv: self.ivs.first().copied().unwrap_or(IvMode::Caller12),
            kw: self.kw.first().copied(),
            kwp: self.kwp.first().copied(),
            value_len: self.value_len,
        }
    }

    /// The dialects to try a scheme with, in this order; they differ from `base` in what the scheme is about.
    pub(super) fn variants(&self, scheme: WrapScheme, base: Dialect) -> Vec<Dialect> {
        match scheme {
            WrapScheme::AesGcm => self.ivs.iter().map(|iv| Dialect { iv: *iv, ..base }).collect(),
            WrapScheme::AesKw => self.kw.iter().map(|way| Dialect { kw: Some(*way), ..base }).collect(),
            WrapScheme::AesKwp => self.kwp.iter().map(|way| Dialect { kwp: Some(*way), ..base }).collect(),
        }
    }
}

impl Dialect {
    /// Every key wrap mechanism that a root key must not leave the token by.
    pub(super) fn key_wraps(&self) -> impl Iterator<Item = Number> {
        [Some(Number::AesKeyWrap), self.kw.map(|way| way.mechanism), self.kwp.map(|way| way.mechanism)]
            .into_iter()
            .flatten()
    }
}

/// GCM authenticates its context and makes no session object.
const GCM_FIRST: &[WrapScheme] = &[WrapScheme::AesGcm, WrapScheme::AesKw, WrapScheme::AesKwp];

const KW_AS_KEY: KeyWrap = KeyWrap { mechanism: Number::AesKeyWrap, call: Call::WrapKey };
const KW_AS_DATA: KeyWrap = KeyWrap { mechanism: Number::AesKeyWrap, call: Call::Encrypt };

const fn vendor(number: c_ulong, call: Call) -> KeyWrap {
    KeyWrap { mechanism: Number::Vendor(number), call }
}

/// Run: 2.6.1.
static SOFTHSM2: ProviderProfile = ProviderProfile {
    name: "softhsm2",
    signs: &["softhsm"],
    order: GCM_FIRST,
    ivs: &[IvMode::Caller12],
    kw: &[KW_AS_KEY],
    kwp: &[],
    value_len: false,
};

/// Run: 1.5.4.
static KRYOPTIC: ProviderProfile = ProviderProfile {
    name: "kryoptic",
    signs: &["kryoptic"],
    order: GCM_FIRST,
    ivs: &[IvMode::Caller12],
    kw: &[KW_AS_DATA, KW_AS_KEY],
    kwp: &[],
    value_len: false,
};

/// From documents: the numbers are Thales' CKM_AES_KW and CKM_AES_KWP.
static LUNA: ProviderProfile = ProviderProfile {
    name: "luna",
    signs: &["safenet", "thales", "luna", "chrysalis"],
    order: GCM_FIRST,
    ivs: &[IvMode::Caller12, IvMode::TokenAppends16],
    kw: &[vendor(0x8000_0170, Call::Encrypt), vendor(0x8000_0170, Call::WrapKey)],
    kwp: &[vendor(0x8000_0171, Call::Encrypt), vendor(0x8000_0171, Call::WrapKey)],
    value_len: true,
};

/// From documents: the numbers are CKM_CLOUDHSM_AES_KEY_WRAP_NO_PAD and ..._ZERO_PAD.
static CLOUDHSM: ProviderProfile = ProviderProfile {
    name: "cloudhsm",
    signs: &["cloudhsm", "cavium", "marvell", "amazon"],
    order: GCM_FIRST,
    ivs: &[IvMode::TokenWritesIv12],
    kw: &[vendor(0x8000_2109, Call::WrapKey)],
    kwp: &[vendor(0x8000_216f, Call::WrapKey)],
    value_len: false,
};

/// From documents: key wrap by C_WrapKey only.
static NSHIELD: ProviderProfile = ProviderProfile {
    name: "nshield",
    signs: &["ncipher", "nshield", "entrust"],
    order: GCM_FIRST,
    ivs: &[IvMode::Caller12],
    kw: &[KW_AS_KEY],
    kwp: &[],
    value_len: false,
};

/// Unverified: its table of mechanisms was not at hand, so that everything standard is tried.
static UTIMACO: ProviderProfile = ProviderProfile { name: "utimaco", signs: &["utimaco", "cryptoserver"], ..GENERIC };

/// Any other make: what the standard has.
static GENERIC: ProviderProfile = ProviderProfile {
    name: "generic",
    signs: &[],
    order: GCM_FIRST,
    ivs: &[IvMode::Caller12, IvMode::TokenWritesIv12],
    kw: &[KW_AS_KEY, KW_AS_DATA],
    kwp: &[],
    value_len: false,
};

static PROFILES: [&ProviderProfile; 6] = [&SOFTHSM2, &KRYOPTIC, &CLOUDHSM, &LUNA, &NSHIELD, &UTIMACO];

#[cfg(test)]
mod tests {
    use super::*;

    fn name(words: &str) -> &'static str {
        ProviderProfile::named_in(words).name
    }

    #[test]
    fn makes_are_recognised_by_what_they_say_of_themselves() {
        assert_eq!(name("SoftHSM project SoftHSM v2"), "softhsm2");
        assert_eq!(name("Kryoptic Project v1"), "kryoptic");
        assert_eq!(name("Safenet, Inc. LunaSA 7.4.0"), "luna");
        assert_eq!(name("Thales Luna K7"), "luna");
        assert_eq!(name("nCipher Corp. Ltd"), "nshield");
        assert_eq!(name("Utimaco IS GmbH CryptoServer"), "utimaco");
        assert_eq!(name("Cavium, Inc CloudHSM"), "cloudhsm");
        assert_eq!(name("Mozilla Foundation NSS 3"), "generic");
        assert_eq!(name(""), "generic");
    }

    #[test]
    fn every_number_can_be_expressed() {
        for profile in PROFILES.iter().copied().chain([&GENERIC]) {
            for way in profile.kw.iter().chain(profile.kwp) {
                assert!(way.mechanism.mechanism().is_ok(), "{}", profile.name);
            }
            assert!(!profile.ivs.is_empty() && !profile.kw.is_empty(), "{}", profile.name);
        }
        // The standard's number of RFC 5649 cannot: should that change, the profiles can use it.
        assert!(Number::Vendor(0x210b).mechanism().is_err());
    }

    #[test]
    fn a_scheme_varies_in_its_own_part_only() {
        let base = LUNA.dialect();
        let variants = LUNA.variants(WrapScheme::AesGcm, base);
        assert_eq!(variants.iter().map(|one| one.iv).collect::<Vec<_>>(), [IvMode::Caller12, IvMode::TokenAppends16]);
        assert!(variants.iter().all(|one| one.kw == base.kw && one.kwp == base.kwp));
        assert_eq!(SOFTHSM2.variants(WrapScheme::AesKwp, SOFTHSM2.dialect()), []);
    }
}
