//! `keystead root-key import`: puts a root key together from its custodians' shares and into every token.

use std::path::{Path, PathBuf};

use clap::Args;
use hal::{DestroyConsent, HalError, Kcv, RootKeyInfo, RootKeyVersion, RootKeys, WrappedKek};
use jiff::Timestamp;

use super::{RootKeyError, attest::attest_new, open_hsm, show};
use crate::{
    ceremony::{Recovered, Share, Terms},
    cli::{
        CliError, ConfigArgs,
        admin::{Admin, Subject},
        output::{note, progress},
    },
    config::read_secret_file,
    root_keys::{self, Failure, may_rotate},
    store::{RootKeyState, VersionState},
};

/// How many KEKs are looked at for one to try the imported key on.
const SAMPLE: u64 = 1000;

/// The shares of a root key.
#[derive(Debug, Args)]
pub(in crate::cli) struct ShareArgs {
    /// A custodian's share file; give as many as the threshold says
    #[arg(long = "share", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ImportArgs {
    #[command(flatten)]
    shares: ShareArgs,
    #[command(flatten)]
    config: ConfigArgs,
}

/// What an import is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Purpose {
    /// A root key that the database does not know.
    New,
    /// One that the database knows and the HSM may have lost.
    Restore,
    /// The next version of one that the database knows.
    NextVersion,
}

pub(super) fn run(args: &ImportArgs) -> Result<(), CliError> {
    let admin = Admin::open(args.config.load()?)?;
    let recovered = args.shares.combine()?;
    let hal = open_hsm(&admin)?;
    let (info, purpose) = import(&admin, &*hal, &recovered)?;
    match purpose {
        Purpose::New => note("The root key is new here: make adapters under it with `keystead adapter create`."),
        Purpose::Restore => note("The root key was on record: what is sealed under it opens again."),
        Purpose::NextVersion => note(
            "The new version is current. A running server re-wraps everything under it; `keystead root-key describe` shows how \
             far it is.",
        ),
    }
    show(&[info]);
    Ok(())
}

impl ShareArgs {
    /// The shares in these files.
    pub(in crate::cli) fn of(files: Vec<PathBuf>) -> Self {
        Self { files }
    }

    /// Reads the shares and puts the key together.
    pub(in crate::cli) fn combine(&self) -> Result<Recovered, CliError> {
        let shares = self.files.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Recovered::combine(shares).map_err(RootKeyError::from)?)
    }
}

/// Reads a share and says which it is, to compare with the protocol.
fn read(path: &Path) -> Result<Share, CliError> {
    let file = read_secret_file(path).map_err(CliError::secret(path))?;
    let share = Share::parse(&file).map_err(|source| RootKeyError::Share { path: path.to_owned(), source })?;
    note(format_args!("share {} of {}: {}", share.number(), share.terms().quorum.shares(), path.display()));
    Ok(share)
}

/// Puts a recovered key into every token and on record.
pub(in crate::cli) fn import(
    admin: &Admin,
    hal: &dyn RootKeys,
    recovered: &Recovered,
) -> Result<(RootKeyInfo, Purpose), CliError> {
    let terms = &recovered.terms;
    let about = Subject { root_key: Some(*terms.key.root.as_uuid()), ..Subject::default() };
    let done = progress(format_args!("importing version {} of {:?}", terms.key.version, terms.label.as_str()), || {
        admin.act("root_key.import", about, || {
            let purpose = purpose(admin, terms)?;
            let info = into_hsm(admin, hal, recovered)?;
            record(admin, &info, purpose)?;
            Ok::<_, CliError>((info, purpose))
        })
    })?;
    attest_new(admin, hal, terms.key);
    Ok(done)
}

/// What the shares are for, by what is on record; refuses what is for nothing.
fn purpose(admin: &Admin, terms: &Terms) -> Result<Purpose, CliError> {
    let Terms { key: RootKeyVersion { root, version }, label, .. } = terms;
    let rows = admin.store.root_keys()?;
    let Some(row) = rows.iter().find(|row| row.id == *root.as_uuid()) else {
        if *version != 1 {
            return Err(RootKeyError::UnknownRootKey { root: *root.as_uuid(), version: *version }.into());
        }
        if rows.iter().any(|row| row.label == label.as_str()) {
            return Err(CliError::Exists { what: "a root key", name: label.to_string() });
        }
        return Ok(Purpose::New);
    };
    let kept = || row.label.clone();
    // A row that an older version of the program made has no label until now.
    if !row.label.is_empty() && row.label != label.as_str() {
        return Err(RootKeyError::OtherLabel { kept: kept(), given: label.to_string() }.into());
    }
    if row.state == RootKeyState::Destroyed || row.destruction.is_some() {
        return Err(Failure::Destroyed { label: kept() }.into());
    }
    if *version <= row.current_version {
        return match row.version(*version) {
            Some(found) if found.state == VersionState::Retired => {
                Err(RootKeyError::Retired { label: kept(), version: *version }.into())
            }
            _ => Ok(Purpose::Restore),
        };
    }
    may_rotate(&admin.store, row, *version).map_err(|failure| match failure {
        Failure::NotNext { label, current, given } => RootKeyError::NotNext { label, current, given }.into(),
        failure => CliError::from(failure),
    })?;
    Ok(Purpose::NextVersion)
}

/// Puts the key into every token, and sees to it that it is the right one.
fn into_hsm(admin: &Admin, hal: &dyn RootKeys, recovered: &Recovered) -> Result<RootKeyInfo, CliError> {
    let Terms { key, label, .. } = &recovered.terms;
    let (label_text, version) = (label.to_string(), key.version);
    if let Some(kept) = on_record(admin, *key)? {
        let given = recovered.kcv(kept.method).map_err(RootKeyError::from)?;
        if given != kept {
            return Err(RootKeyError::OtherKey { label: label_text, version, kept, given }.into());
        }
    }
    let was_there = match hal.describe_root(*key) {
        Ok(_) => true,
        Err(HalError::UnknownRootKey(_)) => false,
        Err(error) => return Err(error.into()),
    };
    let info = hal.import_root(*key, label, recovered.material())?;
    let given = recovered.kcv(info.kcv.method).map_err(RootKeyError::from)?;
    if info.kcv != given {
        return Err(RootKeyError::ImportedOther { said: info.kcv, given }.into());
    }
    // A check value has three bytes; what was sealed under the key tells for certain.
    let opens = |wrapped: &WrappedKek| match hal.unwrap_kek(wrapped) {
        Ok(_) => Ok(true),
        Err(HalError::Tampered) => Ok(false),
        Err(error) => Err(CliError::from(error)),
    };
    let samples = samples(admin, *key)?;
    let mut opened = samples.is_empty();
    for sample in &samples {
        // One that does not open may be a damaged row; that none opens is the key's fault.
        opened = opened || opens(sample)?;
    }
    if opened {
        return Ok(info);
    }
    if !was_there {
        hal.destroy_root(*key, DestroyConsent::approved_for(*key))?;
    }
    Err(RootKeyError::DoesNotOpen { label: label_text, version, was_there }.into())
}

/// The check value on record of a version; `None` where none is.
fn on_record(admin: &Admin, key: RootKeyVersion) -> Result<Option<Kcv>, CliError> {
    let rows = admin.store.root_keys()?;
    let row = rows.iter().find(|row| row.id == *key.root.as_uuid());
    Ok(row.and_then(|row| row.version(key.version)).and_then(root_keys::recorded_kcv))
}

/// A few KEKs that are wrapped under a version, if there are any.
fn samples(admin: &Admin, key: RootKeyVersion) -> Result<Vec<WrappedKek>, CliError> {
    // No version has the number 0, so this leaves none out.
    let rows = admin.store.next_keks(*key.root.as_uuid(), 0, 0, SAMPLE)?;
    let wrapped = rows.iter().filter(|row| row.version == key.version);
    let wrapped = wrapped.filter_map(|row| WrappedKek::from_bytes(&row.wrapped).ok());
    Ok(wrapped.filter(|wrapped| wrapped.key() == key).take(3).collect())
}

fn record(admin: &Admin, info: &RootKeyInfo, purpose: Purpose) -> Result<(), CliError> {
    let (root, now) = (*info.id.as_uuid(), Timestamp::now().as_second());
    match purpose {
        Purpose::New => super::record(admin, info),
        Purpose::NextVersion => Ok(admin.store.add_version(root, root_keys::version_row(info, now))?),
        Purpose::Restore => {
            let rows = admin.store.root_keys()?;
            if rows.iter().any(|row| row.id == root && row.label.is_empty()) {
                let first = root_keys::version_row(info, now);
                admin.store.identify_root_key(root, info.label.to_string(), first)?;
            }
            Ok(())
        }
    }
}
