//! Client certificates of a server, over its admin API.

use std::path::Path;

use base64ct::{Base64, Encoding as _};
use clap::Args;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{IssueArgs, ListArgs, MIN_PREFIX, RegisterArgs, RemoveArgs, SignArgs};
use crate::{
    ca::read_certificates,
    cli::{
        CliError, KeyArg,
        adapter::{ADAPTERS, adapter_path},
        api::{Api, ApiError, take_secret},
        data_dir::{create_folder, exists, write_file, write_new_file},
        error::UsageError,
        output::{note, say},
        place::Where,
        view::{self, text},
    },
    config::{read_secret_file, write_secret_file},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArgs {
    /// Its SHA-256 fingerprint, with or without colons, or the first 8 digits or more of it
    fingerprint: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Where,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ExpiringArgs {
    /// Those that end within so many days
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(0..=3660))]
    within_days: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Where,
}

pub(super) fn register(api: &Api, args: &RegisterArgs) -> Result<(), CliError> {
    let file = std::fs::read(&args.file).map_err(CliError::file(&args.file))?;
    let chain = read_certificates(&file).map_err(CliError::content(&args.file))?;
    // In a chain the client's own certificate comes first.
    let Some(own) = chain.first() else { return Ok(()) };
    let body = json!({ "name": args.owner.name, "pem": pem(own) });
    let made = api.create(&format!("{}/certificates", adapter_path(api, &args.owner.adapter)?), &body)?;
    for item in items(&made, "items") {
        let (name, fingerprint) = (text(item, "/name"), text(item, "/fingerprint"));
        say(format_args!("certificate {name:?} now acts as adapter {:?}; SHA-256 {fingerprint}", args.owner.adapter));
    }
    items(&made, "notes").iter().for_each(|told| note(format_args!("note: {}", text(told, ""))));
    Ok(())
}

fn pem(der: &[u8]) -> String {
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in Base64::encode_string(der).as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

fn items<'a>(answer: &'a Value, member: &str) -> &'a [Value] {
    answer.get(member).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn list(api: &Api, args: &ListArgs) -> Result<(), CliError> {
    let columns = [
        ("ADAPTER", "/adapter_name"),
        ("NAME", "/name"),
        ("ENDS", "/not_after"),
        ("LAST SEEN", "/last_seen/at"),
        ("FROM", "/last_seen/address"),
        ("SUBJECT", "/subject"),
        ("SHA-256", "/fingerprint"),
    ];
    let all = of_adapters(api, "certificates", args.adapter.as_deref())?;
    view::list(&all, args.json, &columns, "no certificates: `keystead cert register` adds one")
}

/// What is at `below` under each adapter, or under one, with the adapter's name.
pub(super) fn of_adapters(api: &Api, below: &str, adapter: Option<&str>) -> Result<Vec<Value>, CliError> {
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

pub(super) fn show(args: &ShowArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    let (path, _) = find(&api, &args.fingerprint)?;
    view::one(&api.get(&path)?, args.json)
}

pub(super) fn expiring(args: &ExpiringArgs) -> Result<(), CliError> {
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

pub(super) fn remove(api: &Api, args: &RemoveArgs) -> Result<(), CliError> {
    let (path, item) = find(api, &args.fingerprint)?;
    api.delete(&if args.although_covered { format!("{path}?although_covered=true") } else { path })?;
    say(format_args!("certificate {:?} removed; its connections end within a second", text(&item, "/name")));
    Ok(())
}

pub(super) fn issue(api: &Api, args: &IssueArgs) -> Result<(), CliError> {
    let password = args.password_file.as_ref().ok_or(UsageError::NoFilePassword)?;
    let password = read_secret_file(password).map_err(CliError::secret(password))?;
    let password = std::str::from_utf8(&password).map_err(|_| UsageError::BadPassword)?;
    let file = args.out.join("client.p12");
    if exists(&file)? {
        return Err(CliError::Exists { what: "a file", name: file.display().to_string() });
    }
    create_folder(&args.out)?;
    let key = match args.key {
        KeyArg::Rsa3072 => "rsa-3072",
        KeyArg::EcdsaP256 => "ecdsa-p256",
    };
    let body = json!({
        "common_name": args.common_name, "name": args.owner.name, "key": key, "password": password,
    });
    let path = format!("{}/certificates/issue", adapter_path(api, &args.owner.adapter)?);
    let mut made = api.create(&path, &body)?;
    let secret = take_secret(&mut made, "pkcs12").and_then(|text| Base64::decode_vec(&text).ok());
    let secret = Zeroizing::new(secret.ok_or(ApiError::Incomplete { path, member: "pkcs12" })?);
    write_secret_file(&file, &secret).map_err(CliError::file(&file))?;
    if let Some(authority) = made.get("ca_pem").and_then(Value::as_str) {
        write_file(&args.out.join("ca.pem"), authority)?;
    }
    let (name, adapter) = (text(&made, "/name"), &args.owner.adapter);
    say(format_args!("certificate {name:?} now acts as adapter {adapter:?}; SHA-256 {}", text(&made, "/fingerprint")));
    say(format_args!("{}: client.p12 and ca.pem for the client", args.out.display()));
    Ok(())
}

pub(super) fn sign(api: &Api, args: &SignArgs) -> Result<(), CliError> {
    let request = std::fs::read(&args.file).map_err(CliError::file(&args.file))?;
    // Text is PEM; what is not goes as the base64 of its DER form.
    let request = String::from_utf8(request).unwrap_or_else(|error| Base64::encode_string(error.as_bytes()));
    must_be_new(args.out.as_deref())?;
    let path = format!("{}/certificates/sign", adapter_path(api, &args.owner.adapter)?);
    let made = api.create(&path, &json!({ "request": request, "name": args.owner.name }))?;
    for told in items(&made, "not_granted") {
        note(format_args!("note: not granted: {}", text(told, "")));
    }
    let certificate = made.get("certificate_pem").and_then(Value::as_str);
    let certificate = certificate.ok_or(ApiError::Incomplete { path, member: "certificate_pem" })?;
    match &args.out {
        None => say(certificate.trim_end()),
        Some(out) => {
            write_new_file(out, certificate)?;
            let fingerprint = text(&made, "/fingerprint");
            say(format_args!(
                "{:?} acts as adapter {:?}; SHA-256 {fingerprint}",
                text(&made, "/subject"),
                args.owner.adapter
            ));
        }
    }
    Ok(())
}

/// Refuses a file that is there, before anything is made for it.
fn must_be_new(file: Option<&Path>) -> Result<(), CliError> {
    match file {
        Some(file) if exists(file)? => Err(CliError::Exists { what: "a file", name: file.display().to_string() }),
        _ => Ok(()),
    }
}
