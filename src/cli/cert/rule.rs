//! `keystead cert rule`: which certificates of an authority act as which adapter, by what they say.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::remote::of_adapters;
use crate::{
    cli::{
        CliError,
        adapter::{ADAPTERS, adapter_path, parse_text},
        admin::{Admin, Subject, adapter_names, shown_time},
        api::Api,
        context::ContextError,
        output::{self, as_text, say, table},
        place::Where,
        view::{self, text},
    },
    store::{CaRuleRow, RuleKind, StoreError},
    text::BadText,
};

/// Rules for certificates of authorities.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RuleCommand {
    /// Let certificates of an authority that say this act as an adapter
    Add(RuleAddArgs),
    /// List the rules
    List(RuleListArgs),
    /// Remove a rule
    Remove(RuleRemoveArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RuleAddArgs {
    /// The adapter's name
    #[arg(long)]
    adapter: String,
    /// What the certificate says
    #[command(flatten)]
    says: Says,
    /// The SHA-256 fingerprint of the authority's certificate (see `keystead authority`); without it the server's own authority
    #[arg(long, value_name = "FINGERPRINT", conflicts_with = "config")]
    issuer: Option<String>,
    #[command(flatten)]
    config: Where,
}

/// What of a certificate is compared, and with what.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Says {
    /// The only common name of its subject, compared exactly
    #[arg(long, value_parser = parse_common_name)]
    common_name: Option<String>,
    /// Its whole subject, such as CN=array-1,O=Example,C=US (with a server only)
    #[arg(long)]
    subject: Option<String>,
    /// A DNS name among its alternative names (with a server only)
    #[arg(long)]
    dns: Option<String>,
    /// A URI among its alternative names (with a server only)
    #[arg(long)]
    uri: Option<String>,
    /// An e-mail address among its alternative names (with a server only)
    #[arg(long)]
    email: Option<String>,
}

impl Says {
    /// The kind and the value, as the admin API has them.
    fn compared(&self) -> Option<(&'static str, &str)> {
        let all = [
            ("cn", &self.common_name),
            ("subject", &self.subject),
            ("dns", &self.dns),
            ("uri", &self.uri),
            ("email", &self.email),
        ];
        all.into_iter().find_map(|(kind, value)| Some((kind, value.as_deref()?)))
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RuleListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Where,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RuleRemoveArgs {
    /// The rule's identifier
    id: Uuid,
    #[command(flatten)]
    config: Where,
}

pub(super) fn run(command: &RuleCommand) -> Result<(), CliError> {
    match command {
        RuleCommand::Add(args) => match args.config.there()? {
            Some(api) => add_there(&api, args),
            None => add(args),
        },
        RuleCommand::List(args) => match args.config.there()? {
            Some(api) => list_there(&api, args),
            None => list(args),
        },
        RuleCommand::Remove(args) => match args.config.there()? {
            Some(api) => remove_there(&api, args),
            None => remove(args),
        },
    }
}

fn add_there(api: &Api, args: &RuleAddArgs) -> Result<(), CliError> {
    // The command line demands one of them.
    let Some((kind, value)) = args.says.compared() else { return Ok(()) };
    let body = json!({ "kind": kind, "value": value, "issuer": args.issuer });
    let made = api.create(&format!("{}/rules", adapter_path(api, &args.adapter)?), &body)?;
    let id = text(&made, "/id");
    say(format_args!("rule {id}: certificates with {kind} {value:?} now act as adapter {:?}", args.adapter));
    Ok(())
}

fn list_there(api: &Api, args: &RuleListArgs) -> Result<(), CliError> {
    let columns =
        [("KIND", "/kind"), ("VALUE", "/value"), ("ADAPTER", "/adapter_name"), ("ISSUER", "/issuer"), ("ID", "/id")];
    let all = of_adapters(api, "rules", None)?;
    view::list(&all, args.json, &columns, "no rules: only registered certificates are accepted")
}

fn remove_there(api: &Api, args: &RuleRemoveArgs) -> Result<(), CliError> {
    let id = args.id.to_string();
    let rules = of_adapters(api, "rules", None)?;
    let Some(rule) = rules.iter().find(|rule| text(rule, "/id") == id) else {
        return Err(CliError::NoSuch { what: "rule", name: id, others: Vec::new() });
    };
    api.delete(&format!("{ADAPTERS}/{}/rules/{id}", text(rule, "/adapter")))?;
    say(format_args!("rule {id} removed; connections that it let in end within a second"));
    Ok(())
}

#[derive(Serialize)]
struct Listed {
    #[serde(serialize_with = "as_text")]
    id: Uuid,
    common_name: String,
    adapter: String,
    added_at: String,
}

fn add(args: &RuleAddArgs) -> Result<(), CliError> {
    let common_name = args.says.common_name.as_ref().ok_or(ContextError::NeedsServer)?;
    let admin = Admin::open(args.config.load()?)?;
    let adapter = admin.adapter(&args.adapter)?;
    let row = CaRuleRow {
        id: Uuid::new_v4(),
        adapter: adapter.id,
        issuer: None,
        kind: RuleKind::CommonName,
        value: common_name.clone(),
        added_at: Timestamp::now().as_second(),
    };
    let id = row.id;
    let about = Subject { adapter: Some(adapter.id), ca_rule: Some(id), ..Subject::default() };
    admin.act("ca_rule.add", about, || match admin.store.insert_ca_rule(row) {
        Err(StoreError::Duplicate) => Err(CliError::Exists { what: "a rule for", name: common_name.clone() }),
        result => Ok(result?),
    })?;
    say(format_args!("rule {id}: {:?} of the own authority now acts as adapter {:?}", common_name, adapter.name));
    Ok(())
}

fn list(args: &RuleListArgs) -> Result<(), CliError> {
    let admin = Admin::open(args.config.load()?)?;
    let trust = admin.store.trust()?;
    let names = adapter_names(&trust);
    let listing: Vec<_> = trust
        .ca_rules
        .iter()
        .filter(|row| row.issuer.is_none() && row.kind == RuleKind::CommonName)
        .map(|row| Listed {
            id: row.id,
            common_name: row.value.clone(),
            adapter: names.get(&row.adapter).copied().unwrap_or_default().to_owned(),
            added_at: shown_time(row.added_at),
        })
        .collect();
    if args.json {
        return output::json(&listing);
    }
    let rows: Vec<_> = listing.into_iter().map(|row| [row.common_name, row.adapter, row.id.to_string()]).collect();
    table(["COMMON NAME", "ADAPTER", "ID"], &rows, "no rules: only registered certificates are accepted");
    Ok(())
}

fn remove(args: &RuleRemoveArgs) -> Result<(), CliError> {
    let admin = Admin::open(args.config.load()?)?;
    let about = Subject { ca_rule: Some(args.id), ..Subject::default() };
    admin.act("ca_rule.remove", about, || match admin.store.delete_ca_rule(args.id) {
        Err(StoreError::NotFound) => {
            Err(CliError::NoSuch { what: "rule", name: args.id.to_string(), others: Vec::new() })
        }
        result => Ok(result?),
    })?;
    say(format_args!("rule {} removed; connections that it let in end within a second", args.id));
    Ok(())
}

fn parse_common_name(text: &str) -> Result<String, BadText> {
    parse_text(text, (1, 64))
}
