//! `[audit]`: where the audit log is, when it is synced, how long its segments grow and are kept, and who else receives it.

use std::{path::PathBuf, time::Duration};

use hal::Label;

use super::reader::Reader;
use crate::audit::{Facility, Options, Receiver, SyncPolicy};

/// The port of syslog over TLS, registered with IANA.
const SYSLOG_PORT: u16 = 6514;

/// `[audit]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// The open segment of the audit log. Everything else of the log is beside it.
    pub path: PathBuf,
    /// The label of the key in the HSM that signs its checkpoints.
    pub signing_key: Option<Label>,
    /// How it is written.
    pub options: Options,
    /// How long after a record a checkpoint is signed, at the latest.
    pub checkpoint: Duration,
    /// How long sealed segments are kept; `None` for ever.
    pub keep: Option<Duration>,
    /// Who receives a copy.
    pub syslog: Option<Receiver>,
}

pub(super) fn read(r: &mut Reader<'_>) -> AuditConfig {
    let days = |days: u32| Duration::from_secs(u64::from(days) * 24 * 60 * 60);
    AuditConfig {
        path: r.path("audit.path", "audit/audit.jsonl"),
        signing_key: r.optional_hsm_key("audit.signing_key"),
        options: Options {
            sync: r.choice(
                "audit.sync",
                ("mutations", SyncPolicy::Mutations),
                &[("interval", SyncPolicy::Interval), ("every", SyncPolicy::Every)],
            ),
            segment_bytes: r.integer("audit.segment_bytes", 65_536..=u32::MAX, 256 * 1024 * 1024).into(),
            segment_age: Duration::from_secs(u64::from(r.integer("audit.segment_hours", 1..=8760, 24)) * 60 * 60),
        },
        checkpoint: r.seconds("audit.checkpoint_seconds", 1..=86_400, 10),
        keep: Some(r.integer("audit.keep_days", 0..=36_500, 0)).filter(|kept| *kept > 0).map(days),
        syslog: r.table("audit.syslog", read_receiver).and_then(|(at, receiver)| check(r, at, receiver)),
    }
}

/// The settings of a receiver.
struct Stated {
    address: Option<String>,
    server_name: Option<String>,
    ca_file: Option<PathBuf>,
    certificate_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    facility: Facility,
}

fn read_receiver(r: &mut Reader<'_>) -> Stated {
    Stated {
        address: r.required_text("syslog.address", 1..=260),
        server_name: r.optional_text("syslog.server_name", 1..=253),
        ca_file: r.required_text("syslog.ca_file", 1..=4096).map(|file| r.beside(&file)),
        certificate_file: r.optional_path("syslog.certificate_file"),
        key_file: r.optional_path("syslog.key_file"),
        facility: r.choice("syslog.facility", ("authpriv", Facility::AUTHPRIV), &Facility::OTHERS),
    }
}

fn check(r: &mut Reader<'_>, at: usize, stated: Stated) -> Option<Receiver> {
    let address = stated.address?;
    let Some((host, port)) = split(&address) else {
        r.conflict(at, "audit.syslog.address", &address, "it is HOST or HOST:PORT, an IPv6 address in brackets");
        return None;
    };
    let identity = match (stated.certificate_file, stated.key_file) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => {
            let why = "certificate_file and key_file go together";
            r.conflict(at, "audit.syslog", &one.display().to_string(), why);
            return None;
        }
    };
    let Stated { server_name, ca_file, facility, .. } = stated;
    Some(Receiver { host, port, server_name, ca_file: ca_file?, identity, facility })
}

/// Host and port of `HOST`, `HOST:PORT`, `[IPv6]` or `[IPv6]:PORT`.
fn split(address: &str) -> Option<(String, u16)> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => address.split_at(address.find(':').unwrap_or(address.len())),
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|port| *port > 0)?,
        None if port.is_empty() => SYSLOG_PORT,
        None => return None,
    };
    rustls_pki_types::ServerName::try_from(host).ok()?;
    Some((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn audit(text: &str) -> Result<AuditConfig, String> {
        let config = Config::parse(&format!("[audit]\n{text}"), Path::new("/etc/keystead"));
        config.map(|config| config.audit).map_err(|problems| problems.iter().map(|p| format!("{p}\n")).collect())
    }

    #[test]
    fn a_receiver_is_read_whole_or_refused() {
        let receiver =
            audit("syslog = { address = \"logs.example.com\", ca_file = \"ca.pem\" }").unwrap().syslog.unwrap();
        assert_eq!((receiver.host.as_str(), receiver.port), ("logs.example.com", 6514));
        assert_eq!(receiver.ca_file, Path::new("/etc/keystead/ca.pem"));
        assert_eq!(receiver.facility, Facility::AUTHPRIV);
        let text = "[audit.syslog]\naddress = \"[::1]:10514\"\nca_file = \"ca.pem\"\nserver_name = \"logs\"\n\
            certificate_file = \"c.pem\"\nkey_file = \"k.pem\"\nfacility = \"local3\"";
        let receiver = audit(text).unwrap().syslog.unwrap();
        assert_eq!((receiver.host.as_str(), receiver.port), ("::1", 10514));
        assert!(receiver.identity.is_some());
        for (text, problem) in [
            ("{ ca_file = \"ca.pem\" }", "audit.syslog.address: it is missing"),
            ("{ address = \"logs\" }", "audit.syslog.ca_file: it is missing"),
            ("{ address = \"logs:0\", ca_file = \"a\" }", "HOST:PORT"),
            ("{ address = \"lo gs\", ca_file = \"a\" }", "HOST:PORT"),
            ("{ address = \"::1\", ca_file = \"a\" }", "HOST:PORT"),
            ("{ address = \"logs\", ca_file = \"a\", key_file = \"k\" }", "go together"),
            ("{ address = \"logs\", ca_file = \"a\", facility = \"kern\" }", "audit.syslog.facility"),
            ("{ address = \"logs\", ca_file = \"a\", tls = false }", "there is no such setting"),
            ("\"logs\"", "a table [audit.syslog]"),
        ] {
            let said = audit(&format!("syslog = {text}")).unwrap_err();
            assert!(said.contains(problem), "{text}: {said}");
        }
    }

    #[test]
    fn nothing_is_kept_for_less_than_a_day_and_everything_for_ever_by_default() {
        assert_eq!(audit("").unwrap().keep, None);
        assert_eq!(audit("keep_days = 1").unwrap().keep, Some(Duration::from_secs(86_400)));
        assert!(audit("keep_days = -1").is_err());
        assert!(audit("sync = \"never\"").is_err());
        assert_eq!(audit("sync = \"every\"").unwrap().options.sync, SyncPolicy::Every);
    }
}
