//! `keystead key`: managed objects, everything of them but their content, and on the machine itself how they are sealed.

mod sealed;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use self::sealed::Sealed;
use super::{
    CliError,
    adapter::adapter_path,
    api::escaped,
    output::say,
    place::Where,
    view::{self, text},
};

/// See where managed objects lie.
#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Show one object; on the machine itself also how it is sealed, and the root key that seals it as the HSM tells about it
    Show(ShowArgs),
    /// List the objects of an adapter, the newest first
    List(ListArgs),
    /// Destroy an object; an Active one needs another person's approval (see `keystead approval`)
    Destroy(OneArgs),
    /// Bring a destroyed object back while its material is held
    Recover(OneArgs),
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The object's Unique Identifier
    #[arg(value_parser = parse_identifier)]
    id: Uuid,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Where,
}

/// The text names no object.
#[derive(Debug, thiserror::Error)]
#[error("not a Unique Identifier (a UUID)")]
struct NotAnIdentifier;

fn parse_identifier(text: &str) -> Result<Uuid, NotAnIdentifier> {
    text.parse().map_err(|_| NotAnIdentifier)
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// The adapter's name
    #[arg(long)]
    adapter: String,
    /// Pass over so many first
    #[arg(long, default_value_t = 0)]
    offset: u64,
    #[command(flatten)]
    filters: Filters,
    /// At most so many
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    limit: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Where,
}

/// Which objects are listed.
#[derive(Debug, Default, Args)]
struct Filters {
    /// Only those in this state, such as Active
    #[arg(long)]
    state: Option<String>,
    /// Only those of this type, such as SymmetricKey
    #[arg(long = "type", value_name = "TYPE")]
    object_type: Option<String>,
    /// Only those with this text in one of their names
    #[arg(long, value_name = "TEXT")]
    name_contains: Option<String>,
    /// Only those not fetched at this time (RFC 3339) or later
    #[arg(long, value_name = "TIME")]
    unused_since: Option<String>,
    /// Only destroyed ones whose material is held
    #[arg(long)]
    held: bool,
}

#[derive(Debug, Args)]
pub(super) struct OneArgs {
    /// The object's Unique Identifier
    #[arg(value_parser = parse_identifier)]
    id: Uuid,
    #[command(flatten)]
    config: Where,
}

pub(super) fn run(command: &KeyCommand) -> Result<(), CliError> {
    match command {
        KeyCommand::Show(args) => show(args),
        KeyCommand::List(args) => list(args),
        KeyCommand::Destroy(args) => destroy(args),
        KeyCommand::Recover(args) => recover(args),
    }
}

fn list(args: &ListArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    let Filters { state, object_type, name_contains, unused_since, held } = &args.filters;
    let filters =
        [("state", state), ("type", object_type), ("name_contains", name_contains), ("unused_since", unused_since)];
    let mut query = vec![format!("held={held}")];
    query.extend(filters.iter().filter_map(|(name, value)| Some(format!("{name}={}", escaped(value.as_deref()?)))));
    let path = format!("{}/objects?{}", adapter_path(&api, &args.adapter)?, query.join("&"));
    let skip = usize::try_from(args.offset).unwrap_or(usize::MAX);
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut items = api.list(&path, Some(skip.saturating_add(limit)))?;
    items.drain(..skip.min(items.len()));
    let columns = [
        ("ID", "/id"),
        ("TYPE", "/type"),
        ("STATE", "/state"),
        ("NAMES", "/names"),
        ("LAST USE", "/last_use/at"),
        ("HELD UNTIL", "/held_until"),
    ];
    view::list(&items, args.json, &columns, "no objects")
}

fn show(args: &ShowArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    let mut object = api.get(&path(args.id))?;
    // Of the sealing a server tells the root key alone.
    let sealed = api.here().map(|here| Sealed::of(here, args.id, &object)).transpose()?;
    if args.json {
        if let (Some(sealed), Value::Object(members)) = (sealed, &mut object) {
            members.insert("sealed".to_owned(), json!(sealed));
        }
        return view::one(&object, true);
    }
    view::one(&object, false)?;
    if let (Some(sealed), Some(here)) = (sealed, api.here()) {
        say(format_args!("database    {}", here.admin.config.store.path.display()));
        Sealed::print(sealed.as_ref());
    }
    Ok(())
}

fn destroy(args: &OneArgs) -> Result<(), CliError> {
    let object = args.config.api()?.delete(&path(args.id))?;
    match text(&object, "/held_until").as_str() {
        "" | "-" => say(format_args!("object {} destroyed: its material is gone", args.id)),
        until => say(format_args!(
            "object {} destroyed: out of reach now, its material is held until {until} (keystead key recover)",
            args.id
        )),
    }
    Ok(())
}

fn recover(args: &OneArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    let object = api.act_on(&path(args.id), "recover")?;
    say(format_args!("object {} is {} again", args.id, text(&object, "/state")));
    Ok(())
}

fn path(id: Uuid) -> String {
    format!("/v1/objects/{id}")
}
