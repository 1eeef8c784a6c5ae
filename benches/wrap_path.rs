//! The wrap path: what a token does when it is called directly, beside what the HAL makes of it.
//!
//! Prints a table: operations in a second for each scheme and number of threads, raw (cryptoki on sessions of the threads' own)
//! and through the HAL, and their ratio; then a token whose every call takes 2 ms longer, with 1, 8 and 32 workers; then
//! re-wrapping; then the software backend. Raw and HAL are measured in turns and the median of the turns is shown, so that a
//! busy machine is unfair to neither. A turn during which a hypervisor took processor time away is thrown away and taken again;
//! the last line says how many were. An argument that is a number sets the seconds for each figure (0.4).

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a benchmark that cannot start has nothing to report")]

use std::{
    env, fs,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use cryptoki::{
    context::Pkcs11,
    mechanism::{Mechanism, aead::GcmParams},
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::Session,
    slot::Slot,
};
use hal::{
    Kek, Label, RootKeyVersion, RootKeys, SecretBytes, WrapScheme, WrappedKek,
    pkcs11::{Pkcs11Config, Pkcs11Hal},
    software::SoftwareHal,
};
use pkcs11_fixtures::{PrivateModule, SoftHsm, Token};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

const TURNS: usize = 9;
/// Turns taken at most for one figure; after that disturbed ones count as well.
const MOST_TURNS: usize = 60;
/// Turns thrown away.
static DISTURBED: AtomicU32 = AtomicU32::new(0);
const WORKERS: usize = 4;
/// As long as the additional data of the HAL's seals.
const AAD: [u8; 33] = [1; 33];

fn main() {
    let seconds = env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(0.4);
    let turn = Duration::from_secs_f64(seconds / 9.0);
    let Some(softhsm) = SoftHsm::shared() else { return };
    println!("operations in a second, median of {TURNS} turns of {turn:?}\n");
    println!("| SoftHSM2 | threads | raw | hal | hal / raw |\n|---|---|---|---|---|");
    for scheme in [WrapScheme::AesGcm, WrapScheme::AesKw] {
        directly_and_through_the_hal(softhsm, scheme, turn);
    }
    println!("\n| each call 2 ms longer, aes-gcm | workers | unwraps | times one worker |\n|---|---|---|---|");
    slow_token(turn);
    println!("\n| software, aes-kw | threads | hal |\n|---|---|---|");
    software(turn);
    println!(
        "\nturns thrown away because processor time was taken from this machine: {}",
        DISTURBED.load(Ordering::Relaxed)
    );
}

fn directly_and_through_the_hal(softhsm: &SoftHsm, scheme: WrapScheme, turn: Duration) {
    let token = softhsm.token("bench");
    // The HAL logs the process in, and does not accept a login that it did not make.
    let site = Site::new(softhsm.module(), &token, scheme, WORKERS);
    let raw = Raw::new(softhsm.module(), &token, scheme);
    for threads in [1, 2, 4] {
        let wrap = pair(turn, &raw.on(threads, Raw::wrap), &site.on(threads, Site::wrap));
        row(&format!("{scheme} wrap"), threads, wrap);
        let unwrap = pair(turn, &raw.on(threads, Raw::unwrap), &site.on(threads, Site::unwrap));
        row(&format!("{scheme} unwrap"), threads, unwrap);
        let both = |raw: &Raw, session: &Session| {
            raw.unwrap(session);
            raw.wrap(session);
        };
        let rewrap = pair(turn, &raw.on(threads, both), &site.rewrapping(threads));
        row(&format!("{scheme} rewrap (raw: unwrap and wrap; hal also opens the new one)"), threads, rewrap);
    }
}

fn slow_token(turn: Duration) {
    let Some(module) = PrivateModule::new("bench-slow") else { return };
    let mut one = 0.0;
    for workers in [1, 8, 32] {
        let site = Site::new(&module.module_path(), module.token(), WrapScheme::AesGcm, workers);
        module.control().tell("latency * 2ms").expect("the shim obeys");
        // Twice the time: an operation is three calls, so that few fit.
        let rate = rate(turn * 2, &site.on(2 * workers, Site::unwrap));
        module.control().tell("pass").expect("the shim obeys");
        if workers == 1 {
            one = rate;
        }
        println!("| | {workers} | {rate:.0} | {:.1} |", rate / one);
    }
}

fn software(turn: Duration) {
    let directory = tempfile::tempdir().expect("a directory is made");
    let passphrase = SecretBytes::from(b"benchmark".to_vec());
    let hal = SoftwareHal::create(&directory.path().join("roots"), &passphrase).expect("a file is made");
    let site = Site::around(Box::new(hal));
    for threads in [1, 2] {
        println!("| wrap | {threads} | {:.0} |", rate(turn, &site.on(threads, Site::wrap)));
        println!("| unwrap | {threads} | {:.0} |", rate(turn, &site.on(threads, Site::unwrap)));
    }
}

fn row(what: &str, threads: usize, (raw, hal): (f64, f64)) {
    println!("| {what} | {threads} | {raw:.0} | {hal:.0} | {:.2} |", hal / raw);
}

/// Something that runs for a while on several threads and says how many operations it did.
type Load<'a> = Box<dyn Fn(Duration) -> u64 + 'a>;

/// Both rates, measured in turns.
fn pair(turn: Duration, raw: &Load<'_>, hal: &Load<'_>) -> (f64, f64) {
    let [raw, hal] = rates(turn, [raw, hal]);
    (raw, hal)
}

fn rate(turn: Duration, load: &Load<'_>) -> f64 {
    let [rate] = rates(turn, [load]);
    rate
}

/// The rate of each load, the loads taking turns.
#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
fn rates<const N: usize>(turn: Duration, loads: [&Load<'_>; N]) -> [f64; N] {
    let mut figures: [Vec<f64>; N] = [const { Vec::new() }; N];
    for taken in 1..=MOST_TURNS {
        let stolen = stolen();
        let one = loads.map(|load| {
            let start = Instant::now();
            let count = load(turn);
            count as f64 / start.elapsed().as_secs_f64()
        });
        if stolen != self::stolen() && MOST_TURNS - taken >= TURNS {
            DISTURBED.fetch_add(1, Ordering::Relaxed);
            // A machine with an allowance of processor time earns some of it back.
            thread::sleep(turn);
            continue;
        }
        for (figures, one) in figures.iter_mut().zip(one) {
            figures.push(one);
        }
        if figures.iter().all(|figures| figures.len() >= TURNS) {
            break;
        }
    }
    figures.map(median)
}

/// The time that a hypervisor has given to others instead of this machine, in ticks; 0 where the system does not say.
fn stolen() -> u64 {
    let Ok(stat) = fs::read_to_string("/proc/stat") else { return 0 };
    stat.lines().next().and_then(|total| total.split_ascii_whitespace().nth(8)?.parse().ok()).unwrap_or_default()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// Runs `operation` on as many threads as there are states, each with its own, until the time is up.
fn until<S: Send>(turn: Duration, states: Vec<S>, operation: impl Fn(&S) -> u64 + Sync) -> u64 {
    let end = Instant::now() + turn;
    let operation = &operation;
    thread::scope(|scope| {
        let run = |state: S| {
            scope.spawn(move || {
                let mut count = 0;
                while Instant::now() < end {
                    count += operation(&state);
                }
                count
            })
        };
        let threads: Vec<_> = states.into_iter().map(run).collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).sum()
    })
}

/// A token called directly.
struct Raw {
    module: Pkcs11,
    slot: Slot,
    root: ObjectHandle,
    scheme: WrapScheme,
    wrapped: (Vec<u8>, Vec<u8>),
}

impl Raw {
    fn new(path: &Path, token: &Token, scheme: WrapScheme) -> Self {
        let module = Pkcs11::new(path).expect("the module loads");
        let slots = module.get_slots_with_token().expect("slots");
        let is_it = |slot: &Slot| module.get_token_info(*slot).is_ok_and(|info| info.label() == token.label);
        let slot = slots.into_iter().find(is_it).expect("the token is there");
        let session = module.open_rw_session(slot).expect("a session");
        let template = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::Wrap(true),
            Attribute::Unwrap(true),
            Attribute::ValueLen(32.into()),
        ];
        let root = session.generate_key(&Mechanism::AesKeyGen, &template).expect("a root key");
        let mut raw = Self { module, slot, root, scheme, wrapped: Default::default() };
        raw.wrapped = raw.wrap(&raw.session());
        raw
    }

    fn session(&self) -> Session {
        self.module.open_rw_session(self.slot).expect("a session")
    }

    fn on<'a, T>(&'a self, threads: usize, operation: impl Fn(&Self, &Session) -> T + Sync + 'a) -> Load<'a> {
        Box::new(move |turn| {
            let sessions = (0..threads).map(|_| self.session()).collect();
            until(turn, sessions, |session| {
                operation(self, session);
                1
            })
        })
    }

    fn wrap(&self, session: &Session) -> (Vec<u8>, Vec<u8>) {
        if self.scheme == WrapScheme::AesGcm {
            let mut iv = vec![0; 12];
            SystemRandom::new().fill(&mut iv).expect("random bytes");
            let params = GcmParams::new(&mut iv, &AAD, 128.into()).expect("parameters");
            let sealed = session.encrypt(&Mechanism::AesGcm(params), self.root, &[7; 32]).expect("sealed");
            return (iv, sealed);
        }
        let mut template = key_template();
        template.push(Attribute::Value(vec![7; 32]));
        let key = session.create_object(&template).expect("a session key");
        let wrapped = session.wrap_key(&Mechanism::AesKeyWrap, self.root, key).expect("wrapped");
        session.destroy_object(key).expect("destroyed");
        (Vec::new(), wrapped)
    }

    fn unwrap(&self, session: &Session) {
        let (iv, wrapped) = &self.wrapped;
        if self.scheme == WrapScheme::AesGcm {
            let mut iv = iv.clone();
            let params = GcmParams::new(&mut iv, &AAD, 128.into()).expect("parameters");
            session.decrypt(&Mechanism::AesGcm(params), self.root, wrapped).expect("opened");
            return;
        }
        let key =
            session.unwrap_key(&Mechanism::AesKeyWrap, self.root, wrapped, &key_template()).expect("a session key");
        session.get_attributes(key, &[AttributeType::Value]).expect("its value");
        session.destroy_object(key).expect("destroyed");
    }
}

fn key_template() -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Sensitive(false),
        Attribute::Extractable(true),
    ]
}

/// A backend of the HAL with a root key.
struct Site {
    hal: Box<dyn RootKeys>,
    root: RootKeyVersion,
    kek: Kek,
    wrapped: WrappedKek,
}

impl Site {
    fn new(module: &Path, token: &Token, scheme: WrapScheme, workers: usize) -> Self {
        let hal = Pkcs11Hal::new(Pkcs11Config {
            module: module.to_owned(),
            token_label: token.label.clone(),
            token_serial: Some(token.serial.clone()),
            pin: SecretBytes::from(token.pin.clone().into_bytes()).into(),
            workers,
            queue: 256,
            deadline: Duration::from_secs(10),
            scheme: Some(scheme),
            provider: None,
        });
        Self::around(Box::new(hal.expect("the configuration is in range")))
    }

    fn around(hal: Box<dyn RootKeys>) -> Self {
        let label = Label::new(&format!("bench-{}", uuid::Uuid::new_v4())).expect("a label");
        let root = hal.generate_root(&label).expect("a root key").key();
        let kek = Kek::new(Zeroizing::new([7; Kek::LEN]));
        let wrapped = hal.wrap_kek(root, &kek).expect("a KEK is wrapped");
        Self { hal, root, kek, wrapped }
    }

    fn on<'a>(&'a self, threads: usize, operation: impl Fn(&Self) + Sync + 'a) -> Load<'a> {
        Box::new(move |turn| {
            until(turn, vec![(); threads], |()| {
                operation(self);
                1
            })
        })
    }

    fn rewrapping(&self, threads: usize) -> Load<'_> {
        let batch = vec![self.wrapped.clone(); 64];
        Box::new(move |turn| {
            until(turn, vec![(); threads], |()| {
                self.hal.rewrap_keks(&batch, self.root).into_iter().map(|one| one.map(|_| 1).expect("re-wrapped")).sum()
            })
        })
    }

    fn wrap(&self) {
        self.hal.wrap_kek(self.root, &self.kek).expect("a KEK is wrapped");
    }

    fn unwrap(&self) {
        self.hal.unwrap_kek(&self.wrapped).expect("the blob opens");
    }
}
