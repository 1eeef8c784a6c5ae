//! Why clients were turned away, and what to do about it, in sentences.

use crate::trust::RefusalReason;

/// Why a client was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// Its certificate opens no connection.
    Certificate(RefusalReason),
    /// The adapter has as many connections as it may.
    AdapterFull,
    /// The server has as many connections as it may.
    Full,
    /// It has no certificate.
    NoCertificate,
    /// It does not accept the server's certificate.
    ServerNotTrusted,
    /// It knows no TLS version that the server accepts.
    TlsVersion,
    /// It knows no cipher suite or key exchange that the server accepts.
    NoCommonCipher,
    /// It lacks something else that the server needs.
    Incompatible,
    /// It ended the handshake with an alert.
    Alert,
    /// What it sent is not TLS, or broken.
    Protocol,
    /// It hung up.
    Closed,
    /// The handshake took too long.
    Timeout,
    /// The server's own key in the HSM cannot be used.
    Hsm,
}

impl TurnedAway {
    /// A short name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Certificate(reason) => reason.name(),
            Self::AdapterFull => "adapter_full",
            Self::Full => "full",
            Self::NoCertificate => "no_certificate",
            Self::ServerNotTrusted => "server_not_trusted",
            Self::TlsVersion => "tls_version",
            Self::NoCommonCipher => "no_common_cipher",
            Self::Incompatible => "incompatible",
            Self::Alert => "alert",
            Self::Protocol => "protocol",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Hsm => "hsm",
        }
    }

    /// What happened, as a sentence.
    #[must_use]
    pub fn message(self) -> &'static str {
        use RefusalReason as R;
        match self {
            Self::Certificate(R::Unknown) => "The client's certificate is not registered with any adapter.",
            Self::Certificate(R::NoRule) => {
                "The client's certificate was issued by a known authority, but no rule maps it to an adapter."
            }
            Self::Certificate(R::NoCommonName) => {
                "The client's certificate was issued by a known authority, but no rule maps it to an adapter, and its \
                 subject has not exactly one common name."
            }
            Self::Certificate(R::Ambiguous) => "Rules map the client's certificate to more than one adapter.",
            Self::Certificate(R::IssuedForAnother) => {
                "This server's own authority issued the client's certificate for another adapter than the one that a rule maps it to."
            }
            Self::Certificate(R::Expired) => "The client's certificate has expired.",
            Self::Certificate(R::NotYetValid) => "The client's certificate is not valid yet.",
            Self::Certificate(R::Malformed) => "What the client sent is not a readable X.509 certificate.",
            Self::AdapterFull => "The adapter has as many open connections as it may.",
            Self::Full => "The server has as many open connections as it may.",
            Self::NoCertificate => "The client offered no certificate.",
            Self::ServerNotTrusted => "The client does not accept this server's certificate.",
            Self::TlsVersion => "The client offers no TLS version that this server accepts: it takes 1.2 and 1.3.",
            Self::NoCommonCipher => "The client offers no cipher suite or key exchange that this server accepts.",
            Self::Incompatible => "The client's TLS lacks something that this server needs.",
            Self::Alert => "The client ended the handshake with an alert.",
            Self::Protocol => "What the client sent is not TLS.",
            Self::Closed => "The client hung up before the handshake was done, as a test of the port does.",
            Self::Timeout => "The client did not finish the handshake in time.",
            Self::Hsm => "The server's TLS key in the HSM cannot be used, so no handshake can be finished.",
        }
    }

    /// What to do about it, as a sentence.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        use RefusalReason as R;
        match self {
            Self::Certificate(R::Unknown) => "If the client is yours, register this certificate with its adapter.",
            Self::Certificate(R::NoRule | R::NoCommonName) => {
                "Register this certificate with an adapter, or add a rule for its subject or an alternative name."
            }
            Self::Certificate(R::Ambiguous) => {
                "Remove one of the rules, or register this certificate with the adapter that is meant."
            }
            Self::Certificate(R::IssuedForAnother) => {
                "Issue the client a certificate for the adapter that it is to act as."
            }
            Self::Certificate(R::Expired) => "Renew the client's certificate and register the new one.",
            Self::Certificate(R::NotYetValid) => {
                "Check the clocks of this machine and of the one that issued the certificate."
            }
            Self::Certificate(R::Malformed) => "Give the client another certificate.",
            Self::AdapterFull => {
                "Find out why the client opens so many, or raise limits.connections_per_adapter in the configuration."
            }
            Self::Full => "Find out who opens so many, or raise limits.connections in the configuration.",
            Self::NoCertificate => "Give the client a certificate and register it with its adapter.",
            Self::ServerNotTrusted => {
                "Have the client trust this server: in vCenter compare the thumbprint and confirm it, elsewhere install \
                 this server's CA certificate; and let it connect by a name or address that the certificate has."
            }
            Self::TlsVersion => "Switch TLS 1.2 or 1.3 on in the client.",
            Self::NoCommonCipher => {
                "Allow the client an ECDHE cipher suite with AES-GCM or ChaCha20-Poly1305, and the curve P-256 or X25519."
            }
            Self::Incompatible => "Bring the client's TLS up to date.",
            Self::Alert => "Look into the client's log: it says there what it did not like.",
            Self::Protocol => "Check that the client speaks KMIP over TLS (TTLV), not HTTP, to this port.",
            Self::Closed => "Nothing, if somebody tested the port; otherwise look into the client's log.",
            Self::Timeout => "Check the network between the client and this server.",
            Self::Hsm => "Look at the HSM: the overview and the server's log say what is wrong with it.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_told_in_sentences() {
        use RefusalReason as R;
        use TurnedAway as T;
        let certificates = [
            R::Unknown,
            R::NoRule,
            R::NoCommonName,
            R::Ambiguous,
            R::IssuedForAnother,
            R::Expired,
            R::NotYetValid,
            R::Malformed,
        ];
        let others = [
            T::AdapterFull,
            T::Full,
            T::NoCertificate,
            T::ServerNotTrusted,
            T::TlsVersion,
            T::NoCommonCipher,
            T::Incompatible,
            T::Alert,
            T::Protocol,
            T::Closed,
            T::Timeout,
            T::Hsm,
        ];
        let all: Vec<_> = certificates.map(T::Certificate).into_iter().chain(others).collect();
        let names: std::collections::HashSet<_> = all.iter().map(|why| why.name()).collect();
        assert_eq!(names.len(), all.len());
        for text in all.iter().flat_map(|why| [why.message(), why.remedy()]) {
            assert!(text.ends_with('.') && text.starts_with(char::is_uppercase), "{text}");
        }
    }
}
