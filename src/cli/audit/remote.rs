//! Records of a server's audit log, over its admin API.

use super::SearchArgs;
use crate::cli::{
    CliError,
    adapter::ADAPTERS,
    api::{Api, escaped},
    events, view,
};

const PATH: &str = "/v1/audit/events";

/// Lists records, the newest first.
pub(super) fn search(api: &Api, args: &SearchArgs) -> Result<(), CliError> {
    let filters = &args.filters;
    let adapter = filters.adapter.as_deref().map(|name| api.id("adapter", ADAPTERS, "name", name)).transpose()?;
    let given = [
        ("since", filters.since.map(|time| time.to_string())),
        ("until", filters.until.map(|time| time.to_string())),
        ("adapter", adapter),
        ("object", filters.object.map(|id| id.to_string())),
        ("identity", filters.identity.map(|id| id.to_string())),
        ("actor", filters.actor.clone()),
        ("action", filters.action.clone()),
        ("outcome", filters.outcome.clone()),
        ("correlation", filters.correlation.clone()),
    ];
    let query: Vec<_> =
        given.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", escaped(&value?)))).collect();
    let path = if query.is_empty() { PATH.to_owned() } else { format!("{PATH}?{}", query.join("&")) };
    let items = api.list(&path, Some(usize::try_from(args.limit).unwrap_or(usize::MAX)))?;
    view::list(&items, args.json, &events::OF_LOG, "no such records")
}
