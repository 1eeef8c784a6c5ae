//! A client's certificate and private key on a PKCS#11 token (`--client-token`).
//!
//! RSA over TLS 1.2 goes through the crate rustls-pkcs11, wherever what it would do is known to be right: it takes the first
//! slot, the first certificate and the first key that it finds, and panics where there is none. So everything is found, logged in
//! to and tried by our own code first, which also signs whatever the crate cannot: ECDSA, TLS 1.3 (it has no working RSA-PSS),
//! a token in another slot, a chain, a second certificate. docs/tls-keys.md says so to operators.

mod by_crate;

use std::{
    path::PathBuf,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hal::{
    HalError, SecretBytes,
    pkcs11::client_key::{ClientToken, KeyFamily, TokenKey},
};
use rustls::{
    OtherError, SignatureAlgorithm, SignatureScheme,
    client::ResolvesClientCert,
    sign::{CertifiedKey, Signer, SigningKey},
};
use rustls_pki_types::CertificateDer;

use super::connect::CheckError;
use crate::{
    ca::describe,
    cli::{CliError, backend},
    net::{P256_SCHEMES, P384_SCHEMES, RSA_SCHEMES, TlsScheme, verifies},
};

/// What is signed to find the key of a certificate. No protocol signs such a text.
const PROOF: &[u8] = b"keystead: is this the key of the certificate?";

/// Which token, as an argument: `MODULE,token=LABEL,pin-file=FILE` and perhaps `,certificate=LABEL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TokenArg {
    module: PathBuf,
    token_label: String,
    pin_file: PathBuf,
    certificate: Option<String>,
}

/// The text describes no token.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "a token is described as MODULE,token=LABEL,pin-file=FILE, and where it has several certificates ,certificate=LABEL"
)]
pub(super) struct BadTokenArg;

impl FromStr for TokenArg {
    type Err = BadTokenArg;

    fn from_str(text: &str) -> Result<Self, BadTokenArg> {
        let mut parts = text.split(',');
        let module = parts.next().filter(|module| !module.is_empty() && !module.contains('=')).ok_or(BadTokenArg)?;
        let [mut token, mut pin_file, mut certificate] = [None; 3];
        for part in parts {
            let (name, value) = part.split_once('=').ok_or(BadTokenArg)?;
            let place = match name {
                "token" => &mut token,
                "pin-file" => &mut pin_file,
                "certificate" => &mut certificate,
                _ => return Err(BadTokenArg),
            };
            if value.is_empty() || place.replace(value).is_some() {
                return Err(BadTokenArg);
            }
        }
        Ok(Self {
            module: PathBuf::from(module),
            token_label: token.ok_or(BadTokenArg)?.to_owned(),
            pin_file: PathBuf::from(pin_file.ok_or(BadTokenArg)?),
            certificate: certificate.map(str::to_owned),
        })
    }
}

/// Why a token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The module, the token or the PIN.
    #[error("the client's token: {0}")]
    Hsm(#[from] HalError),
    /// No certificate on the token, and none given.
    #[error("there is no certificate on the token: write one there, or name its file with --cert")]
    NoCertificate,
    /// No certificate of that label.
    #[error("there is no certificate {label:?} on the token; there is {}", others.join(", "))]
    NoSuchCertificate {
        /// The label that was asked for.
        label: String,
        /// Those that there are.
        others: Vec<String>,
    },
    /// No key on the token belongs to the certificate.
    #[error("no private key on the token belongs to the certificate (or none that may sign)")]
    NoKey,
    /// The key asks for the PIN at each signature.
    #[error(
        "the key {label:?} on the token wants its PIN for every signature (CKA_ALWAYS_AUTHENTICATE): not supported"
    )]
    AlwaysAsksForPin {
        /// Its label.
        label: String,
    },
    /// Several certificates with their keys.
    #[error("there are several certificates with keys on the token: choose one with certificate=LABEL ({})", labels.join(", "))]
    Ambiguous {
        /// Their labels.
        labels: Vec<String>,
    },
    /// A kind of key that is not used in TLS here.
    #[error("the certificate's key is neither RSA nor ECDSA on P-256 or P-384, or the certificate cannot be read")]
    UnsupportedKey,
}

/// Gives the server the certificate on the token.
#[derive(Debug)]
pub(super) struct TokenResolver {
    own: Arc<CertifiedKey>,
    /// The same by rustls-pkcs11, with the only scheme that it then signs with.
    by_crate: Option<(SignatureScheme, Arc<CertifiedKey>)>,
    crate_was_used: AtomicBool,
}

impl TokenResolver {
    /// Logs in to the token, once, and finds the certificate (or takes `given`) and its key.
    pub(super) fn open(arg: &TokenArg, given: Option<Vec<CertificateDer<'static>>>) -> Result<Self, CliError> {
        let pin = backend::secret(&arg.pin_file)?;
        Self::with_pin(arg, &pin, given).map_err(|error| CliError::Check(CheckError::Token(error)))
    }

    fn with_pin(
        arg: &TokenArg,
        pin: &SecretBytes,
        given: Option<Vec<CertificateDer<'static>>>,
    ) -> Result<Self, TokenError> {
        let open = || ClientToken::open(&arg.module, &arg.token_label, pin);
        let mut token = open()?;
        let mut chosen = Chosen::find(&token, arg, given.as_deref())?;
        let mut by_crate = None;
        match by_crate::usable(&token, &chosen) {
            Err(why) => tracing::debug!(why, "rustls-pkcs11 is not used"),
            Ok(scheme) => {
                // It insists on initialising the module by itself, and is only given a PIN that has proven right.
                token.end()?;
                by_crate = by_crate::open(arg, pin, &chosen).map(|key| (scheme, key));
                token = open()?;
                chosen = Chosen::find(&token, arg, given.as_deref())?;
            }
        }
        let key = OwnKey { token, key: chosen.key, schemes: chosen.schemes };
        let own = Arc::new(CertifiedKey::new(chosen.chain, Arc::new(OwnSigningKey(Arc::new(key)))));
        Ok(Self { own, by_crate, crate_was_used: AtomicBool::new(false) })
    }

    /// What signed the last handshake, in words.
    pub(super) fn signed_by(&self) -> &'static str {
        if self.crate_was_used.load(Ordering::Relaxed) { "by rustls-pkcs11" } else { "by PKCS#11" }
    }
}

impl ResolvesClientCert for TokenResolver {
    fn resolve(&self, _issuers: &[&[u8]], offered: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // The crate's scheme is PKCS #1 v1.5, which rustls leaves out of what TLS 1.3 servers offer: this is TLS 1.2.
        let by_crate = self.by_crate.as_ref().filter(|(scheme, _)| offered.contains(scheme));
        self.crate_was_used.store(by_crate.is_some(), Ordering::Relaxed);
        Some(Arc::clone(by_crate.map_or(&self.own, |(_, key)| key)))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A certificate with its key.
struct Chosen {
    chain: Vec<CertificateDer<'static>>,
    key: TokenKey,
    family: KeyFamily,
    /// What the key was seen to sign with, best first.
    schemes: Vec<TlsScheme>,
    /// Whether the certificate is the first that the token finds.
    is_first: bool,
}

impl Chosen {
    fn find(
        token: &ClientToken,
        arg: &TokenArg,
        given: Option<&[CertificateDer<'static>]>,
    ) -> Result<Self, TokenError> {
        let on_token = token.certificates()?;
        let first = on_token.first().map(|certificate| certificate.der.clone());
        let is_first = |chain: &[CertificateDer<'_>]| match chain {
            [only] => first.as_deref() == Some(only.as_ref()),
            _ => false,
        };
        if let Some(chain) = given {
            return Self::with_key_of(token, chain.to_vec(), &[], is_first(chain));
        }
        if on_token.is_empty() {
            return Err(TokenError::NoCertificate);
        }
        let wanted = |label: &String| arg.certificate.as_ref().is_none_or(|wanted| wanted == label);
        let mut found = Vec::new();
        let mut refusal = None;
        for certificate in on_token.iter().filter(|certificate| wanted(&certificate.label)) {
            let chain = vec![CertificateDer::from(certificate.der.clone())];
            let is_first = is_first(&chain);
            match Self::with_key_of(token, chain, &certificate.id, is_first) {
                Ok(chosen) => found.push((certificate.label.clone(), chosen)),
                // An authority's certificate has no key here, which does not matter beside one that has.
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        match (found.len(), found.pop(), refusal) {
            (1, Some((_, chosen)), _) => Ok(chosen),
            (0, _, Some(refusal)) => Err(refusal),
            (0, ..) => Err(TokenError::NoSuchCertificate {
                label: arg.certificate.clone().unwrap_or_default(),
                others: on_token.into_iter().map(|certificate| certificate.label).collect(),
            }),
            (_, last, _) => {
                let labels = found.into_iter().chain(last).map(|(label, _)| label).collect();
                Err(TokenError::Ambiguous { labels })
            }
        }
    }

    /// The key is the one whose signature the certificate verifies. One with the certificate's identifier is tried first.
    fn with_key_of(
        token: &ClientToken,
        chain: Vec<CertificateDer<'static>>,
        id: &[u8],
        is_first: bool,
    ) -> Result<Self, TokenError> {
        let certificate = chain.first().ok_or(TokenError::NoCertificate)?;
        let (family, schemes) = kind_of(certificate).ok_or(TokenError::UnsupportedKey)?;
        let signs = |key: &TokenKey, (scheme, how): TlsScheme| {
            token.sign(key, PROOF, how).is_ok_and(|signature| verifies(certificate, scheme, PROOF, &signature))
        };
        let mut keys = token.keys(family)?;
        keys.sort_by_key(|key| key.id != id);
        let mut asking = None;
        for key in keys {
            if key.always_asks_for_pin {
                asking = Some(key.label);
                continue;
            }
            // Tokens that cannot do RSA-PSS sign PKCS #1 v1.5 all the same: each scheme is tried by itself.
            let proven: Vec<_> = schemes.iter().copied().filter(|scheme| signs(&key, *scheme)).collect();
            if !proven.is_empty() {
                return Ok(Self { chain, key, family, schemes: proven, is_first });
            }
        }
        Err(asking.map_or(TokenError::NoKey, |label| TokenError::AlwaysAsksForPin { label }))
    }
}

/// The family of a certificate's key, and what such keys sign with.
fn kind_of(certificate: &[u8]) -> Option<(KeyFamily, &'static [TlsScheme])> {
    match describe(certificate).ok()?.key.as_str() {
        "ecdsa-p256" => Some((KeyFamily::Ec, P256_SCHEMES)),
        "ecdsa-p384" => Some((KeyFamily::Ec, P384_SCHEMES)),
        key if key.starts_with("rsa-") => Some((KeyFamily::Rsa, RSA_SCHEMES)),
        _ => None,
    }
}

/// A key on the token that our own code signs with.
#[derive(Debug)]
struct OwnKey {
    token: ClientToken,
    key: TokenKey,
    schemes: Vec<TlsScheme>,
}

#[derive(Debug)]
struct OwnSigningKey(Arc<OwnKey>);

impl SigningKey for OwnSigningKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let chosen = *self.0.schemes.iter().find(|(scheme, _)| offered.contains(scheme))?;
        Some(Box::new(OwnSigner { key: Arc::clone(&self.0), chosen }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        let ecdsa = [SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ECDSA_NISTP384_SHA384];
        let is_ecdsa = self.0.schemes.iter().any(|(scheme, _)| ecdsa.contains(scheme));
        if is_ecdsa { SignatureAlgorithm::ECDSA } else { SignatureAlgorithm::RSA }
    }
}

#[derive(Debug)]
struct OwnSigner {
    key: Arc<OwnKey>,
    chosen: TlsScheme,
}

impl Signer for OwnSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let signed = self.key.token.sign(&self.key.key, message, self.chosen.1);
        signed.map_err(|error| OtherError(Arc::new(TokenError::Hsm(error))).into())
    }

    fn scheme(&self) -> SignatureScheme {
        self.chosen.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_described_by_name_and_value() {
        let arg: TokenArg = "/lib/p11.so,pin-file=/etc/pin,token=My token".parse().unwrap();
        assert_eq!(arg.module, PathBuf::from("/lib/p11.so"));
        assert_eq!((arg.token_label.as_str(), arg.pin_file), ("My token", PathBuf::from("/etc/pin")));
        assert_eq!(arg.certificate, None);
        let arg: TokenArg = "m,token=t,pin-file=p,certificate=a=b".parse().unwrap();
        assert_eq!(arg.certificate.as_deref(), Some("a=b"));
    }

    #[test]
    fn a_description_that_lacks_something_or_says_it_twice_is_refused() {
        for bad in [
            "",
            "m",
            "m,token=t",
            "m,pin-file=p",
            "token=t,pin-file=p",
            "m,token=,pin-file=p",
            "m,token=t,token=u,pin-file=p",
            "m,token=t,pin-file=p,pin=1234",
            "m,token=t,pin-file=p,",
        ] {
            assert!(bad.parse::<TokenArg>().is_err(), "{bad}");
        }
    }
}
