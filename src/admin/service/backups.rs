//! Copies of the whole database, made while it is in use. What is in them is sealed: without an HSM that holds the root keys a
//! copy opens nothing.
//!
//! A copy is made under another name and gets its own when it is whole and on disk; then its description is written beside it,
//! and what has no description is no copy.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use ring::digest::{Context, SHA256};
use uuid::Uuid;

use super::{Service, root_keys::shown_kcv};
use crate::{
    admin::{
        caller::Caller,
        model::{Backup, BackupRootKey},
        page::{Page, Window},
        permission::{Permission, Scope},
        problem::{Code, Problem},
    },
    audit::{Name, Subject},
    store::{RootKeyRow, Store, VersionState},
};

/// Longest description of a copy that is read, in bytes.
const MAX_DESCRIPTION: u64 = 1 << 20;
/// What a description's name ends with.
const DESCRIPTION: &str = "json";
/// What the name of a copy that is not finished ends with.
const UNFINISHED: &str = "part";
/// Bytes read at a time.
const BLOCK: usize = 1 << 16;

impl Service {
    /// Makes a copy of the database.
    pub(in crate::admin) fn create_backup(&self, caller: &Caller) -> Result<Backup, Problem> {
        let may = (Permission::BackupCreate, Scope::Everything);
        self.act(caller, "backup.create", may, Subject::default(), |about| {
            let _alone = self.backing_up.try_lock().ok_or_else(|| {
                Problem::new(Code::State, "a backup is being made at this moment: list backups to see when it is there")
            })?;
            let folder = &self.config.backup.path;
            let at = Timestamp::now();
            let id = Uuid::new_v4();
            let file = format!("keystead-{}-{}.db", at.strftime("%Y%m%dT%H%M%S-%3fZ"), short(id));
            about.name = Some(Name::new(&file));
            let made = self.copy(folder, id, file, at)?;
            if let Err(error) = self.remove_old(folder) {
                tracing::warn!(folder = %folder.display(), %error, "old backups could not be removed");
            }
            Ok(made)
        })
    }

    /// Lists copies, newest first.
    pub(in crate::admin) fn list_backups(&self, caller: &Caller, window: &Window) -> Result<Page<Backup>, Problem> {
        self.list(caller, "backup.list", Permission::ConfigRead, |_| {
            let found = found(&self.config.backup.path).map_err(Problem::internal)?;
            // Descending: a page is cut in the order of its positions.
            Ok(window.cut(found, |backup| descending(&backup.file)))
        })
    }

    fn copy(&self, folder: &Path, id: Uuid, file: String, at: Timestamp) -> Result<Backup, Problem> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Problem::new(Code::StoreUnavailable, "the disk for backups is full: make room")
            }
            _ => Problem::internal(format_args!("{}: {error}", folder.display())),
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let path = folder.join(&file);
        let part = path.with_extension(UNFINISHED);
        let copied = self.store.backup(&part).and_then(|()| Store::look_into(&part));
        let made = copied.map_err(Problem::from).and_then(|copied| {
            let (sha256, bytes) = digest(&part).map_err(failed)?;
            let backup = Backup {
                id,
                file,
                bytes,
                sha256,
                schema_version: copied.schema,
                program_version: env!("CARGO_PKG_VERSION").to_owned(),
                created_at: at.to_string(),
                root_keys: copied.root_keys.iter().flat_map(needed).collect(),
            };
            fs::rename(&part, &path).map_err(failed)?;
            write_description(&path, &backup).map_err(failed)?;
            Ok(backup)
        });
        if made.is_err() {
            let _ = fs::remove_file(&part);
        }
        made
    }

    /// Removes the oldest copies beyond those that are kept.
    fn remove_old(&self, folder: &Path) -> io::Result<()> {
        let mut all = found(folder)?;
        all.sort_by(|a, b| b.file.cmp(&a.file));
        let keep = usize::try_from(self.config.backup.keep).unwrap_or(usize::MAX);
        for old in all.iter().skip(keep) {
            let path = folder.join(&old.file);
            fs::remove_file(path.with_extension(DESCRIPTION))?;
            fs::remove_file(&path)?;
            tracing::info!(file = old.file, "an old backup was removed");
        }
        Ok(())
    }
}

/// The versions that something in the copy may be wrapped under.
fn needed(row: &RootKeyRow) -> impl Iterator<Item = BackupRootKey> + '_ {
    row.versions.iter().filter(|version| version.state != VersionState::Retired && row.destroyed_at.is_none()).map(
        |version| BackupRootKey {
            id: row.id,
            label: row.label.clone(),
            version: version.version,
            kcv: shown_kcv(version.kcv),
            kcv_method: version.kcv_method.clone(),
        },
    )
}

/// Copies that have descriptions. What else is in the folder is somebody else's.
fn found(folder: &Path) -> io::Result<Vec<Backup>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == DESCRIPTION)
            && let Some(backup) = read_description(&path)
            && is_its_own(&path, &backup.file)
        {
            found.push(backup);
        }
    }
    Ok(found)
}

fn read_description(path: &Path) -> Option<Backup> {
    let mut text = String::new();
    File::open(path).ok()?.take(MAX_DESCRIPTION).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// Whether a description is of the copy beside it, and names no file elsewhere.
fn is_its_own(description: &Path, file: &str) -> bool {
    let copy = description.with_extension("db");
    copy.file_name().is_some_and(|name| name == file) && copy.is_file()
}

fn write_description(copy: &Path, backup: &Backup) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(backup)?;
    text.push(b'\n');
    let path = copy.with_extension(DESCRIPTION);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(&text)?;
    file.sync_all()?;
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    File::open(folder)?.sync_all()
}

fn digest(path: &Path) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut block = vec![0; BLOCK];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            break;
        }
        context.update(block.get(..read).unwrap_or_default());
        bytes += read as u64;
    }
    let text = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((text, bytes))
}

fn short(id: Uuid) -> String {
    id.simple().to_string().get(..8).unwrap_or_default().to_owned()
}

/// A text that sorts the other way round, for names of ASCII characters.
fn descending(name: &str) -> String {
    name.bytes().map(|byte| char::from(0x7f - (byte & 0x7f))).collect()
}
