//! Tests a root key and says, signed, what it is and where it lies.

use hal::{RootKeyVersion, RootKeys};

use super::{Failure, recorded_kcv};
use crate::{
    proof,
    statement::{Attestation, Claim, Weakness},
    store::Store,
};

/// Tests a root key, signs what was found, and keeps it in the database.
///
/// # Errors
/// `NotAttested`; HSM or database failed.
pub fn attest(store: &Store, hal: &dyn RootKeys, key: RootKeyVersion) -> Result<String, Failure> {
    let rows = store.root_keys()?;
    let row = rows.iter().find(|row| row.id == *key.root.as_uuid()).and_then(|row| row.version(key.version));
    if let Some(kcv) = row.and_then(recorded_kcv) {
        // Another key under the same id is not attested as the one on record.
        hal.expect_root(key, kcv);
    }
    let info = hal.describe_root(key)?;
    let report = hal.self_test(key)?;
    let attestation = Attestation::new(&info, hal.capabilities(), &report);
    let weaknesses = against(&attestation);
    if !weaknesses.is_empty() {
        return Err(Failure::NotAttested { weaknesses });
    }
    let signed = proof::sign(store, hal, Claim::Attestation(attestation))?;
    store.set_attestation(*key.root.as_uuid(), key.version, signed.clone())?;
    Ok(signed)
}

/// What forbids an attestation. That a software root key is none of an HSM does not: its attestation says so.
fn against(attestation: &Attestation) -> Vec<Weakness> {
    let mut weaknesses = attestation.weaknesses();
    weaknesses.retain(|weakness| *weakness != Weakness::Software);
    weaknesses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement;

    #[test]
    fn a_failed_self_test_forbids_an_attestation_and_a_software_root_key_does_not() {
        let golden = include_bytes!("../statement/golden/attestation.json");
        let Claim::Attestation(good) = statement::verify(golden, None).unwrap().statement.claim else {
            panic!("it is an attestation")
        };
        assert_eq!(against(&good), []);
        let mut failed = good.clone();
        failed.copies[0].self_test[0].passed = false;
        assert!(matches!(against(&failed).as_slice(), [Weakness::SelfTest { .. }]));
        let mut readable = good.clone();
        readable.attributes.sensitive = Some(false);
        assert_eq!(against(&readable), [Weakness::NotSensitive]);
        assert_eq!(against(&Attestation { is_hsm: false, ..good }), []);
        // Not even a software root key may fail anything else.
        assert!(matches!(against(&Attestation { is_hsm: false, ..failed }).as_slice(), [Weakness::SelfTest { .. }]));
    }
}
