//! Where a private key lies: in a file, or in the HSM.

use std::{fmt, path::PathBuf};

use hal::Label;

/// Where a private key lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// In a file, PEM (PKCS#8).
    File(PathBuf),
    /// In the HSM, under this label. Which key that is stands in the store: `keystead init` makes and records it.
    Hsm(Label),
}

impl KeyPlace {
    /// What a value begins with that names a key in the HSM. A file of such a name is written `./hsm:...`.
    pub(super) const PREFIX: &'static str = "hsm:";

    /// The file, where it is one.
    #[must_use]
    pub fn file(&self) -> Option<&PathBuf> {
        match self {
            KeyPlace::File(path) => Some(path),
            KeyPlace::Hsm(_) => None,
        }
    }
}

/// As the configuration writes it.
impl fmt::Display for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyPlace::File(path) => path.display().fmt(f),
            KeyPlace::Hsm(label) => write!(f, "{}{label}", Self::PREFIX),
        }
    }
}
