//! `[hsm]`: one token, or several that hold the same root keys.

use std::time::Duration;

use hal::pkcs11::Provider;

use super::{HsmBackend, HsmConfig, Pkcs11Config, SchemeChoice, SoftwareConfig, TokenConfig, reader::Reader};

/// More tokens than anyone keeps in step by hand.
const MOST_TOKENS: usize = 16;

pub(super) fn read(r: &mut Reader<'_>) -> HsmConfig {
    let pkcs11 = read_pkcs11(r);
    let software = SoftwareConfig {
        key_file: r.path("hsm.key_file", "hsm/root-keys"),
        passphrase_file: r.path("hsm.passphrase_file", "hsm/passphrase"),
    };
    HsmConfig {
        backend: r.choice(
            "hsm.backend",
            ("pkcs11", HsmBackend::Pkcs11(pkcs11)),
            &[("software", HsmBackend::Software(software))],
        ),
        workers: r.integer("hsm.workers", 1..=256, 4),
        queue: r.integer("hsm.queue", 1..=65_536, 256),
        deadline: Duration::from_millis(r.integer("hsm.deadline_ms", 10..=60_000, 2000).into()),
        scheme: r.choice(
            "hsm.scheme",
            ("auto", SchemeChoice::Auto),
            &[("aes-gcm", SchemeChoice::AesGcm), ("aes-kw", SchemeChoice::AesKw), ("aes-kwp", SchemeChoice::AesKwp)],
        ),
        provider: r.choice("hsm.provider", ("auto", None), &providers()),
        rotation_per_second: r.integer("hsm.rotation_per_second", 0..=1_000_000, 0),
    }
}

fn providers() -> Vec<(&'static str, Option<Provider>)> {
    Provider::all().map(|provider| (provider.name(), Some(provider))).collect()
}

fn read_pkcs11(r: &mut Reader<'_>) -> Pkcs11Config {
    let module = r.path("hsm.module", "/usr/lib/softhsm/libsofthsm2.so");
    let token_label = r.optional_text("hsm.token_label", 1..=32);
    let token_serial = r.optional_text("hsm.token_serial", 1..=16);
    let pin_file = r.path("hsm.pin_file", "hsm/pin");
    let softhsm_conf = r.optional_path("hsm.softhsm_conf");
    let tables = r.tables("hsm.tokens", MOST_TOKENS, |r| {
        (
            r.optional_path("tokens.module"),
            r.required_text("tokens.token_label", 1..=32),
            r.optional_text("tokens.token_serial", 1..=16),
            r.optional_path("tokens.pin_file"),
        )
    });
    if !tables.is_empty() {
        for (key, value) in [("hsm.token_label", &token_label), ("hsm.token_serial", &token_serial)] {
            if let Some(value) = value {
                r.conflict(0, key, value, "where there are [[hsm.tokens]], each of them states its own");
            }
        }
    }
    let mut tokens: Vec<TokenConfig> = Vec::new();
    for (at, (own_module, label, serial, own_pin_file)) in tables {
        let label_is_stated = label.is_some();
        let token = TokenConfig {
            module: own_module.unwrap_or_else(|| module.clone()),
            token_label: label.unwrap_or_default(),
            token_serial: serial,
            pin_file: own_pin_file.unwrap_or_else(|| pin_file.clone()),
        };
        if label_is_stated && tokens.iter().any(|other| may_be_the_same(other, &token)) {
            let why =
                "another of [[hsm.tokens]] may be the same token; a serial number tells tokens of one label apart";
            r.conflict(at, "hsm.tokens.token_label", &token.token_label, why);
        }
        tokens.push(token);
    }
    let single = TokenConfig {
        module,
        token_label: token_label.unwrap_or_else(|| "keystead".to_owned()),
        token_serial,
        pin_file,
    };
    let mut tokens = tokens.into_iter();
    let TokenConfig { module, token_label, token_serial, pin_file } = tokens.next().unwrap_or(single);
    Pkcs11Config { module, token_label, token_serial, pin_file, softhsm_conf, others: tokens.collect() }
}

/// Two modules may lead to one device, so they do not tell tokens apart.
fn may_be_the_same(one: &TokenConfig, other: &TokenConfig) -> bool {
    let one_serial_each = one.token_serial.is_some() && other.token_serial.is_some();
    one.token_label == other.token_label && (!one_serial_each || one.token_serial == other.token_serial)
}
