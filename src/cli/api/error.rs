//! What goes wrong between a command and the admin API, in words.

use std::fmt;

use hal::HalError;
use serde::Deserialize;

use crate::cli::output::visible;

/// Why a server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No answer.
    #[error("{server}: {why}")]
    Unreachable {
        /// The server's address.
        server: String,
        /// What happened, and what to do.
        why: String,
    },
    /// It said no.
    #[error("{0}")]
    Refused(Box<Refused>),
    /// Something else answers there.
    #[error("{server} answers {status}, and not as Keystead's admin API does: is this its address?")]
    OtherServer {
        /// The server's address.
        server: String,
        /// The HTTP status.
        status: u16,
    },
    /// The answer lacks something.
    #[error("the server's answer to {path} has no {member}: it may be of another version than this program ({})", env!("CARGO_PKG_VERSION"))]
    Incomplete {
        /// What was asked for.
        path: String,
        /// What is missing.
        member: &'static str,
    },
    /// The API key cannot be sent.
    #[error("the API key in the file is not one: it begins with ks_ and has 79 characters")]
    NotAnApiKey,
    /// The client's certificate or key cannot be used.
    #[error("the client's certificate and key cannot be used: {0}")]
    Identity(rustls::Error),
    /// What to trust cannot be used.
    #[error("the authority's certificate cannot be used: {0}")]
    Trust(rustls::Error),
    /// No thread or socket for it.
    #[error("the system refuses: {0}")]
    System(std::io::Error),
}

/// Problem details (RFC 9457), as far as people are told of them.
#[derive(Debug, Deserialize)]
pub struct Refused {
    /// What it is.
    title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, and what to do.
    #[serde(default)]
    detail: String,
    /// The path that was asked for.
    #[serde(default)]
    instance: String,
    /// Its name for programs.
    pub code: String,
    /// Finds it in the server's logs.
    #[serde(default)]
    correlation: String,
    /// It was asked of the files of this machine.
    #[serde(skip)]
    here: bool,
    /// What the HSM said.
    #[serde(skip)]
    hsm: Option<HalError>,
}

impl Refused {
    /// The same, asked of the files of this machine; the HSM of which said that.
    pub(super) fn on_these_files(self, hsm: Option<HalError>) -> Self {
        Self { here: true, hsm, ..self }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", visible(&self.title))?;
        if !self.detail.is_empty() {
            write!(f, ": {}", visible(&self.detail))?;
        }
        if let Some(said) = &self.hsm {
            write!(f, "\n  the HSM says: {said}")?;
        }
        let (code, path) = (visible(&self.code), visible(&self.instance));
        let logs = if self.here { "the audit log" } else { "the server's logs" };
        write!(f, "\n  {} {code}, asked for {path}; in {logs}: {}", self.status, visible(&self.correlation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_why_and_where_to_look_and_steers_no_terminal() {
        let text = r#"{"type":"x","title":"There is no such thing","status":404,"detail":"no adapter \u001b[2J",
            "instance":"/v1/adapters/7","code":"not-found","correlation":"abc","limit":3}"#;
        let refused: Refused = serde_json::from_str(text).unwrap();
        let said = refused.to_string();
        for words in ["There is no such thing: no adapter", "404 not-found", "/v1/adapters/7", "logs: abc"] {
            assert!(said.contains(words), "{said}");
        }
        assert!(!said.contains('\u{1b}'));
    }
}
