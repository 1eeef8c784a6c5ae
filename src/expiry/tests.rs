use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use metrics_exporter_prometheus::PrometheusBuilder;
use uuid::Uuid;

use super::{watch::Round, *};
use crate::{
    ca::{CertificateAuthority, KeyKind, Lifetime, PrivateKey},
    store::{AdapterRow, AuthorityRow, CertificateRow},
};

const ALICE: AdapterId = AdapterId(Uuid::from_u128(0xa));
const BOB: AdapterId = AdapterId(Uuid::from_u128(0xb));

fn adapter(id: AdapterId, name: &str) -> AdapterRow {
    AdapterRow {
        id,
        name: name.to_owned(),
        description: None,
        root_key: Uuid::nil(),
        credential: None,
        created_at: 0,
        revision: 1,
        changed_at: 0,
        hold_seconds: 0,
    }
}

struct Fixture {
    rows: TrustRows,
    server: Vec<CertificateDer<'static>>,
    own_ca: Vec<CertificateDer<'static>>,
    now: i64,
}

impl Fixture {
    /// A server, its authority and another one; Alice has two clients, of which one expires in 40 days, Bob one.
    fn new() -> Self {
        let at = Timestamp::now();
        let key = || PrivateKey::generate(KeyKind::EcdsaP256).unwrap();
        let (ca, other) = (CertificateAuthority::create(key(), at), CertificateAuthority::create(key(), at).unwrap());
        let ca = ca.unwrap();
        let server = ca.issue_server(&key(), &["kms.example.com".parse().unwrap()], at).unwrap();
        let client = |adapter, name: &str, ends_in: i64| {
            let long = i64::from(Lifetime::LONGEST_DAYS);
            let issued = at - SignedDuration::from_hours(24 * (long - ends_in));
            let der = ca.issue_client(&key(), name, issued).unwrap().der;
            let fingerprint = fingerprint(&der.as_slice().into());
            CertificateRow { fingerprint, adapter, name: format!("{name}\u{1b}[0m"), der, added_at: 0 }
        };
        let der = other.certificate().der;
        let authority = AuthorityRow {
            fingerprint: fingerprint(&der.as_slice().into()),
            name: "theirs".to_owned(),
            der,
            added_at: 0,
        };
        let rows = TrustRows {
            adapters: vec![adapter(ALICE, "alice"), adapter(BOB, "bob")],
            certificates: vec![client(ALICE, "late", 1000), client(ALICE, "soon", 40), client(BOB, "bob", 2000)],
            authorities: vec![authority],
            ..TrustRows::default()
        };
        let own_ca = vec![ca.certificate().der.into()];
        Self { rows, server: vec![server.der.into()], own_ca, now: at.as_second() }
    }

    fn forecast(&self, seen: &[SeenCertificate], days_later: i64) -> Vec<Expiring> {
        forecast(&self.rows, &self.server, &self.own_ca, seen, self.now + days_later * DAY)
    }
}

fn seen(adapter: AdapterId, expires_at: i64, at: i64) -> SeenCertificate {
    SeenCertificate {
        fingerprint: Fingerprint([7; 32]),
        adapter,
        subject: "CN=by-rule".to_owned(),
        expires_at: Some(expires_at),
        at,
        address: "192.0.2.1".to_owned(),
    }
}

#[test]
fn the_forecast_has_every_certificate_and_the_first_to_expire_in_front() {
    let fixture = Fixture::new();
    let all = fixture.forecast(&[], 0);
    let kinds: Vec<_> = all.iter().map(|one| (one.kind.name(), one.days_left)).collect();
    assert_eq!(kinds[..4], [("client", 40), ("client", 1000), ("server", 1825), ("client", 2000)]);
    let mut authorities: Vec<_> = kinds[4..].iter().map(|(kind, _)| *kind).collect();
    authorities.sort_unstable();
    assert_eq!(authorities, ["authority", "ca"]);
    assert_eq!(all[0].adapter, Some((ALICE, "alice".to_owned())));
    assert_eq!(all[0].subject, "CN=soon,O=Keystead");
    let later = fixture.forecast(&[], 41);
    assert_eq!((later[0].fingerprint, later[0].days_left), (all[0].fingerprint, -1));
}

#[test]
fn certificates_that_rules_let_in_are_there_while_they_are_in_use() {
    let fixture = Fixture::new();
    let now = fixture.now;
    let found = |seen: SeenCertificate| fixture.forecast(&[seen], 0).iter().filter(|one| !one.registered).count();
    assert_eq!(found(seen(BOB, now + DAY, now - 29 * DAY)), 1);
    assert_eq!(found(seen(BOB, now + DAY, now - 31 * DAY)), 0, "replaced long ago");
    assert_eq!(found(seen(AdapterId(Uuid::nil()), now + DAY, now)), 0, "nobody's any more");
    let mut registered = seen(BOB, now + DAY, now);
    registered.fingerprint = fixture.rows.certificates[2].fingerprint;
    assert_eq!(found(registered), 0);
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is logged of the certificate "soon".
fn logged(round: &mut Round, fixture: &Fixture, days_later: i64) -> Vec<String> {
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let all = fixture.forecast(&[], days_later);
    tracing::subscriber::with_default(log, || round.take(&all, fixture.now + days_later * DAY));
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    text.lines().filter(|line| line.contains("soon")).map(str::to_owned).collect()
}

#[test]
fn a_warning_is_given_once_at_60_30_and_7_days_and_at_the_end() {
    let fixture = Fixture::new();
    let mut round = Round::default();
    // Days left: 61 is more than the fixture has, so the clock is turned back first.
    let lines: Vec<_> = [-21, -20, -10, 0, 10, 11, 32, 33, 39, 40, 41, 100]
        .into_iter()
        .map(|later| logged(&mut round, &fixture, later).len())
        .collect();
    assert_eq!(lines, [0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 1, 0]);
}

#[test]
fn a_server_that_starts_late_warns_once_and_of_the_worst() {
    let fixture = Fixture::new();
    let mut round = Round::default();
    let lines = logged(&mut round, &fixture, 36);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("days_left=4") && lines[0].contains("adapter=\"alice\""), "{lines:?}");
    assert!(!lines[0].contains('\u{1b}'), "{lines:?}");
    assert_eq!(logged(&mut round, &fixture, 36), Vec::<String>::new());
}

#[test]
fn the_metric_has_one_number_for_each_adapter_and_forgets_what_is_gone() {
    let mut fixture = Fixture::new();
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        let mut round = Round::default();
        round.take(&fixture.forecast(&[], 0), fixture.now);
        let page = handle.render();
        let alice =
            r#"keystead_certificate_not_after_timestamp_seconds{kind="client",name="soon[0m",adapter="alice"} "#;
        let ends = page.lines().find_map(|line| line.strip_prefix(alice)).unwrap_or_else(|| panic!("{page}"));
        assert_eq!(ends.parse(), Ok(fixture.now as f64 + 40.0 * 86_400.0));
        for part in [r#"{kind="server",name="kms.example.com"}"#, r#"{kind="authority",name="theirs"}"#] {
            assert!(page.contains(part), "{part} in\n{page}");
        }
        assert_eq!(page.matches(r#"kind="ca""#).count(), 1);
        assert_eq!(page.matches(r#"kind="client""#).count(), 2, "one for each adapter");
        fixture.rows.certificates.retain(|row| row.adapter == BOB);
        round.take(&fixture.forecast(&[], 0), fixture.now);
        let page = handle.render();
        assert!(page.contains(&format!("{alice}NaN")), "{page}");
    });
}
