//! Managed objects of a server, over its admin API: everything but their content.

use clap::Args;
use uuid::Uuid;

use super::{ListArgs, ShowArgs, parse_identifier};
use crate::cli::{
    CliError,
    adapter::adapter_path,
    api::{Api, escaped},
    output::say,
    place::Where,
    view::{self, text},
};

/// Which objects of a server are listed.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct Filters {
    /// Only those in this state, such as Active (with a server only, as the other filters)
    #[arg(long, conflicts_with = "config")]
    state: Option<String>,
    /// Only those of this type, such as SymmetricKey
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "config")]
    object_type: Option<String>,
    /// Only those with this text in one of their names
    #[arg(long, value_name = "TEXT", conflicts_with = "config")]
    name_contains: Option<String>,
    /// Only those not fetched at this time (RFC 3339) or later
    #[arg(long, value_name = "TIME", conflicts_with = "config")]
    unused_since: Option<String>,
    /// Only destroyed ones whose material is held
    #[arg(long, conflicts_with = "config")]
    held: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct OneArgs {
    /// The object's Unique Identifier
    #[arg(value_parser = parse_identifier)]
    id: Uuid,
    #[command(flatten)]
    config: Where,
}

pub(super) fn list(api: &Api, args: &ListArgs) -> Result<(), CliError> {
    let Filters { state, object_type, name_contains, unused_since, held } = &args.filters;
    let filters =
        [("state", state), ("type", object_type), ("name_contains", name_contains), ("unused_since", unused_since)];
    let mut query = vec![format!("held={held}")];
    query.extend(filters.iter().filter_map(|(name, value)| Some(format!("{name}={}", escaped(value.as_deref()?)))));
    let path = format!("{}/objects?{}", adapter_path(api, &args.adapter)?, query.join("&"));
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

pub(super) fn show(api: &Api, args: &ShowArgs) -> Result<(), CliError> {
    view::one(&api.get(&path(args.id))?, args.json)
}

pub(super) fn destroy(args: &OneArgs) -> Result<(), CliError> {
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

pub(super) fn recover(args: &OneArgs) -> Result<(), CliError> {
    let api = args.config.api()?;
    let object = api.act_on(&path(args.id), "recover", None)?;
    say(format_args!("object {} is {} again", args.id, text(&object, "/state")));
    Ok(())
}

fn path(id: Uuid) -> String {
    format!("/v1/objects/{id}")
}
