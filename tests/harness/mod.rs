//! What the tests stand on: an engine in this process with a clock to turn, and a server in a process of its own.

pub mod api;
pub mod ask;
pub mod engine;
pub mod hsm;
pub mod server;

use std::{io::Write as _, path::PathBuf};

use kmip::{
    attributes::{Attribute, Attributes, Name},
    enums::{CryptographicAlgorithm, NameType, ObjectType},
    masks::CryptographicUsageMask,
    payloads::{CreateRequest, GivenAttributes},
};

/// A Create request as vCenter sends it, with further attributes.
pub fn create_aes(bits: i32, more: impl IntoIterator<Item = Attribute>) -> CreateRequest {
    let base = [
        Attribute::CryptographicAlgorithm(CryptographicAlgorithm::Aes),
        Attribute::CryptographicUsageMask(CryptographicUsageMask::Encrypt | CryptographicUsageMask::Decrypt),
        Attribute::CryptographicLength(bits),
    ];
    let attributes = GivenAttributes(Attributes::from_iter(base.into_iter().chain(more)));
    CreateRequest { object_type: ObjectType::SymmetricKey, attributes }
}

/// A Name attribute.
pub fn name(text: &str) -> Attribute {
    Attribute::Name(Name { name_value: text.to_owned(), name_type: NameType::UninterpretedTextString })
}

/// A path in the folder beside the checkout that holds the OASIS cases and tools (KEYSTEAD_SHARED names it elsewhere); says
/// so where it is absent.
pub fn shared(what: &str) -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let path = std::env::var_os("KEYSTEAD_SHARED").map_or_else(beside, PathBuf::from).join(what);
    if path.exists() {
        return Some(path);
    }
    skip(&format!("{what} is not on this machine"));
    None
}

/// Says that something is not tested here. Written past the test harness, which shows a passing test's output to nobody.
pub fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIP: {why}");
}
