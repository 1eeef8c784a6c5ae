//! `keystead root-key ceremony`: makes a root key in memory and gives each custodian a share of it.

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use clap::Args;
use hal::{Label, RootKeyId, RootKeyVersion};
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::{RootKeyError, find};
use crate::{
    ceremony::{Ceremony, MAX_SHARES, Quorum, Share, ShareError, Terms},
    cli::{
        CliError, ConfigArgs,
        admin::{Admin, Subject},
        data_dir::{create_folder, exists},
        error::UsageError,
        output::{json, note, say},
    },
    root_keys::Failure,
    store::RootKeyState,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct CeremonyArgs {
    /// The new root key's label, 1 to 64 characters
    #[arg(long, value_parser = Label::new, required_unless_present = "next_of", conflicts_with = "next_of")]
    label: Option<Label>,
    /// Make the next version of the root key with this label, which the database of --config knows
    #[arg(long = "for", value_name = "LABEL")]
    next_of: Option<String>,
    /// How many shares it takes to put the key together
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u8).range(2..=i64::from(MAX_SHARES)))]
    threshold: u8,
    /// How many shares to make
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=i64::from(MAX_SHARES)))]
    shares: u8,
    /// The folder for the share files; give it once for each share, in their order, to have each in a folder of its own
    #[arg(long, value_name = "DIR", required = true)]
    out: Vec<PathBuf>,
    /// Print the protocol as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &CeremonyArgs) -> Result<(), CliError> {
    let quorum = Quorum::new(args.threshold, args.shares).map_err(UsageError::Quorum)?;
    let folders = folders(&args.out, quorum)?;
    let (Some(label), None) = (&args.label, &args.next_of) else {
        let admin = Admin::open(args.config.load()?)?;
        let (key, label) = next_of(&admin, args.next_of.as_deref().unwrap_or_default())?;
        let about = Subject { root_key: Some(*key.root.as_uuid()), ..Subject::default() };
        return admin.act("root_key.ceremony", about, || hold(key, label, quorum, &folders, args.json));
    };
    let key = RootKeyVersion::first(RootKeyId::from_uuid(Uuid::new_v4()));
    hold(key, label.clone(), quorum, &folders, args.json)
}

/// Where each share goes.
fn folders(out: &[PathBuf], quorum: Quorum) -> Result<Vec<&Path>, CliError> {
    let shares = usize::from(quorum.shares());
    match out {
        [one] => Ok(vec![one.as_path(); shares]),
        each if each.len() == shares => Ok(each.iter().map(PathBuf::as_path).collect()),
        _ => Err(UsageError::ShareFolders { given: out.len(), shares }.into()),
    }
}

/// The next version of a root key on record.
fn next_of(admin: &Admin, label: &str) -> Result<(RootKeyVersion, Label), CliError> {
    let row = find(admin, label)?;
    match row.state {
        RootKeyState::Active => {}
        RootKeyState::Suspended => return Err(Failure::Suspended { label: row.label }.into()),
        RootKeyState::Destroyed => return Err(Failure::Destroyed { label: row.label }.into()),
    }
    let current = crate::root_keys::key(row.id, row.current_version);
    let next = current.next().ok_or(RootKeyError::NotNext {
        label: row.label.clone(),
        current: current.version,
        given: current.version,
    })?;
    Ok((next, Label::new(&row.label).map_err(UsageError::Label)?))
}

fn hold(key: RootKeyVersion, label: Label, quorum: Quorum, folders: &[&Path], as_json: bool) -> Result<(), CliError> {
    let paths: Vec<_> =
        (1..).zip(folders).map(|(number, folder)| folder.join(file_name(key, quorum, number))).collect();
    for path in &paths {
        if exists(path)? {
            return Err(CliError::Exists { what: "a file", name: path.display().to_string() });
        }
    }
    folders.iter().try_for_each(|folder| create_folder(folder))?;
    let ceremony = Ceremony::hold(key, label, quorum, Timestamp::now()).map_err(RootKeyError::from)?;
    let mut written = Vec::with_capacity(paths.len());
    for (share, path) in ceremony.shares.iter().zip(&paths) {
        match write(share, path) {
            Ok(fingerprint) => {
                written.push(Written { number: share.number(), file: path.clone(), sha256: fingerprint })
            }
            Err(error) => {
                // Some shares of a key that not all custodians hold are worth nothing. What failed matters more than this.
                written.iter().for_each(|written| drop(std::fs::remove_file(&written.file)));
                return Err(error);
            }
        }
    }
    let protocol = Protocol::new(&ceremony.terms, written);
    if as_json {
        return json(&protocol);
    }
    protocol.print();
    note(
        "\nGive each custodian one share file and remove it from here. The key itself was in this program's memory only, and \
         is gone.",
    );
    Ok(())
}

fn write(share: &Share, path: &Path) -> Result<String, CliError> {
    let bad = |source: ShareError| CliError::from(RootKeyError::Share { path: path.to_owned(), source });
    let text = share.to_file().map_err(bad)?;
    // Custodians' media have file systems without hard links and modes, so this is simpler than other files of secrets.
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(CliError::file(path))?;
    let written = file.write_all(&text).and_then(|()| file.sync_all()).and_then(|()| file.metadata());
    let metadata = written.map_err(|source| {
        // Half of a share is worth nothing; what failed matters more than its removal.
        let _ = std::fs::remove_file(path);
        CliError::File { path: path.to_owned(), source }
    })?;
    if metadata.permissions().mode() & 0o077 != 0 {
        note(format_args!(
            "note: the medium of {} keeps no modes: whoever holds it can read the share",
            path.display()
        ));
    }
    Ok(Share::fingerprint(&text))
}

fn file_name(key: RootKeyVersion, quorum: Quorum, number: u8) -> String {
    let root = key.root.as_uuid().simple().to_string();
    let root = root.get(..8).unwrap_or_default();
    format!("keystead-share-{root}-v{}-{number}-of-{}.json", key.version, quorum.shares())
}

/// What is signed on paper.
#[derive(Serialize)]
struct Protocol {
    ceremony: String,
    made_at: String,
    product: &'static str,
    root_key: String,
    version: u32,
    label: String,
    kcv: String,
    commitment: String,
    threshold: u8,
    shares: Vec<Written>,
}

#[derive(Serialize)]
struct Written {
    number: u8,
    file: PathBuf,
    /// Of the file's bytes.
    sha256: String,
}

impl Protocol {
    fn new(terms: &Terms, shares: Vec<Written>) -> Self {
        Self {
            ceremony: terms.ceremony.to_string(),
            made_at: terms.created_at.to_string(),
            product: concat!("keystead ", env!("CARGO_PKG_VERSION")),
            root_key: terms.key.root.to_string(),
            version: terms.key.version,
            label: terms.label.to_string(),
            kcv: terms.kcv.to_string(),
            commitment: terms.commitment_text(),
            threshold: terms.quorum.threshold(),
            shares,
        }
    }

    fn print(&self) {
        say("PROTOCOL OF A KEY CEREMONY");
        say("");
        say(format_args!("ceremony    {}", self.ceremony));
        say(format_args!("made at     {} by {}", self.made_at, self.product));
        say(format_args!("root key    {}, version {}", self.root_key, self.version));
        say(format_args!("label       {:?}", self.label));
        say(format_args!("KCV         {} (AES-256, a block of zeros in ECB, its first three bytes)", self.kcv));
        say(format_args!("commitment  {}", self.commitment));
        say(format_args!("shares      {}, of which any {} give the key", self.shares.len(), self.threshold));
        for Written { number, file, sha256 } in &self.shares {
            say("");
            say(format_args!("share {number:<2}    {}", file.display()));
            say(format_args!("  SHA-256   {sha256}"));
            say("  I received this file, compared its SHA-256, and keep it where nobody else can read it.");
            say("  name ______________________________  date ____________  signature ______________________________");
        }
        say("");
        say("held by     name _______________________  date ____________  signature ______________________________");
        say("witness     name _______________________  date ____________  signature ______________________________");
    }
}
