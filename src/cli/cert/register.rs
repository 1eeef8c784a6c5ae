//! Who registers a certificate: a command given a file, and whoever has just issued one.

use jiff::Timestamp;

use super::{RegisterArgs, remote};
use crate::{
    ca::{describe, read_certificates},
    cli::{
        CliError,
        admin::{Admin, Subject, adapter_names},
        data_dir::exists,
        output::{note, say},
    },
    config::TlsConfig,
    store::{AdapterRow, CertificateRow, Fingerprint, StoreError},
    trust::{self, Trust, fingerprint, issued_row, own_ca_verifier},
};

pub(super) fn run(args: &RegisterArgs) -> Result<(), CliError> {
    if let Some(api) = args.config.there()? {
        return remote::register(&api, args);
    }
    let admin = Admin::open(args.config.load()?)?;
    let adapter = admin.adapter(&args.owner.adapter)?;
    let file = std::fs::read(&args.file).map_err(CliError::file(&args.file))?;
    let certificates = read_certificates(&file).map_err(CliError::content(&args.file))?;
    // In a chain the client's own certificate comes first; the others are authorities, which are not trusted.
    let Some(certificate) = certificates.into_iter().next() else { return Ok(()) };
    refuse_own(&admin.config.tls, &certificate)?;
    say_registered(&insert(&admin, &adapter, args.owner.name.clone(), certificate.to_vec(), IsOwn::Unknown)?, &adapter);
    if describe(&certificate)?.is_authority {
        note("note: this is an authority's certificate; certificates that it issued are not accepted because of it");
    }
    Ok(())
}

/// Refuses certificates whose private key is the authority's or the server's: no client has them.
fn refuse_own(tls: &TlsConfig, certificate: &[u8]) -> Result<(), CliError> {
    for (path, whose) in [(&tls.ca, "authority"), (&tls.certificate, "server")] {
        if !exists(path)? {
            continue;
        }
        let file = std::fs::read(path).map_err(CliError::file(path))?;
        let own = read_certificates(&file).map_err(CliError::content(path))?;
        if own.iter().any(|own| own.as_ref() == certificate) {
            return Err(CliError::OwnCertificate { whose, path: path.clone() });
        }
    }
    Ok(())
}

/// Whether the own authority issued a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum IsOwn {
    /// Just now.
    Yes,
    /// Its authority's certificate tells.
    Unknown,
}

/// Registers the certificate `der` with `adapter`; of one of the own authority it is kept for whom it is.
pub(in crate::cli) fn insert(
    admin: &Admin,
    adapter: &AdapterRow,
    name: Option<String>,
    der: Vec<u8>,
    is_own: IsOwn,
) -> Result<CertificateRow, CliError> {
    let shown = describe(&der)?;
    let is_own = is_own == IsOwn::Yes || own_trust(admin)?.is_own(&der.as_slice().into(), trust::now());
    let row = CertificateRow {
        fingerprint: fingerprint(&der.as_slice().into()),
        adapter: adapter.id,
        name: name.unwrap_or(shown.common_name),
        der,
        added_at: Timestamp::now().as_second(),
    };
    let about = Subject { adapter: Some(adapter.id), certificate: Some(row.fingerprint), ..Subject::default() };
    admin.act("certificate.register", about, || {
        let inserted = match issued_row(&row.der, adapter.id).filter(|_| is_own) {
            Some(issued) => admin.store.insert_issued(row.clone(), issued.expires_at),
            None => admin.store.insert_certificate(row.clone()),
        };
        match inserted {
            Err(StoreError::Duplicate) => Err(taken(admin, row.fingerprint)?),
            result => Ok(result?),
        }
    })?;
    Ok(row)
}

/// What a server over these files trusts.
pub(super) fn own_trust(admin: &Admin) -> Result<Trust, CliError> {
    let path = &admin.config.tls.ca;
    let own = if exists(path)? {
        read_certificates(&std::fs::read(path).map_err(CliError::file(path))?).map_err(CliError::content(path))?
    } else {
        Vec::new()
    };
    Ok(Trust::new(admin.store.trust()?, own_ca_verifier(&own)?))
}

fn taken(admin: &Admin, fingerprint: Fingerprint) -> Result<CliError, CliError> {
    let trust = admin.store.trust()?;
    let owner = trust.certificates.iter().find(|row| row.fingerprint == fingerprint).map(|row| row.adapter);
    let name = owner.and_then(|owner| adapter_names(&trust).get(&owner).copied()).unwrap_or_default();
    Ok(CliError::CertificateTaken { adapter: name.to_owned() })
}

pub(super) fn say_registered(row: &CertificateRow, adapter: &AdapterRow) {
    say(format_args!("certificate {:?} now acts as adapter {:?}; SHA-256 {}", row.name, adapter.name, row.fingerprint));
}
