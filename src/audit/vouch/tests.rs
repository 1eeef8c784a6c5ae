use std::path::Path;

use hal::{Label, SecretBytes, SignerKind, software::SoftwareHal};
use tempfile::TempDir;

use super::{
    super::{
        Actor, AdminEvent, Event, Options, Outcome, Subject, SyncPolicy,
        verify::{self, Evidence, Report},
    },
    *,
};
use crate::statement::PublicKey;

struct Site {
    folder: TempDir,
    /// Where the keys are; the HAL reads them again when they change.
    _keys: TempDir,
    hal: Arc<SoftwareHal>,
    key: SignerInfo,
    audit: Arc<Audit>,
}

impl Site {
    fn new() -> Self {
        Self::with(Options { sync: SyncPolicy::Interval, ..Options::default() })
    }

    fn with(options: Options) -> Self {
        let folder = TempDir::new().unwrap();
        let keys = TempDir::new().unwrap();
        let passphrase = SecretBytes::from(b"a passphrase of a test".to_vec());
        let hal = Arc::new(SoftwareHal::create(&keys.path().join("keys"), &passphrase).unwrap());
        let key = hal.generate_signer(&Label::new("audit").unwrap(), SignerKind::EcdsaP256).unwrap();
        let audit = Arc::new(Audit::open_with(&folder.path().join("audit.jsonl"), options).unwrap());
        Self { folder, _keys: keys, hal, key, audit }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn signer(&self) -> Option<AuditSigner> {
        let hal: Arc<dyn RootKeys> = Arc::<SoftwareHal>::clone(&self.hal);
        Some(AuditSigner { hal, key: self.key.id })
    }

    fn voucher(&self, keep: Option<Duration>) -> Voucher {
        let options = VouchOptions { signer: self.signer(), every: Duration::from_secs(3600), keep };
        Voucher::new(Arc::clone(&self.audit), options)
    }

    fn work(&self, events: u128) {
        for number in 0..events {
            let event = Event::Admin(AdminEvent {
                actor: Actor::Server,
                peer: None,
                action: "adapter.create",
                subject: Subject::default(),
                outcome: Outcome::Success,
                correlation: uuid::Uuid::from_u128(number),
            });
            self.audit.append(&[event]).unwrap();
        }
    }

    fn verify(&self) -> Report {
        let signers = vec![PublicKey::of_signer(&self.key).unwrap()];
        verify::verify(&Evidence { signers, ..Evidence::of_folder(self.path()).unwrap() }).unwrap()
    }

    fn tail(&self) -> u64 {
        self.audit.shared.chain.lock().tail().sequence
    }
}

#[test]
fn a_checkpoint_is_signed_while_there_is_something_new_and_not_again() {
    let site = Site::new();
    let mut voucher = site.voucher(None);
    site.work(3);
    voucher.vouch();
    assert_eq!((site.tail(), voucher.signed), (5, 4));
    voucher.vouch();
    assert_eq!(site.tail(), 5);
    // Nor after a restart.
    let mut again = site.voucher(None);
    again.vouch();
    assert_eq!(site.tail(), 5);
    site.work(1);
    again.vouch();
    assert_eq!((site.tail(), again.signed), (7, 6));
    let report = site.verify();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.newest_checkpoint.unwrap().through, 6);
}

#[test]
fn a_sealed_segment_has_a_checkpoint_of_its_seal_and_the_file_stays_small() {
    let site = Site::new();
    let mut voucher = site.voucher(None);
    for _ in 0..3 {
        for _ in 0..5 {
            site.work(1);
            voucher.vouch();
        }
        site.audit.reopen().unwrap();
        voucher.seal = site.audit.shared.sealed.lock().take();
        voucher.vouch();
    }
    let kept = checkpoint::read_all(&site.path().join("checkpoints.jsonl")).unwrap();
    let seals = voucher.seals();
    assert_eq!(seals.len(), 3);
    assert!(seals.iter().all(|seal| kept.iter().any(|signed| signed.through_hash == *seal)));
    assert!(kept.len() <= 5, "{}", kept.len());
    assert!(site.verify().is_clean());
}

#[test]
fn a_segment_that_is_long_enough_is_sealed_under_load_and_nothing_is_lost() {
    let site = Site::with(Options { segment_bytes: 20_000, sync: SyncPolicy::Interval, ..Options::default() });
    let options = VouchOptions { signer: site.signer(), every: Duration::from_secs(1), keep: None };
    let vouching = Vouching::start(Arc::clone(&site.audit), options).unwrap();
    let place = site.audit.place();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut appended = 0;
    while place.sealed_segments().unwrap().len() < 3 {
        site.work(100);
        appended += 100;
        assert!(Instant::now() < deadline);
    }
    drop(vouching);
    let report = site.verify();
    assert!(report.is_clean(), "{report:?}");
    let mut found = 0;
    let all = super::super::Query::default();
    super::super::export(&place.open, &all, |_, _| {
        found += 1;
        true
    })
    .unwrap();
    assert_eq!(found, appended);
    // A segment's age counts as well.
    let old = Site::with(Options { segment_age: Duration::ZERO, ..Options::default() });
    old.work(1);
    old.audit.shared.rotate_if_due();
    assert_eq!(old.audit.place().sealed_segments().unwrap().len(), 1);
}

#[test]
fn without_the_token_there_are_no_checkpoints_and_nothing_waits() {
    let site = Site::new();
    let other = Site::new();
    let mut voucher = site.voucher(None);
    // A token that does not hold the key is as good as none.
    voucher.options.signer = Some(AuditSigner { hal: other.signer().unwrap().hal, key: site.key.id });
    site.work(2);
    voucher.vouch();
    assert!(voucher.failing);
    site.work(2);
    voucher.options.signer = site.signer();
    voucher.vouch();
    assert!(!voucher.failing);
    let report = site.verify();
    assert_eq!(report.newest_checkpoint.unwrap().through, 5);
}

#[test]
fn the_thread_signs_what_is_left_when_it_ends() {
    let site = Site::new();
    let options = VouchOptions { signer: site.signer(), every: Duration::from_secs(3600), keep: None };
    let vouching = Vouching::start(Arc::clone(&site.audit), options).unwrap();
    site.work(4);
    drop(vouching);
    let report = site.verify();
    assert!(report.is_clean());
    assert_eq!(report.newest_checkpoint.unwrap().through, site.tail() - 1);
}

#[test]
fn what_retention_removed_is_told_from_what_somebody_removed() {
    let site = Site::new();
    for _ in 0..4 {
        site.work(3);
        site.audit.reopen().unwrap();
    }
    // Young segments stay.
    site.voucher(Some(Duration::from_secs(3600))).retain().unwrap();
    assert_eq!(Place::new(&site.path().join("audit.jsonl")).sealed_segments().unwrap().len(), 4);
    let place = site.audit.place();
    let oldest = place.sealed_segments().unwrap().remove(0);
    let copy = fs::read(&oldest.path).unwrap();
    // Everything is old to one who keeps nothing; the open segment stays in any case.
    site.voucher(Some(Duration::ZERO)).retain().unwrap();
    assert!(place.sealed_segments().unwrap().is_empty());
    site.work(1);
    let report = site.verify();
    assert!(report.is_clean(), "{report:?}");
    assert!(report.notes[0].contains("removed because they were old"), "{report:?}");
    // The statements are in the log itself too.
    fs::remove_file(place.checkpoints()).unwrap();
    assert!(site.verify().is_clean());
    // Somebody removes one more, which no statement speaks of.
    site.audit.reopen().unwrap();
    site.work(1);
    let sealed = place.sealed_segments().unwrap().remove(0);
    fs::remove_file(&sealed.path).unwrap();
    let report = site.verify();
    assert_eq!(report.problems[0].kind, verify::ProblemKind::BeginsLate);
    fs::write(&oldest.path, copy).unwrap();
    assert!(!site.verify().is_clean());
}

#[test]
fn nothing_is_removed_while_the_statement_cannot_be_signed() {
    let site = Site::new();
    site.work(1);
    site.audit.reopen().unwrap();
    let mut voucher = site.voucher(Some(Duration::ZERO));
    voucher.options.signer = Some(AuditSigner { hal: Site::new().signer().unwrap().hal, key: site.key.id });
    voucher.retain().unwrap_err();
    assert_eq!(site.audit.place().sealed_segments().unwrap().len(), 1);
}
