//! `keystead cert rule`: which certificates of the own authority act as which adapter, by their common name.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    cli::{
        CliError, ConfigArgs,
        adapter::parse_text,
        admin::{Admin, Subject, adapter_names, shown_time},
        output::{as_text, json, say, table},
    },
    store::{CaRuleRow, RuleKind, StoreError},
    text::BadText,
};

/// Rules for certificates of the own authority.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RuleCommand {
    /// Let certificates of the own authority with this common name act as an adapter
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
    /// The common name, compared exactly
    #[arg(long, value_parser = parse_common_name)]
    common_name: String,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RuleListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RuleRemoveArgs {
    /// The rule's identifier
    id: Uuid,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(command: &RuleCommand) -> Result<(), CliError> {
    match command {
        RuleCommand::Add(args) => add(args),
        RuleCommand::List(args) => list(args),
        RuleCommand::Remove(args) => remove(args),
    }
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
    let admin = Admin::open(args.config.load()?)?;
    let adapter = admin.adapter(&args.adapter)?;
    let row = CaRuleRow {
        id: Uuid::new_v4(),
        adapter: adapter.id,
        issuer: None,
        kind: RuleKind::CommonName,
        value: args.common_name.clone(),
        added_at: Timestamp::now().as_second(),
    };
    let id = row.id;
    let about = Subject { adapter: Some(adapter.id), ca_rule: Some(id), ..Subject::default() };
    admin.act("ca_rule.add", about, || match admin.store.insert_ca_rule(row) {
        Err(StoreError::Duplicate) => Err(CliError::Exists { what: "a rule for", name: args.common_name.clone() }),
        result => Ok(result?),
    })?;
    say(format_args!("rule {id}: {:?} of the own authority now acts as adapter {:?}", args.common_name, adapter.name));
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
        return json(&listing);
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
