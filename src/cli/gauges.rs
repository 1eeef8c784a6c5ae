//! The gauges of a running server: the HSM and its tokens, root keys and their rotations, the store's queue, the disks.

use std::{
    path::Path,
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use hal::{Health, RootKeys};
use jiff::Timestamp;
use metrics::gauge;

use super::{CliError, root_key::state_name};
use crate::{
    config::Config,
    process,
    store::{RootKeyRow, RootKeyState, RotationRow, Store, StoreError},
    telemetry::{HsmSeen, HsmView, metric},
};

/// How often they are brought up to date.
const PERIOD: Duration = Duration::from_secs(2);

/// Keeps them up to date for as long as the server works with `store` and `hal`.
pub(super) fn watch(
    config: &Config,
    store: &Arc<Store>,
    hal: &Arc<dyn RootKeys>,
    view: &Arc<HsmView>,
) -> Result<(), CliError> {
    gauge!(metric::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    gauge!(metric::STARTED).set(Timestamp::now().as_duration().as_secs_f64().round());
    let disks = [("store", config.store.path.clone()), ("audit", config.audit.path.clone())];
    let (store, hal): (Weak<Store>, Weak<dyn RootKeys>) = (Arc::downgrade(store), Arc::downgrade(hal));
    let view = Arc::clone(view);
    let watch = move || {
        while let (Some(store), Some(hal)) = (store.upgrade(), hal.upgrade()) {
            view.set(set_hsm(&*hal));
            let waiting = u32::try_from(store.waiting_mutations()).unwrap_or(u32::MAX);
            gauge!(metric::STORE_WAITING).set(f64::from(waiting));
            disks.iter().for_each(|(what, file)| set_disk(what, file));
            if let Err(error) = set_root_keys(&store) {
                // A store that is away has its own log lines.
                tracing::debug!(%error, "the gauges of root keys stay as they are");
            }
            drop((store, hal));
            thread::sleep(PERIOD);
        }
    };
    let thread = thread::Builder::new().name("gauges".to_owned()).spawn(watch);
    thread.map(drop).map_err(|source| CliError::System { what: "the thread that watches the HSM", source })
}

#[expect(clippy::cast_precision_loss, reason = "a disk of more than 2^53 bytes may be off by a few")]
fn set_disk(what: &'static str, file: &Path) {
    if let Some(free) = process::disk_free(file) {
        gauge!(metric::DISK_FREE, "what" => what).set(free as f64);
    }
}

/// Sets the gauges of the HSM, and says what they were set to.
fn set_hsm(hal: &dyn RootKeys) -> HsmSeen {
    let seen = HsmSeen { health: hal.health(), tokens: hal.token_states() };
    gauge!(metric::HSM_STATE).set(number(&seen.health));
    for token in &seen.tokens {
        let labels = [("label", token.label.clone()), ("serial", token.serial.clone().unwrap_or_default())];
        gauge!(metric::TOKEN_STATE, &labels).set(number(&token.health));
        for (key, seals) in &token.seals {
            let [label, serial] = labels.clone();
            let of_key = [("root", key.root.to_string()), ("version", key.version.to_string()), label, serial];
            gauge!(metric::ROOT_KEY_SEALS, &of_key).set(seals_shown(*seals));
        }
    }
    seen
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a key makes no more than 2^32 seals, and a double counts that far exactly"
)]
fn seals_shown(seals: u64) -> f64 {
    seals as f64
}

fn number(health: &Health) -> f64 {
    match health {
        Health::Ready => 2.0,
        Health::Degraded(_) => 1.0,
        Health::Down(_) => 0.0,
    }
}

fn set_root_keys(store: &Store) -> Result<(), StoreError> {
    let rotations = store.rotations()?;
    for row in store.root_keys()? {
        let labels = [("root", row.id.to_string()), ("label", row.label.clone())];
        for state in [RootKeyState::Active, RootKeyState::Suspended, RootKeyState::Destroyed] {
            let is = if row.state == state { 1.0 } else { 0.0 };
            let [root, label] = labels.clone();
            gauge!(metric::ROOT_KEY_STATE, &[root, label, ("state", state_name(state).to_owned())]).set(is);
        }
        gauge!(metric::ROOT_KEY_VERSION, &labels).set(f64::from(row.current_version));
        if let Some(last) = rotations.iter().rfind(|rotation| rotation.root == row.id) {
            set_rotation(&row, last);
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a gauge of more than 2^53 objects may be off by a few")]
fn set_rotation(root: &RootKeyRow, rotation: &RotationRow) {
    let labels = [("root", root.id.to_string()), ("label", root.label.clone())];
    gauge!(metric::ROTATION_OBJECTS, &labels).set(rotation.total as f64);
    gauge!(metric::ROTATION_DONE, &labels).set(rotation.done as f64);
    gauge!(metric::ROTATION_FAILED, &labels).set(rotation.failed as f64);
}

#[cfg(test)]
mod tests {
    use hal::{
        Kek, KeyWrapper as _, Label, SecretBytes,
        pkcs11::{Pkcs11Config, Pkcs11Hal},
    };
    use metrics_exporter_prometheus::PrometheusBuilder;
    use pkcs11_fixtures::SoftHsm;
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn seals_are_shown_by_root_key_version_and_token() {
        let Some(softhsm) = SoftHsm::shared() else { return };
        let token = softhsm.token("gauges");
        let hal = Pkcs11Hal::new(Pkcs11Config {
            module: softhsm.module().to_owned(),
            token_label: token.label.clone(),
            token_serial: None,
            pin: SecretBytes::from(token.pin.into_bytes()).into(),
            workers: 1,
            queue: 8,
            deadline: Duration::from_secs(60),
            scheme: None,
            provider: None,
        })
        .unwrap();
        let root = hal.generate_root(&Label::new("root").unwrap()).unwrap().key();
        let shown = || {
            let recorder = PrometheusBuilder::new().build_recorder();
            let seen = metrics::with_local_recorder(&recorder, || set_hsm(&hal));
            assert_eq!((seen.tokens.len(), seen.health), (1, Health::Ready));
            recorder.handle().render()
        };
        assert!(!shown().contains(metric::ROOT_KEY_SEALS), "nothing was sealed");
        for _ in 0..3 {
            hal.wrap_kek(root, &Kek::new(Zeroizing::new([7; Kek::LEN]))).unwrap();
        }
        let line = format!(
            "keystead_root_key_seals{{root=\"{}\",version=\"1\",label=\"{}\",serial=\"{}\"}} 3",
            root.root, token.label, token.serial
        );
        let shown = shown();
        assert!(shown.contains(&line), "{line} in\n{shown}");
    }
}
