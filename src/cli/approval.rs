//! `keystead approval`: what cannot be undone needs two people. One asks, sees what would be lost, and another decides.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    CliError,
    adapter::{ADAPTERS, parse_description},
    api::Api,
    output::{note, say},
    place::Where,
    root_key,
    view::{self, items, text},
};

const PATH: &str = "/v1/approvals";

/// What needs two people.
#[derive(Debug, Subcommand)]
pub(super) enum ApprovalCommand {
    /// Ask for something that another person must approve
    Request(RequestArgs),
    /// List requests, the newest first
    List(ListArgs),
    /// Show one request, with what would be lost
    Show(ShowArgs),
    /// Approve somebody else's request; it is done when its hold period ends
    Approve(DecideArgs),
    /// Refuse somebody else's request
    Reject(DecideArgs),
    /// Cancel a request, before anything was done
    Cancel(DecideArgs),
}

#[derive(Debug, Args)]
pub(super) struct RequestArgs {
    #[command(flatten)]
    what: What,
    /// Why, for whoever decides: 2 to 240 characters
    #[arg(long, value_parser = parse_description)]
    reason: String,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct What {
    /// Destroy this root key (its label or id), and with it every key that it protects
    #[arg(long, value_name = "LABEL")]
    destroy_root_key: Option<String>,
    /// Delete this adapter (its name or id) with all of its keys
    #[arg(long, value_name = "NAME")]
    delete_adapter: Option<String>,
    /// Destroy this object (its Unique Identifier) though it is Active
    #[arg(long, value_name = "ID")]
    destroy_key: Option<Uuid>,
}

/// Where requests stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum State {
    /// Nobody has decided
    Pending,
    /// Approved, and done when the hold ends
    Approved,
    /// Being done
    Executing,
    /// Done
    Done,
    /// Could not be done
    Failed,
    /// Refused
    Rejected,
    /// Cancelled, or void because more was at stake than had been shown
    Cancelled,
    /// Nobody decided in time
    Expired,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only those in this state
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The request's id
    id: Uuid,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
pub(super) struct DecideArgs {
    /// The request's id
    id: Uuid,
    #[command(flatten)]
    place: Where,
}

pub(super) fn run(command: &ApprovalCommand) -> Result<(), CliError> {
    match command {
        ApprovalCommand::Request(args) => {
            let api = args.place.api()?;
            let What { destroy_root_key, delete_adapter, destroy_key } = &args.what;
            let (action, subject) = match (destroy_root_key, delete_adapter, destroy_key) {
                (Some(label), ..) => ("root_key.destroy", api.id("root key", root_key::PATH, "label", label)?),
                (None, Some(name), _) => ("adapter.delete", api.id("adapter", ADAPTERS, "name", name)?),
                (None, None, id) => ("object.destroy", id.unwrap_or_default().to_string()),
            };
            request(&api, action, &subject, &args.reason)
        }
        ApprovalCommand::List(args) => {
            let state = args.state.and_then(|state| state.to_possible_value());
            let path = state.map_or(PATH.to_owned(), |state| format!("{PATH}?state={}", state.get_name()));
            let columns = [
                ("ID", "/id"),
                ("STATE", "/state"),
                ("WHAT", "/action"),
                ("OF", "/subject_name"),
                ("ACTIVE KEYS", "/impact/active_objects"),
                ("ASKED BY", "/requested_by/name"),
                ("DECIDED BY", "/decided_by/name"),
                ("HELD UNTIL", "/hold_until"),
            ];
            view::list(&args.place.api()?.list(&path, None)?, args.json, &columns, "no requests")
        }
        ApprovalCommand::Show(args) => view::one(&args.place.api()?.get(&format!("{PATH}/{}", args.id))?, args.json),
        ApprovalCommand::Approve(args) => decide(args, "approve"),
        ApprovalCommand::Reject(args) => decide(args, "reject"),
        ApprovalCommand::Cancel(args) => decide(args, "cancel"),
    }
}

/// Asks for something, and says what would be lost.
pub(super) fn request(api: &Api, action: &str, subject: &str, reason: &str) -> Result<(), CliError> {
    let made = api.create(PATH, &json!({ "action": action, "subject": subject, "reason": reason }))?;
    show_impact(made.get("impact").unwrap_or(&Value::Null));
    let (id, end) = (text(&made, "/id"), text(&made, "/expires_at"));
    say(format_args!(
        "request {id}: nothing is done yet; until {end} another person decides: keystead approval approve {id}"
    ));
    Ok(())
}

/// Says in words what would be lost.
pub(super) fn show_impact(impact: &Value) {
    say(format_args!(
        "objects that would be lost: {}, {} of them Active, {} destroyed and held",
        text(impact, "/objects"),
        text(impact, "/active_objects"),
        text(impact, "/held_objects")
    ));
    if impact.get("wrapped_keks").is_some_and(Value::is_u64) {
        say(format_args!("wrapped keys that would be erased: {}", text(impact, "/wrapped_keks")));
    }
    for adapter in items(impact, "adapters") {
        let count = |state| format!("{} {}", text(state, "/objects"), text(state, "/state"));
        let states: Vec<_> = items(adapter, "states").iter().map(count).collect();
        say(format_args!(
            "  adapter {:?}: {} objects ({}), last use {}",
            text(adapter, "/name"),
            text(adapter, "/objects"),
            if states.is_empty() { "none".to_owned() } else { states.join(", ") },
            text(adapter, "/last_use_at")
        ));
        for client in items(adapter, "clients") {
            let (subject, address) = (text(client, "/subject"), text(client, "/address"));
            say(format_args!("    client {subject} from {address}, seen {}", text(client, "/seen_at")));
        }
    }
    for warning in items(impact, "warnings") {
        note(format_args!("note: {}", text(warning, "")));
    }
}

fn decide(args: &DecideArgs, verb: &str) -> Result<(), CliError> {
    let decided = args.place.api()?.act_on(&format!("{PATH}/{}", args.id), verb)?;
    match text(&decided, "/hold_until").as_str() {
        until if verb == "approve" && !until.is_empty() && until != "-" => {
            say(format_args!(
                "request {} approved: it is done after {until}, and can be cancelled until then",
                args.id
            ));
        }
        _ => say(format_args!("request {} is {}", args.id, text(&decided, "/state"))),
    }
    Ok(())
}
