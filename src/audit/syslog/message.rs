//! The form of a message (RFC 5424 §6) and of its frame (RFC 5425 §4.3). The message is the record's line as it stands in the
//! log, so that the receiver's copy can be verified like the log itself.

use std::io::Write as _;

use super::super::record::Record;

/// Where in the receiver the messages belong (RFC 5424 §6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(u8);

impl Facility {
    /// Security and authorization messages, not for everybody's eyes.
    pub const AUTHPRIV: Self = Self(10);
    /// The others that audit records go to, by their usual names.
    pub const OTHERS: [(&'static str, Self); 10] = [
        ("auth", Self(4)),
        ("audit", Self(13)),
        ("local0", Self(16)),
        ("local1", Self(17)),
        ("local2", Self(18)),
        ("local3", Self(19)),
        ("local4", Self(20)),
        ("local5", Self(21)),
        ("local6", Self(22)),
        ("local7", Self(23)),
    ];
}

/// The structured data's name: 32473 is the number that RFC 5612 sets aside for those who have none of their own.
const SD_ID: &str = "keystead@32473";

/// Writes messages.
pub(super) struct Sender {
    facility: Facility,
    host: String,
    process: u32,
}

impl Sender {
    pub(super) fn new(facility: Facility) -> Self {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let host = Some(name).filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()));
        Self { facility, host: host.unwrap_or_else(|| "-".to_owned()), process: std::process::id() }
    }

    /// Adds one frame to `frames`.
    pub(super) fn frame(&self, line: &[u8], record: &Record, frames: &mut Vec<u8>) {
        let message = self.message(line, record);
        // Writing into memory does not fail.
        let _ = write!(frames, "{} ", message.len());
        frames.extend_from_slice(&message);
    }

    fn message(&self, line: &[u8], record: &Record) -> Vec<u8> {
        let Self { facility, host, process } = self;
        let priority = facility.0 * 8 + severity(record);
        let kind = if record.kind.bytes().all(|byte| byte.is_ascii_graphic()) { record.kind.as_str() } else { "-" };
        let mut message = Vec::with_capacity(line.len() + 400);
        let time = record.time;
        let _ = write!(message, "<{priority}>1 {time:.3} {host} keystead {process} {kind:.32} [{SD_ID}");
        let mut parameter = |name, value: &str| {
            let _ = write!(message, " {name}=\"");
            for character in value.chars() {
                // RFC 5424 §6.3.3
                if matches!(character, '"' | '\\' | ']') {
                    message.push(b'\\');
                }
                message.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            message.push(b'"');
        };
        parameter("sequence", &record.sequence.to_string());
        let ids = [("adapter", record.adapter), ("object", record.object), ("root_key", record.root_key)];
        for (name, id) in ids {
            if let Some(id) = id {
                parameter(name, &id.to_string());
            }
        }
        let texts = [
            ("actor", record.actor.as_deref().unwrap_or_default()),
            ("operation", &record.operation),
            ("outcome", &record.outcome),
            ("correlation", &record.correlation),
        ];
        for (name, value) in texts {
            if !value.is_empty() {
                parameter(name, value);
            }
        }
        message.extend_from_slice(b"] ");
        message.extend_from_slice(line);
        message
    }
}

/// Denied is a warning, failed a notice, the rest information, what begins among it.
fn severity(record: &Record) -> u8 {
    match record.outcome.as_str() {
        "denied" => 4,
        "success" | "begun" | "" => 6,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_parts_in_their_places_and_nothing_breaks_out_of_them() {
        let line = format!(
            r#"{{"sequence":7,"prev":"{}","time":"2026-01-01T00:00:00.123Z","kind":"admin","actor":"identity:x","operation":"a]\"\\b","outcome":"denied","correlation":"c"}}"#,
            "0".repeat(64)
        );
        let record = Record::read(line.as_bytes()).unwrap();
        let sender = Sender { facility: Facility::AUTHPRIV, host: "host".to_owned(), process: 42 };
        let mut frames = Vec::new();
        sender.frame(line.as_bytes(), &record, &mut frames);
        let text = String::from_utf8(frames).unwrap();
        let (length, message) = text.split_once(' ').unwrap();
        assert_eq!(length.parse::<usize>().unwrap(), message.len());
        let expected = format!(
            r#"<84>1 2026-01-01T00:00:00.123Z host keystead 42 admin [keystead@32473 sequence="7" actor="identity:x" operation="a\]\"\\b" outcome="denied" correlation="c"] {line}"#
        );
        assert_eq!(message, expected);
    }
}
