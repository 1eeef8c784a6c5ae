//! Which private keys `init` makes, and where.

use clap::ValueEnum;
use hal::SignerKind;

use crate::ca::KeyKind;

/// The server's private key. Those of the authority and of the first client are files of the same family unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TlsKeyArg {
    /// A file, RSA with 3072 bits: every KMIP client can use it
    #[value(name = "rsa-3072")]
    Rsa3072,
    /// A file, ECDSA on P-256: faster, but some older clients cannot use it
    #[value(name = "ecdsa-p256")]
    EcdsaP256,
    /// In the HSM, ECDSA on P-256
    #[value(name = "hsm")]
    Hsm,
    /// In the HSM, ECDSA on P-384
    #[value(name = "hsm-ecdsa-p384")]
    HsmEcdsaP384,
    /// In the HSM, RSA with 2048 bits: faster than 3072, and enough until about 2030
    #[value(name = "hsm-rsa-2048")]
    HsmRsa2048,
    /// In the HSM, RSA with 3072 bits
    #[value(name = "hsm-rsa-3072")]
    HsmRsa3072,
}

/// A private key in the HSM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum HsmKeyArg {
    /// In the HSM, ECDSA on P-256
    #[value(name = "hsm")]
    Hsm,
    /// In the HSM, ECDSA on P-384
    #[value(name = "hsm-ecdsa-p384")]
    EcdsaP384,
    /// In the HSM, RSA with 3072 bits
    #[value(name = "hsm-rsa-3072")]
    Rsa3072,
}

impl TlsKeyArg {
    /// The kind of the key in the HSM; `None` for a file.
    pub(super) fn in_hsm(self) -> Option<SignerKind> {
        match self {
            TlsKeyArg::Rsa3072 | TlsKeyArg::EcdsaP256 => None,
            TlsKeyArg::Hsm => Some(SignerKind::EcdsaP256),
            TlsKeyArg::HsmEcdsaP384 => Some(SignerKind::EcdsaP384),
            TlsKeyArg::HsmRsa2048 => Some(SignerKind::Rsa2048),
            TlsKeyArg::HsmRsa3072 => Some(SignerKind::Rsa3072),
        }
    }

    /// The kind of keys in files.
    pub(super) fn in_files(self) -> KeyKind {
        match self {
            TlsKeyArg::EcdsaP256 | TlsKeyArg::Hsm | TlsKeyArg::HsmEcdsaP384 => KeyKind::EcdsaP256,
            TlsKeyArg::Rsa3072 | TlsKeyArg::HsmRsa2048 | TlsKeyArg::HsmRsa3072 => KeyKind::Rsa3072,
        }
    }

    /// The kind of the server's key, as certificates are described.
    pub(super) fn kind_name(self) -> String {
        self.in_hsm().map_or_else(|| self.in_files().to_string(), |kind| kind.to_string())
    }
}

impl From<HsmKeyArg> for SignerKind {
    fn from(key: HsmKeyArg) -> Self {
        match key {
            HsmKeyArg::Hsm => SignerKind::EcdsaP256,
            HsmKeyArg::EcdsaP384 => SignerKind::EcdsaP384,
            HsmKeyArg::Rsa3072 => SignerKind::Rsa3072,
        }
    }
}
