//! Looks at the root keys on record in the HSM, once each, as soon as it can be reached: at the start of a server, and when
//! root keys were added or changed.
//!
//! It makes the HAL refuse any other key under a recorded id, fills in what older databases do not record, and tells
//! operators which root keys are not as they should be. It changes nothing in the HSM.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};

use hal::{HalError, Kcv, RootKeyInfo, RootKeyVersion, RootKeys};

use super::{key, recorded_kcv, version_row};
use crate::{
    store::{RootKeyRow, RootKeyState, Store, StoreError, VersionState},
    trust::LiveTrust,
};

/// How often changes, and an HSM that was away, are looked for.
const POLL: Duration = Duration::from_millis(500);
/// How often a root key that cannot be used is looked at again.
const AGAIN: Duration = Duration::from_secs(60);

/// Why a root key of an older database could not be recorded whole.
#[derive(Debug, thiserror::Error)]
pub enum IdentifyError {
    /// The HSM said no, or not now.
    #[error(transparent)]
    Hal(#[from] HalError),
    /// The database said no.
    #[error("the database: {0}")]
    Store(#[from] StoreError),
}

/// Records label and check value of the root keys that an older version of the program recorded without.
///
/// # Errors
/// The HSM is away or does not hold one of them; the database failed.
pub fn identify(store: &Store, hal: &dyn RootKeys) -> Result<(), IdentifyError> {
    for row in store.root_keys()?.iter().filter(|row| row.label.is_empty() && row.state != RootKeyState::Destroyed) {
        record(store, row, &hal.describe_root(key(row.id, row.current_version))?)?;
    }
    Ok(())
}

fn record(store: &Store, row: &RootKeyRow, info: &RootKeyInfo) -> Result<(), StoreError> {
    let first = version_row(info, row.created_at);
    match store.identify_root_key(row.id, info.label.to_string(), first) {
        // Somebody else was first.
        Err(StoreError::StaleRootKey) => Ok(()),
        result => result,
    }
}

/// Follows the root keys on record for as long as `trust` is there, on a thread of its own: a token may take long to answer.
/// When it returns, the HAL uses every one only where its check value is that on record.
///
/// # Errors
/// The thread could not be started.
pub fn follow(store: &Arc<Store>, hal: &Arc<dyn RootKeys>, trust: &Arc<LiveTrust>) -> io::Result<()> {
    let mut watch = Watch {
        store: Arc::downgrade(store),
        hal: Arc::downgrade(hal),
        expected: HashMap::new(),
        looked_at: HashMap::new(),
        away: false,
    };
    watch.expect(trust.current().root_keys(), &**hal);
    let trust = Arc::downgrade(trust);
    thread::Builder::new().name("root-keys".to_owned()).spawn(move || watch.run(&trust)).map(drop)
}

struct Watch {
    store: Weak<Store>,
    hal: Weak<dyn RootKeys>,
    /// What the HAL was told, so that it is told once: it tests a key anew each time.
    expected: HashMap<RootKeyVersion, Kcv>,
    /// What came of looking at a version, and when that was.
    looked_at: HashMap<RootKeyVersion, (Look, Instant)>,
    /// The HSM was away when it was asked last, and operators know.
    away: bool,
}

#[derive(PartialEq, Eq)]
enum Look {
    Well,
    Unusable(HalError),
}

impl Watch {
    fn run(&mut self, trust: &Weak<LiveTrust>) {
        let mut counted = false;
        while let (Some(store), Some(hal), Some(trust)) = (self.store.upgrade(), self.hal.upgrade(), trust.upgrade()) {
            let trust = trust.current();
            let rows: Vec<&RootKeyRow> = trust.root_keys().collect();
            self.expect(rows.iter().copied(), &*hal);
            if !counted {
                counted = count_seals(&store, &rows, &*hal);
            }
            self.look(&store, &*hal, &rows);
            drop((store, hal));
            thread::sleep(POLL);
        }
    }

    fn expect<'a>(&mut self, rows: impl IntoIterator<Item = &'a RootKeyRow>, hal: &dyn RootKeys) {
        for row in rows {
            for version in row.versions.iter().filter(|version| version.state != VersionState::Retired) {
                let key = key(row.id, version.version);
                if let Some(kcv) = recorded_kcv(version)
                    && self.expected.insert(key, kcv) != Some(kcv)
                {
                    hal.expect_root(key, kcv);
                }
            }
        }
    }

    fn look(&mut self, store: &Store, hal: &dyn RootKeys, rows: &[&RootKeyRow]) {
        let is_there =
            |row: &&&RootKeyRow| row.state != RootKeyState::Destroyed && row.destruction.is_none() && !row.is_unmade();
        for row in rows.iter().filter(is_there) {
            for key in versions_in_use(row) {
                if self.is_settled(key) {
                    continue;
                }
                match hal.describe_root(key) {
                    Err(HalError::Unavailable(outage)) => {
                        if !std::mem::replace(&mut self.away, true) {
                            tracing::warn!(root_key = %key, "root keys not looked at yet, the HSM is unavailable: {outage}");
                        }
                        return;
                    }
                    Err(error) => self.unusable(row, key, error),
                    Ok(info) => self.found(store, row, key, &info),
                }
                self.away = false;
            }
        }
    }

    fn is_settled(&self, key: RootKeyVersion) -> bool {
        match self.looked_at.get(&key) {
            None => false,
            Some((Look::Well, _)) => true,
            Some((Look::Unusable(_), at)) => at.elapsed() < AGAIN,
        }
    }

    fn found(&mut self, store: &Store, row: &RootKeyRow, key: RootKeyVersion, info: &RootKeyInfo) {
        let (label, kcv) = (&info.label, info.kcv);
        if row.label.is_empty()
            && let Err(error) = record(store, row, info)
        {
            // Tried again with the next look; nothing depends on it but what operators read.
            tracing::warn!(root_key = %key, %label, %error, "the root key's label and check value were not recorded");
            return;
        }
        tracing::info!(root_key = %key, %label, %kcv, "root key found");
        self.looked_at.insert(key, (Look::Well, Instant::now()));
    }

    fn unusable(&mut self, row: &RootKeyRow, key: RootKeyVersion, error: HalError) {
        let label = &row.label;
        let before = self.looked_at.remove(&key);
        if before.is_none_or(|(look, _)| look != Look::Unusable(error.clone())) {
            tracing::error!(root_key = %key, %label, "root key cannot be used: {error}");
        }
        self.looked_at.insert(key, (Look::Unusable(error), Instant::now()));
    }
}

/// Tells the HAL how often each version has sealed at most: every KEK that there ever was, erased ones too, was wrapped under
/// each version once or not at all. Returns whether that could be counted.
fn count_seals(store: &Store, rows: &[&RootKeyRow], hal: &dyn RootKeys) -> bool {
    let Ok(counts) = store.keks_ever() else { return false };
    for row in rows {
        let made = counts.iter().find(|(root, _)| *root == row.id).map_or(0, |(_, count)| *count);
        versions_in_use(row).into_iter().for_each(|key| hal.expect_seals(key, made));
    }
    true
}

/// The versions that something may be under. A row without any is of an older database, which knows of one.
fn versions_in_use(row: &RootKeyRow) -> Vec<RootKeyVersion> {
    if row.versions.is_empty() {
        return vec![key(row.id, row.current_version)];
    }
    let used = row.versions.iter().filter(|version| version.state != VersionState::Retired);
    used.map(|version| key(row.id, version.version)).collect()
}

#[cfg(test)]
mod tests {
    use hal::{Label, Refusal, SecretBytes, software::SoftwareHal};
    use tempfile::TempDir;

    use super::*;
    use crate::{
        root_keys::new_row,
        store::{RootKeyVersionRow, StoreOptions},
        trust::TrustSource,
    };

    struct Site {
        store: Arc<Store>,
        hal: Arc<dyn RootKeys>,
        root: RootKeyInfo,
        _folder: TempDir,
    }

    impl Site {
        /// A root key in the HAL, of which the store knows what `row` makes of it.
        fn new(row: impl FnOnce(RootKeyRow) -> RootKeyRow) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let passphrase = SecretBytes::from(b"a passphrase of a test".to_vec());
            let hal = SoftwareHal::create(&folder.path().join("keys"), &passphrase).unwrap();
            let root = hal.generate_root(&Label::new("main").unwrap()).unwrap();
            let store = Store::open(&folder.path().join("store.db"), StoreOptions::default()).unwrap();
            store.insert_root_key(row(new_row(&root, 5))).unwrap();
            Self { store: Arc::new(store), hal: Arc::new(hal), root, _folder: folder }
        }

        /// What a server would have seen by now.
        fn watched(&self) -> Watch {
            let mut watch = Watch {
                store: Arc::downgrade(&self.store),
                hal: Arc::downgrade(&self.hal),
                expected: HashMap::new(),
                looked_at: HashMap::new(),
                away: false,
            };
            let rows = self.store.root_keys().unwrap();
            watch.expect(&rows, &*self.hal);
            watch.look(&self.store, &*self.hal, &rows.iter().collect::<Vec<_>>());
            watch
        }

        fn unnamed(row: RootKeyRow) -> RootKeyRow {
            RootKeyRow { label: String::new(), versions: Vec::new(), ..row }
        }
    }

    #[test]
    fn what_an_older_database_lacks_is_recorded_at_the_first_contact() {
        let site = Site::new(Site::unnamed);
        let watch = site.watched();
        assert!(watch.looked_at[&site.root.key()].0 == Look::Well);
        assert_eq!(site.store.root_keys().unwrap(), [new_row(&site.root, 5)]);
        let site = Site::new(Site::unnamed);
        identify(&site.store, &*site.hal).unwrap();
        identify(&site.store, &*site.hal).unwrap();
        assert_eq!(site.store.root_keys().unwrap(), [new_row(&site.root, 5)]);
    }

    #[test]
    fn another_key_than_the_one_on_record_is_refused_and_told() {
        let other = |row: RootKeyRow| {
            let versions = row.versions.iter().map(|version| {
                let [a, b, c] = version.kcv;
                RootKeyVersionRow { kcv: [a ^ 1, b, c], ..version.clone() }
            });
            RootKeyRow { versions: versions.collect(), ..row }
        };
        let site = Site::new(other);
        let watch = site.watched();
        let replaced = HalError::Refused(Refusal::KeyReplaced);
        assert!(watch.looked_at[&site.root.key()].0 == Look::Unusable(replaced.clone()));
        assert!(replaced.to_string().contains("attach the right token"));
        let kek = hal::Kek::new(zeroize::Zeroizing::new([7; 32]));
        assert_eq!(site.hal.wrap_kek(site.root.key(), &kek), Err(replaced));
    }

    #[test]
    fn a_root_key_that_is_gone_or_not_made_yet_is_not_looked_for() {
        for state in [RootKeyState::Suspended, RootKeyState::Destroyed] {
            let site = Site::new(|row| RootKeyRow {
                state,
                destroyed_at: (state == RootKeyState::Destroyed).then_some(6),
                versions: Vec::new(),
                ..row
            });
            assert!(site.watched().looked_at.is_empty());
        }
    }

    #[test]
    fn a_server_expects_what_is_on_record_before_it_answers() {
        let site = Site::new(|row| row);
        let trust = LiveTrust::start(TrustSource::store(&site.store), &[]).unwrap();
        follow(&site.store, &site.hal, &trust).unwrap();
        let kek = hal::Kek::new(zeroize::Zeroizing::new([7; 32]));
        site.hal.wrap_kek(site.root.key(), &kek).unwrap();
    }
}
