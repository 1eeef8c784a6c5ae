//! `keystead cert`: which client certificates act as which adapter, and certificates from the server's own authority.

mod rule;

use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding as _};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    CliError, KeyArg,
    adapter::{ADAPTERS, adapter_path, parse_name},
    api::{Api, ApiError, take_secret},
    data_dir::{create_folder, must_be_new, write_file, write_new_file},
    error::UsageError,
    output::{note, say},
    place::Where,
    setup::private_key,
    view::{self, items, text},
};
use crate::{
    admin::model::{ClientKey, NewIssued, Password},
    ca::{IssuedCertificate, read_certificates, request_for},
    config::{read_secret_file, write_secret_file},
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
    Show(ShowArgs),
    /// List the certificates that end soon or have ended, the server's own among them
    Expiring(ExpiringArgs),
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
    /// A name for people, 2 to 40 characters; without it the certificate's common name
    #[arg(long, value_parser = parse_name)]
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
    /// A folder for ca.pem, cert.pem and key.pem, or ca.pem and client.p12; files that are there are never replaced
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A file (mode 600) with a password of 12 to 128 printable ASCII characters: then the server makes the private key, too, and
    /// hands both over in client.p12; without it the private key is made here and stays here, in key.pem
    #[arg(long, value_name = "FILE")]
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

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Its SHA-256 fingerprint, with or without colons, or the first 8 digits or more of it
    fingerprint: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Where,
}

#[derive(Debug, Args)]
pub(super) struct ExpiringArgs {
    /// Those that end within so many days
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(0..=3660))]
    within_days: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Where,
}

pub(super) fn run(command: &CertCommand) -> Result<(), CliError> {
    match command {
        CertCommand::Register(args) => register(args),
        CertCommand::List(args) => list(args),
        CertCommand::Show(args) => show(args),
        CertCommand::Expiring(args) => expiring(args),
        CertCommand::Remove(args) => remove(args),
        CertCommand::Issue(args) => issue(args),
        CertCommand::SignCsr(args) => sign(args),
        CertCommand::Rule(command) => rule::run(command),
    }
}

fn register(args: &RegisterArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    let file = std::fs::read(&args.file).map_err(CliError::file(&args.file))?;
    let chain = read_certificates(&file).map_err(CliError::content(&args.file))?;
    // In a chain the client's own certificate comes first.
    let Some(own) = chain.first() else { return Ok(()) };
    let body = json!({ "name": args.owner.name, "pem": IssuedCertificate::from_der(own.to_vec()).pem });
    let made = api.create(&format!("{}/certificates", adapter_path(&api, &args.owner.adapter)?), &body)?;
    for item in items(&made, "items") {
        say_acts(&text(item, "/name"), &args.owner.adapter, item);
    }
    items(&made, "notes").iter().for_each(|told| note(format_args!("note: {}", text(told, ""))));
    Ok(())
}

fn list(args: &ListArgs) -> Result<(), CliError> {
    let columns = [
        ("ADAPTER", "/adapter_name"),
        ("NAME", "/name"),
        ("ENDS", "/not_after"),
        ("LAST SEEN", "/last_seen/at"),
        ("FROM", "/last_seen/address"),
        ("SUBJECT", "/subject"),
        ("SHA-256", "/fingerprint"),
    ];
    let all = of_adapters(&args.config.api()?, "certificates", args.adapter.as_deref())?;
    view::list(&all, args.json, &columns, "no certificates: `keystead cert register` adds one")
}

/// What is at `below` under each adapter, or under one, with the adapter's name.
fn of_adapters(api: &Api, below: &str, adapter: Option<&str>) -> Result<Vec<Value>, CliError> {
    let adapters = match adapter {
        Some(name) => vec![api.find("adapter", ADAPTERS, "name", name)?],
        None => api.list(ADAPTERS, None)?,
    };
    let mut all = Vec::new();
    for adapter in &adapters {
        for mut item in api.list(&format!("{ADAPTERS}/{}/{below}", text(adapter, "/id")), None)? {
            if let Value::Object(members) = &mut item {
                members.insert("adapter_name".to_owned(), adapter.get("name").cloned().unwrap_or_default());
            }
            all.push(item);
        }
    }
    Ok(all)
}

/// The path of the one certificate whose fingerprint begins like this, and the certificate as it is listed.
fn find(api: &Api, fingerprint: &str) -> Result<(String, Value), CliError> {
    let wanted = fingerprint.replace(':', "").to_ascii_lowercase();
    if wanted.len() < MIN_PREFIX {
        return Err(UsageError::ShortFingerprint { given: wanted.len(), least: MIN_PREFIX }.into());
    }
    let mut found = of_adapters(api, "certificates", None)?;
    found.retain(|item| text(item, "/fingerprint").starts_with(&wanted));
    let several = found.iter().map(|item| text(item, "/fingerprint")).collect();
    match (found.len(), found.pop()) {
        (1, Some(item)) => {
            let (adapter, fingerprint) = (text(&item, "/adapter"), text(&item, "/fingerprint"));
            Ok((format!("{ADAPTERS}/{adapter}/certificates/{fingerprint}"), item))
        }
        _ => Err(CliError::NoSuch { what: "certificate", name: fingerprint.to_owned(), others: several }),
    }
}

fn show(args: &ShowArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    let (path, _) = find(&api, &args.fingerprint)?;
    view::one(&api.get(&path)?, args.json)
}

fn expiring(args: &ExpiringArgs) -> Result<(), CliError> {
    let all = args.config.api()?.list(&format!("/v1/certificates?expiring_within_days={}", args.within_days), None)?;
    let columns = [
        ("DAYS LEFT", "/days_left"),
        ("ENDS", "/not_after"),
        ("WHOSE", "/kind"),
        ("NAME", "/name"),
        ("LAST SEEN", "/last_seen/at"),
        ("FROM", "/last_seen/address"),
        ("SHA-256", "/fingerprint"),
    ];
    let none = format!("no certificate ends within {} days", args.within_days);
    view::list(&all, args.json, &columns, &none)
}

fn remove(args: &RemoveArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    let (path, item) = find(&api, &args.fingerprint)?;
    let path = if args.although_covered { format!("{path}?although_covered=true") } else { path };
    api.delete(&path).inspect_err(|error| {
        if matches!(error, CliError::Api(ApiError::Refused(refused)) if refused.code == "state") {
            note("`keystead cert rule remove` removes the rule; with --although-covered the certificate alone goes");
        }
    })?;
    say(format_args!("certificate {:?} removed; its connections end within a second", text(&item, "/name")));
    Ok(())
}

fn issue(args: &IssueArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    let own = format!("{}/certificates", adapter_path(&api, &args.owner.adapter)?);
    let files: &[&str] = if args.password_file.is_some() { &["client.p12"] } else { &["cert.pem", "key.pem"] };
    for name in files {
        must_be_new(&args.out.join(name))?;
    }
    create_folder(&args.out)?;
    let made = match &args.password_file {
        Some(password) => issue_file(&api, &own, args, password)?,
        None => issue_for_key(&api, &own, args)?,
    };
    write_file(&args.out.join("ca.pem"), member(&made, &own, "ca_pem")?)?;
    say_acts(args.owner.name.as_ref().unwrap_or(&args.common_name), &args.owner.adapter, &made);
    say(format_args!("{}: ca.pem and {} for the client", args.out.display(), files.join(" and ")));
    Ok(())
}

/// Has certificate and private key made, both in a file under a password.
fn issue_file(api: &Api, own: &str, args: &IssueArgs, password: &Path) -> Result<Value, CliError> {
    let read = read_secret_file(password).map_err(CliError::secret(password))?;
    let password = std::str::from_utf8(&read).map_err(|_| UsageError::BadPassword)?;
    let key = match args.key {
        KeyArg::Rsa3072 => ClientKey::Rsa3072,
        KeyArg::EcdsaP256 => ClientKey::EcdsaP256,
    };
    let new = NewIssued {
        common_name: args.common_name.clone(),
        name: args.owner.name.clone(),
        password: Password(Zeroizing::new(password.to_owned())),
        key,
        days: None,
    };
    let mut made = api.create(&format!("{own}/issue"), &new)?;
    let secret = take_secret(&mut made, "pkcs12").and_then(|text| Base64::decode_vec(&text).ok());
    let secret = Zeroizing::new(secret.ok_or_else(|| incomplete(own, "pkcs12"))?);
    let file = args.out.join("client.p12");
    write_secret_file(&file, &secret).map_err(CliError::file(&file))?;
    Ok(made)
}

/// Makes a private key, which stays here, and has a certificate made for it.
fn issue_for_key(api: &Api, own: &str, args: &IssueArgs) -> Result<Value, CliError> {
    let file = args.out.join("key.pem");
    let key = private_key(&file, args.key.into(), "the client's")?;
    let signed = request_for(&key, &args.common_name).map_err(CliError::from).and_then(|request| {
        api.create(&format!("{own}/sign"), &json!({ "request": request, "name": args.owner.name }))
    });
    let made = signed.inspect_err(|_| {
        // This run made it; it is worth nothing without a certificate, and what failed matters more than its removal.
        let _ = std::fs::remove_file(&file);
    })?;
    write_file(&args.out.join("cert.pem"), member(&made, own, "certificate_pem")?)?;
    Ok(made)
}

fn sign(args: &SignArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    let request = std::fs::read(&args.file).map_err(CliError::file(&args.file))?;
    // Text is PEM; what is not goes as the base64 of its DER form.
    let request = String::from_utf8(request).unwrap_or_else(|error| Base64::encode_string(error.as_bytes()));
    args.out.as_deref().map_or(Ok(()), must_be_new)?;
    let path = format!("{}/certificates/sign", adapter_path(&api, &args.owner.adapter)?);
    let made = api.create(&path, &json!({ "request": request, "name": args.owner.name }))?;
    for told in items(&made, "not_granted") {
        note(format_args!("note: not granted: {}", text(told, "")));
    }
    let certificate = member(&made, &path, "certificate_pem")?;
    match &args.out {
        None => say(certificate.trim_end()),
        Some(out) => {
            write_new_file(out, certificate)?;
            say_acts(&text(&made, "/subject"), &args.owner.adapter, &made);
        }
    }
    Ok(())
}

fn say_acts(name: &str, adapter: &str, certificate: &Value) {
    let fingerprint = text(certificate, "/fingerprint");
    say(format_args!("certificate {name:?} now acts as adapter {adapter:?}; SHA-256 {fingerprint}"));
}

/// A text of an answer.
fn member<'a>(answer: &'a Value, path: &str, member: &'static str) -> Result<&'a str, CliError> {
    Ok(answer.get(member).and_then(Value::as_str).ok_or_else(|| incomplete(path, member))?)
}

fn incomplete(path: &str, member: &'static str) -> ApiError {
    ApiError::Incomplete { path: path.to_owned(), member }
}
