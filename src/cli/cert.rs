//! `keystead cert`: which client certificates act as which adapter, and certificates from the own authority.

mod register;
mod remote;
mod rule;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, Subcommand};
use hal::RootKeys;
use jiff::Timestamp;
use serde::Serialize;

pub(super) use self::register::{IsOwn, insert};
use self::register::{own_trust, say_registered};
use super::{
    CliError, KeyArg,
    adapter::parse_text,
    admin::{Admin, Subject, adapter_names, shown_time},
    backend,
    data_dir::{create_folder, exists, write_file, write_new_file},
    error::UsageError,
    output::{json, progress, say, table},
    place::Where,
    signer,
};
use crate::{
    ca::{CertificateAuthority, KeyKind, PrivateKey, Thumbprints, describe},
    config::{KeyPlace, read_secret_file, write_secret_file},
    store::{AdapterRow, CertificateRow},
    text::BadText,
    trust::{self, issued_row},
};

/// Shortest beginning of a fingerprint that names a certificate.
const MIN_PREFIX: usize = 8;

/// Register, issue, sign, list and remove client certificates, and rules for issued ones.
#[derive(Debug, Subcommand)]
pub(super) enum CertCommand {
    /// Register a client's certificate (PEM or DER) with an adapter: whoever holds its private key acts as that adapter
    #[command(visible_alias = "add")]
    Register(RegisterArgs),
    /// List the registered certificates
    List(ListArgs),
    /// Show one registered certificate
    Show(remote::ShowArgs),
    /// List the certificates that end soon or have ended, the server's own among them
    Expiring(remote::ExpiringArgs),
    /// Remove a registered certificate; its open connections are cut within a second
    Remove(RemoveArgs),
    /// Issue a client certificate with a new private key from the own authority, and register it
    Issue(IssueArgs),
    /// Sign a certificate signing request (PKCS#10, PEM or DER) of a client, and register the certificate
    #[command(visible_alias = "sign")]
    SignCsr(SignArgs),
    /// Rules that map certificates of an authority to an adapter by what they say
    #[command(subcommand, visible_alias = "rules")]
    Rule(rule::RuleCommand),
}

#[derive(Debug, Args)]
pub(super) struct RegisterArgs {
    /// The certificate
    file: PathBuf,
    #[command(flatten)]
    owner: Owner,
    #[command(flatten)]
    config: Where,
}

/// Whom a certificate is for.
#[derive(Debug, Args)]
struct Owner {
    /// The adapter's name
    #[arg(long)]
    adapter: String,
    /// A name for people, 1 to 100 characters; without it the certificate's common name
    #[arg(long, value_parser = parse_certificate_name)]
    name: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only those of this adapter
    #[arg(long)]
    adapter: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Where,
}

#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// Its SHA-256 fingerprint, with or without colons, or the first 8 digits or more of it
    fingerprint: String,
    /// Remove it also where a rule of its adapter lets it in as before
    #[arg(long)]
    although_covered: bool,
    #[command(flatten)]
    config: Where,
}

#[derive(Debug, Args)]
pub(super) struct IssueArgs {
    #[command(flatten)]
    owner: Owner,
    /// The common name of its subject, 1 to 64 characters
    #[arg(long)]
    common_name: String,
    /// The kind of its private key
    #[arg(long, value_enum, default_value = "rsa-3072")]
    key: KeyArg,
    /// A folder for ca.pem, cert.pem and key.pem, or from a server ca.pem and client.p12; files that are there are never replaced
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A file (mode 600) with the password for client.p12, 12 to 128 printable ASCII characters (with a server only)
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    config: Where,
}

#[derive(Debug, Args)]
pub(super) struct SignArgs {
    /// The request
    file: PathBuf,
    #[command(flatten)]
    owner: Owner,
    /// Where the certificate (PEM) goes, a file that is not there yet; without it, to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    config: Where,
}

pub(super) fn run(command: &CertCommand) -> Result<(), CliError> {
    match command {
        CertCommand::Register(args) => register::run(args),
        CertCommand::List(args) => list(args),
        CertCommand::Show(args) => remote::show(args),
        CertCommand::Expiring(args) => remote::expiring(args),
        CertCommand::Remove(args) => remove(args),
        CertCommand::Issue(args) => issue(args),
        CertCommand::SignCsr(args) => sign(args),
        CertCommand::Rule(command) => rule::run(command),
    }
}

#[derive(Serialize)]
struct Listed {
    fingerprint: String,
    name: String,
    adapter: String,
    subject: String,
    not_after: String,
    thumbprint_sha1: String,
    thumbprint_sha256: String,
    added_at: String,
}

fn list(args: &ListArgs) -> Result<(), CliError> {
    if let Some(api) = args.config.there()? {
        return remote::list(&api, args);
    }
    let admin = Admin::open(args.config.load()?)?;
    let only = args.adapter.as_deref().map(|name| admin.adapter(name)).transpose()?.map(|adapter| adapter.id);
    let trust = admin.store.trust()?;
    let names = adapter_names(&trust);
    let mut listing = Vec::new();
    for row in trust.certificates.iter().filter(|row| only.is_none_or(|adapter| row.adapter == adapter)) {
        let shown = describe(&row.der)?;
        let thumbprints = Thumbprints::of(&row.der);
        listing.push(Listed {
            fingerprint: row.fingerprint.to_string(),
            name: row.name.clone(),
            adapter: names.get(&row.adapter).copied().unwrap_or_default().to_owned(),
            subject: shown.subject,
            not_after: shown.not_after.to_string(),
            thumbprint_sha1: thumbprints.sha1,
            thumbprint_sha256: thumbprints.sha256,
            added_at: shown_time(row.added_at),
        });
    }
    listing.sort_by(|a, b| (&a.adapter, &a.name, &a.fingerprint).cmp(&(&b.adapter, &b.name, &b.fingerprint)));
    if args.json {
        return json(&listing);
    }
    let rows: Vec<_> =
        listing.into_iter().map(|row| [row.adapter, row.name, row.not_after, row.subject, row.fingerprint]).collect();
    table(
        ["ADAPTER", "NAME", "ENDS", "SUBJECT", "SHA-256"],
        &rows,
        "no certificates: `keystead cert register` adds one",
    );
    Ok(())
}

fn remove(args: &RemoveArgs) -> Result<(), CliError> {
    if let Some(api) = args.config.there()? {
        return remote::remove(&api, args);
    }
    let admin = Admin::open(args.config.load()?)?;
    let wanted = args.fingerprint.replace(':', "").to_ascii_lowercase();
    if wanted.len() < MIN_PREFIX {
        return Err(UsageError::ShortFingerprint { given: wanted.len(), least: MIN_PREFIX }.into());
    }
    let rows = admin.store.trust()?.certificates;
    let found: Vec<_> = rows.iter().filter(|row| row.fingerprint.to_string().starts_with(&wanted)).collect();
    let [row] = found.as_slice() else {
        let others = found.iter().map(|row| row.fingerprint.to_string()).collect();
        return Err(CliError::NoSuch { what: "certificate", name: args.fingerprint.clone(), others });
    };
    let about = Subject { adapter: Some(row.adapter), certificate: Some(row.fingerprint), ..Subject::default() };
    admin.act("certificate.remove", about, || {
        let rule = own_trust(&admin)?.rule_for(&row.der.as_slice().into(), row.adapter, trust::now());
        match rule.filter(|_| !args.although_covered) {
            Some(rule) => Err(CliError::CoveredByRule { rule }),
            None => Ok(admin.store.delete_certificate(row.fingerprint)?),
        }
    })?;
    say(format_args!("certificate {:?} removed; its connections end within a second", row.name));
    Ok(())
}

fn issue(args: &IssueArgs) -> Result<(), CliError> {
    if let Some(api) = args.config.there()? {
        return remote::issue(&api, args);
    }
    let admin = Admin::open(args.config.load()?)?;
    let adapter = admin.adapter(&args.owner.adapter)?;
    let authority = open_authority(&admin)?;
    for name in ["cert.pem", "key.pem"] {
        let path = args.out.join(name);
        if exists(&path)? {
            return Err(CliError::Exists { what: "a file", name: path.display().to_string() });
        }
    }
    let (name, common_name) = (args.owner.name.clone(), &args.common_name);
    let new = NewCertificate { name, common_name, kind: args.key.into(), folder: &args.out };
    say_registered(&issue_files(&admin, &authority, &adapter, &new)?, &adapter);
    say(format_args!("{}: ca.pem, cert.pem and key.pem for the client", args.out.display()));
    Ok(())
}

/// A client certificate to be issued.
pub(super) struct NewCertificate<'a> {
    /// A name for people.
    pub(super) name: Option<String>,
    /// Its subject's common name.
    pub(super) common_name: &'a str,
    /// The kind of its key.
    pub(super) kind: KeyKind,
    /// Where its files go.
    pub(super) folder: &'a Path,
}

/// Issues and registers a client certificate and writes it, its private key and the authority's certificate. A key that is
/// there is used again. The certificate's own file comes last, so that it stands for everything before it.
pub(super) fn issue_files(
    admin: &Admin,
    authority: &CertificateAuthority,
    adapter: &AdapterRow,
    new: &NewCertificate<'_>,
) -> Result<CertificateRow, CliError> {
    create_folder(new.folder)?;
    let key = private_key(&new.folder.join("key.pem"), new.kind, "the client's")?;
    let issued = authority.issue_client(&key, new.common_name, Timestamp::now())?;
    let row = insert(admin, adapter, new.name.clone(), issued.der, IsOwn::Yes)?;
    write_file(&new.folder.join("ca.pem"), &authority.certificate().pem)?;
    write_file(&new.folder.join("cert.pem"), &issued.pem)?;
    Ok(row)
}

/// The private key in the file `path`, or a new one that is then there.
pub(super) fn private_key(path: &Path, kind: KeyKind, whose: &str) -> Result<PrivateKey, CliError> {
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

/// The own authority, able to sign. The HSM is only opened where it holds the authority's key.
fn open_authority(admin: &Admin) -> Result<CertificateAuthority, CliError> {
    load_authority(admin, || backend::open(&admin.config.hsm))
}

/// The same with an HSM that may be open already.
pub(super) fn load_authority(
    admin: &Admin,
    hal: impl FnOnce() -> Result<Arc<dyn RootKeys>, CliError>,
) -> Result<CertificateAuthority, CliError> {
    let tls = &admin.config.tls;
    let certificate = std::fs::read(&tls.ca).map_err(CliError::file(&tls.ca))?;
    let key = match &tls.ca_key {
        KeyPlace::File(path) => {
            let text = read_secret_file(path).map_err(CliError::secret(path))?;
            PrivateKey::from_pem(&text).map_err(CliError::content(path))?
        }
        KeyPlace::Hsm(label) => signer::private_key(&admin.store, &hal()?, signer::Purpose::Ca, label)?,
    };
    CertificateAuthority::load(&certificate, key).map_err(CliError::content(&tls.ca))
}

fn sign(args: &SignArgs) -> Result<(), CliError> {
    if let Some(api) = args.config.there()? {
        return remote::sign(&api, args);
    }
    let admin = Admin::open(args.config.load()?)?;
    let adapter = admin.adapter(&args.owner.adapter)?;
    let authority = open_authority(&admin)?;
    let request = std::fs::read(&args.file).map_err(CliError::file(&args.file))?;
    let issued = authority.sign_request(&request, Timestamp::now()).map_err(CliError::content(&args.file))?;
    let Some(path) = &args.out else {
        insert(&admin, &adapter, args.owner.name.clone(), issued.der, IsOwn::Yes)?;
        say(issued.pem.trim_end());
        return Ok(());
    };
    if exists(path)? {
        return Err(CliError::Exists { what: "a file", name: path.display().to_string() });
    }
    // Nobody has it before it is on record for whom it is, also if this is cut off before it is registered.
    let issued_for = issued_row(&issued.der, adapter.id).into_iter().collect();
    admin.store.record_issued(issued_for, Timestamp::now().as_second())?;
    write_new_file(path, &issued.pem)?;
    let row = insert(&admin, &adapter, args.owner.name.clone(), issued.der, IsOwn::Yes).inspect_err(|_| {
        // This run made it; it is worth nothing without its registration, and what failed matters more than its removal.
        let _ = std::fs::remove_file(path);
    })?;
    say_registered(&row, &adapter);
    Ok(())
}

fn parse_certificate_name(text: &str) -> Result<String, BadText> {
    parse_text(text, (1, 100))
}
