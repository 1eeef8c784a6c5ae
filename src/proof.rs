//! The key that signs statements about root keys: found on record and in the HSM, or made at its first use.
//!
//! One key of an installation signs all its statements, so that one public key, kept by an auditor, confirms them all. A new
//! one is therefore never made in place of one that is on record, however long that cannot be reached; replacing it is an
//! operator's decision ([`replace_signer`]).

use hal::{HalError, InvalidLabel, Label, RootKeys, SignerId, SignerInfo, SignerKind};
use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    statement::{Claim, PublicKey, SignError, Statement},
    store::{SignerRow, Store, StoreError},
};

/// What the key is for, on record.
const PURPOSE: &str = "attestation";

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The HSM said no, or not now.
    #[error(transparent)]
    Hal(#[from] HalError),
    /// The database said no.
    #[error("the database: {0}")]
    Store(#[from] StoreError),
    /// The statement could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The key on record is not in this HSM.
    #[error(
        "the key that signs statements, {label:?}, is not on this HSM: attach its token, or make another one with \
         `keystead root-key signer --replace` and tell whoever checks statements"
    )]
    SignerGone {
        /// Its label.
        label: String,
    },
    /// Its label would be none.
    #[error(transparent)]
    Label(#[from] InvalidLabel),
}

/// The key that signs statements. The first call makes it and records it.
///
/// # Errors
/// `SignerGone` where one is on record that the HSM does not hold; the HSM or the database failed.
pub fn signer(store: &Store, hal: &dyn RootKeys) -> Result<SignerInfo, ProofError> {
    if let Some(row) = recorded(store)? {
        return describe(hal, row);
    }
    let made = make(hal)?;
    match store.insert_signer(row(&made)) {
        // Another process made one at the same time; that one counts, and ours signs nothing.
        Err(StoreError::Duplicate) => match recorded(store)? {
            Some(row) => describe(hal, row),
            None => Err(StoreError::Duplicate.into()),
        },
        result => Ok(result.map(|()| made)?),
    }
}

/// Makes a new key that signs statements from now on. Statements that the old one signed stay what they are.
///
/// # Errors
/// The HSM or the database failed.
pub fn replace_signer(store: &Store, hal: &dyn RootKeys) -> Result<SignerInfo, ProofError> {
    let Some(old) = recorded(store)? else { return signer(store, hal) };
    let made = make(hal)?;
    store.replace_signer(old.id, row(&made))?;
    Ok(made)
}

/// Says `claim`, signed, in the text of a file.
///
/// # Errors
/// As [`signer`]; the HSM did not sign.
pub fn sign(store: &Store, hal: &dyn RootKeys, claim: Claim) -> Result<String, ProofError> {
    let signer = signer(store, hal)?;
    Ok(Statement::new(Timestamp::now(), claim).sign(hal, &signer)?)
}

/// The signer's public key, for those who check statements.
///
/// # Errors
/// As [`signer`].
pub fn public_key(signer: &SignerInfo) -> Result<PublicKey, ProofError> {
    Ok(PublicKey::of_signer(signer)?)
}

fn recorded(store: &Store) -> Result<Option<SignerRow>, StoreError> {
    Ok(store.signers()?.into_iter().find(|row| row.purpose == PURPOSE))
}

fn describe(hal: &dyn RootKeys, row: SignerRow) -> Result<SignerInfo, ProofError> {
    match hal.describe_signer(SignerId::from_uuid(row.id)) {
        Err(HalError::UnknownSigner(_)) => Err(ProofError::SignerGone { label: row.label }),
        result => Ok(result?),
    }
}

fn make(hal: &dyn RootKeys) -> Result<SignerInfo, ProofError> {
    // Labels are unique on a token, and one that an interrupted call made may be there.
    let number = Uuid::new_v4().simple().to_string();
    let label = Label::new(&format!("keystead-attestation-{}", number.get(..8).unwrap_or_default()))?;
    Ok(hal.generate_signer(&label, SignerKind::EcdsaP256)?)
}

fn row(signer: &SignerInfo) -> SignerRow {
    SignerRow {
        purpose: PURPOSE.to_owned(),
        id: *signer.id.as_uuid(),
        label: signer.label.to_string(),
        kind: signer.kind.name().to_owned(),
        created_at: Timestamp::now().as_second(),
    }
}

#[cfg(test)]
mod tests {
    use hal::{SecretBytes, software::SoftwareHal};
    use tempfile::TempDir;

    use super::*;
    use crate::{statement, store::StoreOptions};

    fn site(folder: &TempDir, token: &str) -> (Store, SoftwareHal) {
        let store = Store::open(&folder.path().join("store.db"), StoreOptions::default()).unwrap();
        let passphrase = SecretBytes::from(b"a passphrase of a test".to_vec());
        (store, SoftwareHal::create(&folder.path().join(token), &passphrase).unwrap())
    }

    #[test]
    fn one_signer_is_made_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (store, hal) = site(&folder, "token");
        let first = signer(&store, &hal).unwrap();
        assert_eq!(signer(&store, &hal).unwrap(), first);
        assert_eq!(store.signers().unwrap().len(), 1);
        assert_eq!(store.signers().unwrap()[0].kind, "ecdsa-p256");
    }

    #[test]
    fn a_signer_on_a_lost_token_is_replaced_by_an_operator_only() {
        let folder = tempfile::tempdir().unwrap();
        let (store, lost) = site(&folder, "token");
        let old = signer(&store, &lost).unwrap();
        let (_, hal) = site(&folder, "other");
        let said = signer(&store, &hal).unwrap_err().to_string();
        assert!(said.contains(old.label.as_str()) && said.contains("--replace"), "{said}");
        assert_eq!(store.signers().unwrap()[0].id, *old.id.as_uuid());
        let new = replace_signer(&store, &hal).unwrap();
        assert_ne!(new.id, old.id);
        assert_eq!(signer(&store, &hal).unwrap(), new);
        assert_eq!(store.signers().unwrap().len(), 1);
    }

    #[test]
    fn what_is_signed_is_confirmed_by_the_signers_public_key() {
        let folder = tempfile::tempdir().unwrap();
        let (store, hal) = site(&folder, "token");
        let root = hal.generate_root(&Label::new("main").unwrap()).unwrap();
        let report = hal.self_test(root.key()).unwrap();
        let attestation = statement::Attestation::new(&root, hal::KeyWrapper::capabilities(&hal), &report);
        let file = sign(&store, &hal, Claim::Attestation(attestation)).unwrap();
        let known = public_key(&signer(&store, &hal).unwrap()).unwrap();
        assert!(statement::verify(file.as_bytes(), Some(&known)).unwrap().trusted);
    }
}
