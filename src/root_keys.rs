//! Root keys on record and root keys in the HSM: turns what the HSM tells of one into rows, compares the two, and does what is
//! done to root keys, for the command line and for the admin plane alike.
//!
//! The store says which root keys there are and which version of each is current; the HSM holds them. Neither is changed to
//! follow the other: where they differ, an operator reads what to do.

use hal::{Kcv, KcvMethod, RootKeyId, RootKeyInfo, RootKeyVersion, RootKeys};
use uuid::Uuid;

pub use self::{
    attest::attest,
    destroy::{Active, Agreed, destroy},
    error::Failure,
    impact::{AdapterImpact, Impact},
    make::{id_for, make, may_rotate, rotate},
    states::{may_retire, must_be_usable, retire, set_state},
    watch::{IdentifyError, follow, identify},
};
use crate::store::{RootKeyRow, RootKeyState, RootKeyVersionRow, VersionState};

mod attest;
mod destroy;
mod error;
mod impact;
mod make;
mod states;
mod watch;

/// The row of a new root key, of which `info` is the only version.
#[must_use]
pub fn new_row(info: &RootKeyInfo, at: i64) -> RootKeyRow {
    RootKeyRow {
        id: *info.id.as_uuid(),
        label: info.label.to_string(),
        state: RootKeyState::Active,
        current_version: info.version,
        created_at: at,
        changed_at: at,
        destroyed_at: None,
        destruction: None,
        certificate: None,
        versions: vec![version_row(info, at)],
    }
}

/// The row of a new version, which is the current one.
#[must_use]
pub fn version_row(info: &RootKeyInfo, at: i64) -> RootKeyVersionRow {
    RootKeyVersionRow {
        version: info.version,
        state: VersionState::Current,
        kcv: info.kcv.value,
        kcv_method: method_name(info.kcv.method).to_owned(),
        created_at: at,
        retired_at: None,
        attestation: None,
    }
}

/// The version `version` of the root key `root` as the HAL names it.
#[must_use]
pub fn key(root: Uuid, version: u32) -> RootKeyVersion {
    RootKeyVersion { root: RootKeyId::from_uuid(root), version }
}

/// The check value on record; `None` where it was computed by a method that this program does not know.
#[must_use]
pub fn recorded_kcv(row: &RootKeyVersionRow) -> Option<Kcv> {
    let methods = [KcvMethod::EcbZeroBlock, KcvMethod::GcmZeroBlock];
    let method = methods.into_iter().find(|method| method_name(*method) == row.kcv_method)?;
    Some(Kcv { method, value: row.kcv })
}

/// Tells the HSM the check values on record, so that another key under the id of one of these versions is refused.
pub fn expect_recorded(rows: &[RootKeyRow], hal: &dyn RootKeys) {
    for row in rows {
        for version in row.versions.iter().filter(|version| version.state != VersionState::Retired) {
            if let Some(kcv) = recorded_kcv(version) {
                hal.expect_root(key(row.id, version.version), kcv);
            }
        }
    }
}

/// The name of a method of computing check values, as the HAL writes it too.
#[must_use]
pub fn method_name(method: KcvMethod) -> &'static str {
    match method {
        KcvMethod::EcbZeroBlock => "aes-ecb-zero-block",
        KcvMethod::GcmZeroBlock => "aes-gcm-zero-block",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_named_as_the_hal_writes_them() {
        for method in [KcvMethod::EcbZeroBlock, KcvMethod::GcmZeroBlock] {
            assert_eq!(serde_json::to_value(method).unwrap(), method_name(method));
        }
    }
}
