//! The adapters and client certificates that a set-up makes by itself, before there is anything to ask for them.

use std::path::{Path, PathBuf};

use hal::RootKeyId;
use jiff::Timestamp;
use uuid::Uuid;

use super::{kept, made};
use crate::{
    ca::{CaError, CertificateAuthority, KeyKind, PrivateKey, describe, read_certificates},
    cli::{
        CliError,
        admin::{Admin, Subject},
        data_dir::{create_folder, exists, write_file},
        output::{note, progress},
    },
    config::{read_secret_file, write_secret_file},
    store::{AdapterId, AdapterRow, CertificateRow, StoreError},
    trust::{self, Trust, fingerprint, issued_row, own_ca_verifier},
};

/// An adapter with a client certificate of its own.
pub(super) struct NewClient<'a> {
    /// The adapter's name, and the common name of the certificate.
    pub(super) adapter: &'a str,
    /// Where the client's files go.
    pub(super) folder: PathBuf,
    /// The adapter's root key.
    pub(super) root_key: RootKeyId,
    /// The kind of the client's private key.
    pub(super) kind: KeyKind,
}

/// Makes what is missing of a client. The authority is asked for where something is issued.
pub(super) fn make<'a>(
    admin: &Admin,
    authority: impl FnOnce() -> Result<&'a CertificateAuthority, CliError>,
    new: &NewClient<'_>,
) -> Result<(), CliError> {
    let known = admin.store.trust()?.adapters.into_iter().find(|row| row.name == new.adapter);
    let is_new = known.is_none();
    let adapter = known.map_or_else(|| insert_adapter(admin, new), Ok)?;
    let path = new.folder.join("cert.pem");
    if !exists(&path)? {
        issue(admin, authority()?, &adapter, new)?;
        made(format_args!("client certificate of adapter {:?}", adapter.name), &path);
        return Ok(());
    }
    kept(format_args!("client certificate of adapter {:?}", adapter.name), &path);
    // With an adapter that was there, a certificate that is not registered was removed on purpose.
    if is_new {
        let certificate = first_certificate(&path)?;
        let is_own = own_trust(admin)?.is_own(&certificate.as_slice().into(), trust::now());
        insert_certificate(admin, &adapter, certificate, is_own)?;
    }
    Ok(())
}

fn insert_adapter(admin: &Admin, new: &NewClient<'_>) -> Result<AdapterRow, CliError> {
    let now = Timestamp::now().as_second();
    let row = AdapterRow {
        id: AdapterId(Uuid::new_v4()),
        name: new.adapter.to_owned(),
        description: None,
        root_key: *new.root_key.as_uuid(),
        credential: None,
        created_at: now,
        revision: 1,
        changed_at: now,
        hold_seconds: 0,
    };
    let about = Subject { adapter: Some(row.id), root_key: Some(row.root_key), ..Subject::default() };
    admin.act("adapter.create", about, || Ok(admin.store.insert_adapter(row.clone())?))?;
    note(format_args!("made  adapter {:?}: {}", row.name, row.id.0));
    Ok(row)
}

/// Issues and registers a client certificate and writes it, its private key and the authority's certificate. A key that is
/// there is used again. The certificate's own file comes last, so that it stands for everything before it.
fn issue(
    admin: &Admin,
    authority: &CertificateAuthority,
    adapter: &AdapterRow,
    new: &NewClient<'_>,
) -> Result<(), CliError> {
    create_folder(&new.folder)?;
    let key = private_key(&new.folder.join("key.pem"), new.kind, "the client's")?;
    let issued = authority.issue_client(&key, new.adapter, Timestamp::now())?;
    insert_certificate(admin, adapter, issued.der, true)?;
    write_file(&new.folder.join("ca.pem"), &authority.certificate().pem)?;
    write_file(&new.folder.join("cert.pem"), &issued.pem)
}

/// Registers a certificate; of one of the own authority it is kept for whom it is.
fn insert_certificate(admin: &Admin, adapter: &AdapterRow, der: Vec<u8>, is_own: bool) -> Result<(), CliError> {
    let row = CertificateRow {
        fingerprint: fingerprint(&der.as_slice().into()),
        adapter: adapter.id,
        name: describe(&der)?.common_name,
        der,
        added_at: Timestamp::now().as_second(),
    };
    let about = Subject { adapter: Some(adapter.id), certificate: Some(row.fingerprint), ..Subject::default() };
    let name = row.fingerprint.to_string();
    admin.act("certificate.register", about, || {
        let inserted = match issued_row(&row.der, adapter.id).filter(|_| is_own) {
            Some(issued) => admin.store.insert_issued(row, issued.expires_at),
            None => admin.store.insert_certificate(row),
        };
        match inserted {
            Err(StoreError::Duplicate) => Err(CliError::Exists { what: "a certificate", name }),
            result => Ok(result?),
        }
    })
}

/// What a server over these files trusts.
fn own_trust(admin: &Admin) -> Result<Trust, CliError> {
    let path = &admin.config.tls.ca;
    let own =
        read_certificates(&std::fs::read(path).map_err(CliError::file(path))?).map_err(CliError::content(path))?;
    Ok(Trust::new(admin.store.trust()?, own_ca_verifier(&own)?))
}

/// The private key in the file `path`, or a new one that is then there.
pub(in crate::cli) fn private_key(path: &Path, kind: KeyKind, whose: &str) -> Result<PrivateKey, CliError> {
    if exists(path)? {
        let text = read_secret_file(path).map_err(CliError::secret(path))?;
        return PrivateKey::from_pem(&text).map_err(CliError::content(path));
    }
    let key = match kind {
        KeyKind::EcdsaP256 => PrivateKey::generate(kind)?,
        KeyKind::Rsa3072 => {
            progress(format_args!("making {whose} private key (RSA with 3072 bits)"), || PrivateKey::generate(kind))?
        }
    };
    write_secret_file(path, key.to_pem()?.as_bytes()).map_err(CliError::file(path))?;
    Ok(key)
}

/// The first certificate in a file.
pub(super) fn first_certificate(path: &Path) -> Result<Vec<u8>, CliError> {
    let file = std::fs::read(path).map_err(CliError::file(path))?;
    let first = read_certificates(&file).map_err(CliError::content(path))?.into_iter().next();
    first.map(|certificate| certificate.to_vec()).ok_or(CaError::NotACertificate).map_err(CliError::content(path))
}
