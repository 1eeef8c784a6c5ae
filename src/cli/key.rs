//! `keystead key`: where managed objects lie and how they are sealed. Metadata only: no command shows material.

mod remote;

use clap::{Args, Subcommand};
use hal::RootKeyInfo;
use kmip::enums::ObjectType;
use serde::Serialize;
use uuid::Uuid;

use super::{
    CliError,
    admin::{Admin, shown_time},
    backend,
    output::{as_text, json, say, table},
    place::Where,
    root_key::{protection, state_name},
};
use crate::{
    store::{AdapterRow, ObjectId, ObjectRow, RootKeyState, SealedRow, Search},
    vault::Vault,
};

/// See where managed objects lie.
#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Show one object: of files how it is sealed, and the root key that seals it as the HSM tells about it; of a server its metadata
    Show(ShowArgs),
    /// List the objects of an adapter: of files the oldest first, of a server the newest first
    List(ListArgs),
    /// Destroy an object of a server; an Active one needs another person's approval (see `keystead approval`)
    Destroy(remote::OneArgs),
    /// Bring a destroyed object back while its material is held
    Recover(remote::OneArgs),
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
    filters: remote::Filters,
    /// At most so many
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    limit: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Where,
}

pub(super) fn run(command: &KeyCommand) -> Result<(), CliError> {
    match command {
        KeyCommand::Show(args) => match args.config.there()? {
            Some(api) => remote::show(&api, args),
            None => show(args),
        },
        KeyCommand::List(args) => match args.config.there()? {
            Some(api) => remote::list(&api, args),
            None => list(args),
        },
        KeyCommand::Destroy(args) => remote::destroy(args),
        KeyCommand::Recover(args) => remote::recover(args),
    }
}

#[derive(Serialize)]
struct Shown {
    #[serde(serialize_with = "as_text")]
    id: Uuid,
    adapter: String,
    object_type: &'static str,
    revision: u64,
    /// `None` once the object is destroyed: then its material is gone.
    sealed: Option<Sealed>,
}

#[derive(Serialize)]
struct Sealed {
    /// Bytes in the database: wrapped KEK, nonce, ciphertext and tag.
    bytes: usize,
    /// How the root key wraps the object's KEK; `None` where the KEK was erased.
    scheme: Option<&'static str>,
    /// Bytes of the wrapped KEK.
    wrapped_kek_bytes: usize,
    /// The version of the root key that wraps it.
    version: Option<u32>,
    /// What operators decided about the root key.
    root_key_state: &'static str,
    /// The root key as the HSM tells it; `None` once it is destroyed.
    root_key: Option<RootKeyInfo>,
    /// Why the object's material cannot be had, now or ever.
    closed: Option<String>,
}

fn show(args: &ShowArgs) -> Result<(), CliError> {
    let admin = Admin::open(args.config.load()?)?;
    let (adapter, row) = find(&admin, args.id)?;
    let sealed = row.sealed.as_ref().map(|sealed| describe(&admin, &adapter, sealed)).transpose()?;
    let object_type = type_name(&row);
    let shown = Shown { id: row.id.0, adapter: adapter.name, object_type, revision: row.revision, sealed };
    if args.json {
        return json(&shown);
    }
    say(format_args!("object      {} ({}), revision {}", shown.id, shown.object_type, shown.revision));
    say(format_args!("adapter     {}", shown.adapter));
    say(format_args!("database    {}", admin.config.store.path.display()));
    let Some(sealed) = shown.sealed else {
        say("sealed      destroyed: its material is gone");
        return Ok(());
    };
    say(format_args!("sealed      {} bytes: AES-256-GCM under a key of its own (KEK)", sealed.bytes));
    if let (Some(scheme), Some(version)) = (sealed.scheme, sealed.version) {
        let kek = sealed.wrapped_kek_bytes;
        say(format_args!("KEK         wrapped by version {version} of the root key with {scheme}, {kek} bytes"));
    }
    if let Some(root) = &sealed.root_key {
        show_root_key(root);
    }
    if let Some(closed) = &sealed.closed {
        say(format_args!("closed      {closed}"));
    }
    Ok(())
}

fn show_root_key(root: &RootKeyInfo) {
    say(format_args!("root key    {:?}, {}, KCV {}", root.label.as_str(), root.id, root.kcv));
    for token in &root.tokens {
        say(format_args!("token       {:?}, serial {}, {}", token.label, token.serial, token.model));
    }
    if root.tokens.is_empty() {
        say("token       none: software root key, not an HSM");
    }
    say(format_args!("it says     {}", protection(root)));
}

fn describe(admin: &Admin, adapter: &AdapterRow, sealed: &SealedRow) -> Result<Sealed, CliError> {
    let rows = admin.store.root_keys()?;
    let root = rows.iter().find(|root| root.id == adapter.root_key).ok_or(CliError::SealedDamaged)?;
    let closed = match root.state {
        RootKeyState::Active => None,
        RootKeyState::Suspended => Some(format!(
            "its root key {:?} is suspended: the object opens again once that is resumed (keystead root-key resume)",
            root.label
        )),
        RootKeyState::Destroyed => Some(format!(
            "its root key {:?} was destroyed {}: its material cannot be recovered",
            root.label,
            shown_time(root.destroyed_at.unwrap_or(root.changed_at))
        )),
    };
    let wrapped = match root.state {
        RootKeyState::Destroyed => None,
        _ => Some(Vault::wrapping_of(sealed).ok_or(CliError::SealedDamaged)?),
    };
    let root_key = match &wrapped {
        Some(wrapped) => Some(backend::open(&admin.config.hsm)?.describe_root(wrapped.key())?),
        None => None,
    };
    Ok(Sealed {
        bytes: sealed.bytes(),
        scheme: wrapped.as_ref().map(|wrapped| wrapped.scheme.name()),
        wrapped_kek_bytes: wrapped.as_ref().map_or(0, |wrapped| wrapped.ciphertext.len()),
        version: wrapped.as_ref().map(|wrapped| wrapped.version),
        root_key_state: state_name(root.state),
        root_key,
        closed,
    })
}

/// The object `id`, whichever adapter owns it.
fn find(admin: &Admin, id: Uuid) -> Result<(AdapterRow, ObjectRow), CliError> {
    for adapter in admin.store.trust()?.adapters {
        if let Some(row) = admin.store.object(adapter.id, ObjectId(id))? {
            return Ok((adapter, row));
        }
    }
    Err(CliError::NoSuch { what: "object", name: id.to_string(), others: Vec::new() })
}

#[derive(Serialize)]
struct Listed {
    #[serde(serialize_with = "as_text")]
    id: Uuid,
    object_type: &'static str,
    revision: u64,
    destroyed: bool,
    sealed_bytes: Option<usize>,
}

fn list(args: &ListArgs) -> Result<(), CliError> {
    let admin = Admin::open(args.config.load()?)?;
    let adapter = admin.adapter(&args.adapter)?;
    let everything =
        Search { live: true, destroyed: true, offset: args.offset, limit: args.limit, ..Search::default() };
    let mut listing = Vec::new();
    for id in admin.store.search(adapter.id, &everything)? {
        // An object never goes away again, so every one that was found is there.
        let Some(row) = admin.store.object(adapter.id, id)? else { continue };
        listing.push(Listed {
            id: id.0,
            object_type: type_name(&row),
            revision: row.revision,
            destroyed: row.destroyed,
            sealed_bytes: row.sealed.as_ref().map(SealedRow::bytes),
        });
    }
    if args.json {
        return json(&listing);
    }
    let rows: Vec<_> = listing
        .into_iter()
        .map(|row| {
            let sealed = row.sealed_bytes.map_or_else(|| "destroyed".to_owned(), |bytes| bytes.to_string());
            [row.id.to_string(), row.object_type.to_owned(), row.revision.to_string(), sealed]
        })
        .collect();
    table(["ID", "TYPE", "REVISION", "SEALED BYTES"], &rows, "no objects");
    Ok(())
}

fn type_name(row: &ObjectRow) -> &'static str {
    ObjectType::from_code(row.object_type).map_or("unknown", ObjectType::name)
}
