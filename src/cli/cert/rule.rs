//! `keystead cert rule`: which certificates of an authority act as which adapter, by what they say.

use clap::{Args, Subcommand};
use serde_json::json;
use uuid::Uuid;

use super::of_adapters;
use crate::{
    cli::{
        CliError,
        adapter::{ADAPTERS, adapter_path, parse_text},
        output::say,
        place::Where,
        view::{self, text},
    },
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
    #[arg(long, value_name = "FINGERPRINT")]
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
    /// Its whole subject, such as CN=array-1,O=Example,C=US
    #[arg(long)]
    subject: Option<String>,
    /// A DNS name among its alternative names
    #[arg(long)]
    dns: Option<String>,
    /// A URI among its alternative names
    #[arg(long)]
    uri: Option<String>,
    /// An e-mail address among its alternative names
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
        RuleCommand::Add(args) => add(args),
        RuleCommand::List(args) => list(args),
        RuleCommand::Remove(args) => remove(args),
    }
}

fn add(args: &RuleAddArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    // The command line demands one of them.
    let Some((kind, value)) = args.says.compared() else { return Ok(()) };
    let body = json!({ "kind": kind, "value": value, "issuer": args.issuer });
    let made = api.create(&format!("{}/rules", adapter_path(&api, &args.adapter)?), &body)?;
    let id = text(&made, "/id");
    say(format_args!("rule {id}: certificates with {kind} {value:?} now act as adapter {:?}", args.adapter));
    Ok(())
}

fn list(args: &RuleListArgs) -> Result<(), CliError> {
    let columns =
        [("KIND", "/kind"), ("VALUE", "/value"), ("ADAPTER", "/adapter_name"), ("ISSUER", "/issuer"), ("ID", "/id")];
    let all = of_adapters(&args.config.api()?, "rules", None)?;
    view::list(&all, args.json, &columns, "no rules: only registered certificates are accepted")
}

fn remove(args: &RuleRemoveArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    let id = args.id.to_string();
    let rules = of_adapters(&api, "rules", None)?;
    let Some(rule) = rules.iter().find(|rule| text(rule, "/id") == id) else {
        return Err(CliError::NoSuch { what: "rule", name: id, others: Vec::new() });
    };
    api.delete(&format!("{ADAPTERS}/{}/rules/{id}", text(rule, "/adapter")))?;
    say(format_args!("rule {id} removed; connections that it let in end within a second"));
    Ok(())
}

fn parse_common_name(text: &str) -> Result<String, BadText> {
    parse_text(text, (1, 64))
}
