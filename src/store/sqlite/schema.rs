//! The database file: who may read it, how connections are set up, which schema it has.
//!
//! Migrations are numbered SQL files, applied forward only, each in one transaction that holds the write lock, so that two
//! processes that start at once do not both migrate. A file made by a newer program is refused before anything in it is touched.

use std::{
    fs,
    io::{Error as IoError, ErrorKind},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, config::DbConfig};

use super::backup;
use crate::store::StoreError;

/// Entry `n` leads from schema version `n` to `n + 1`. Entries are appended, never changed.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_init.sql"),
    include_str!("../migrations/0002_root_keys.sql"),
    include_str!("../migrations/0003_admin.sql"),
    include_str!("../migrations/0004_provenance.sql"),
];

/// The newest schema version this program knows.
#[expect(clippy::cast_possible_truncation, reason = "there are a few migrations, not four thousand million")]
pub(super) const KNOWN_VERSION: u32 = MIGRATIONS.len() as u32;

/// "KSTD" in the file's header: tells our database from somebody else's.
const APPLICATION_ID: i32 = 0x4b53_5444;

/// The smallest page size of SQLite, in bytes.
const SMALLEST_PAGE: u64 = 512;

/// How long a connection waits for the lock of another process before it gives up.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait before the log is tried to be turned on again.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// Page cache of the writing connection, in KiB: the hot ends of the index tables of a busy server.
const WRITER_CACHE_KIB: i32 = 8192;

/// Page cache of one reading connection, in KiB. Every commit empties it, so a large one would never fill.
const READER_CACHE_KIB: i32 = 2048;

/// Prepared statements kept by each connection; more than the store has.
const STATEMENTS: usize = 192;

/// Opens the database at `path` for writing and makes it where it is missing. An older schema is brought up to date, or
/// refused where `may_migrate` says no.
pub(super) fn open_writer(path: &Path, may_migrate: bool) -> Result<Connection, StoreError> {
    prepare_file(path)?;
    let mut connection = connect(path)?;
    refuse_what_is_not_ours(&connection, path)?;
    set_up_writer(&connection, path)?;
    // A migration may take a table away and put another in its place; what it leaves is checked whole.
    connection.pragma_update(None, "foreign_keys", false)?;
    migrate(&mut connection, may_migrate)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// Opens the migrated database at `path` for reading.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Copies the database at `path`, as it is at one moment, into a new file at `copy`, in which requests are no longer open.
pub(super) fn back_up(path: &Path, copy: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::File { path: copy.to_owned(), source };
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(copy).map_err(failed)?;
    let copied = copy_into(path, copy).and_then(|()| backup::cancel_requests(copy)).and_then(|()| {
        fs::File::open(copy).and_then(|file| file.sync_all()).map_err(failed)?;
        sync_directory_of(copy).map_err(failed)
    });
    if copied.is_err()
        && let Err(error) = fs::remove_file(copy)
    {
        tracing::warn!(%error, path = %copy.display(), "what there is of a backup that failed could not be removed");
    }
    copied
}

fn copy_into(path: &Path, copy: &Path) -> Result<(), StoreError> {
    let named = copy.to_str().ok_or_else(|| {
        let source = IoError::new(ErrorKind::InvalidInput, "the name is not UTF-8");
        StoreError::File { path: copy.to_owned(), source }
    })?;
    // Rows keep their places, so what is zeroed in the one is zeroed in the other.
    connect(path)?.execute("VACUUM INTO ?1", [named])?;
    Ok(())
}

/// Makes an empty file that only its owner may use, or takes away what others may do with the one that is there. SQLite
/// gives its log files the same owner and mode.
fn prepare_file(path: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::File { path: path.to_owned(), source };
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => sync_directory_of(path).map_err(failed),
        // An existing file is never opened here: closing it would drop the locks that SQLite holds on it in this process.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            refuse_stump(path).map_err(failed)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// SQLite takes a file too short for a page for an empty one, and would begin a new database over what is left of one.
fn refuse_stump(path: &Path) -> Result<(), IoError> {
    if (1..SMALLEST_PAGE).contains(&fs::metadata(path)?.len()) {
        return Err(IoError::new(ErrorKind::InvalidData, "this is not a whole database"));
    }
    Ok(())
}

/// Makes the new file's name durable.
fn sync_directory_of(path: &Path) -> Result<(), IoError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(parent)?.sync_all()
}

pub(super) fn connect(path: &Path) -> Result<Connection, StoreError> {
    // No URI: a path is a path. No mutex: a connection is used by one thread at a time, which the compiler sees to.
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Without this, SQLite prepares a statement anew for other values when it might use a partial index with them.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

fn refuse_what_is_not_ours(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    refuse_newer(schema_version(connection)?)?;
    // In this order: another process may be making the tables just now, and whoever sees them sees the number too.
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application == APPLICATION_ID || (application == 0 && tables == 0) {
        return Ok(());
    }
    let source = IoError::new(ErrorKind::InvalidData, "this is another program's database");
    Err(StoreError::File { path: path.to_owned(), source })
}

fn set_up_writer(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let mode = switch_to_log(connection)?;
    if !mode.eq_ignore_ascii_case("wal") {
        let source = IoError::new(ErrorKind::Unsupported, "this file system cannot hold a write-ahead log");
        return Err(StoreError::File { path: path.to_owned(), source });
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    // The writer moves the log into the file itself, after it has answered its callers.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(())
}

/// Turns the write-ahead log on and returns the journal mode that the file then has. Where two turn it on at once, SQLite
/// tells one of them at once that the file is busy rather than let both wait for each other.
fn switch_to_log(connection: &Connection) -> Result<String, StoreError> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        let mode = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0));
        match mode.map_err(StoreError::from) {
            Err(StoreError::Overloaded) if Instant::now() < deadline => thread::sleep(BUSY_PAUSE),
            outcome => return outcome,
        }
    }
}

fn migrate(connection: &mut Connection, may_migrate: bool) -> Result<(), StoreError> {
    match schema_version(connection)? {
        KNOWN_VERSION => return Ok(()),
        // A database without tables is nobody's yet.
        found if found > 0 && !may_migrate => {
            return Err(StoreError::OlderSchema { found, known: KNOWN_VERSION });
        }
        _ => {}
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have migrated while this one waited for the lock.
    let version = schema_version(&transaction)?;
    refuse_newer(version)?;
    apply_migrations(&transaction, version)?;
    transaction.commit()?;
    Ok(())
}

fn apply_migrations(transaction: &Transaction<'_>, version: u32) -> Result<(), StoreError> {
    for (number, migration) in (1..).zip(MIGRATIONS) {
        if number > version {
            transaction.execute_batch(migration)?;
        }
    }
    if transaction.query_row("PRAGMA foreign_key_check", [], |_| Ok(())).optional()?.is_some() {
        return Err(StoreError::Damaged);
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", KNOWN_VERSION)?;
    Ok(())
}

pub(super) fn schema_version(connection: &Connection) -> Result<u32, StoreError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn refuse_newer(found: u32) -> Result<(), StoreError> {
    if found > KNOWN_VERSION { Err(StoreError::NewerSchema { found, known: KNOWN_VERSION }) } else { Ok(()) }
}
