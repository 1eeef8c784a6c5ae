//! Says in words why a connection failed and what to do about it.

use std::io;

use kmip::{
    client::{ClientError, Refusal},
    enums::ResultReason,
};
use rustls::{AlertDescription, CertificateError, Error};

/// Why there is no TCP connection.
pub(in crate::cli) fn connecting(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "nothing listens there; is the server running, and is this its port?".to_owned()
        }
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            "no answer in time; is there a firewall in between, and is the address right?".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Why TLS failed, or a connection ended.
pub(in crate::cli) fn transport(error: &io::Error) -> String {
    if let Some(tls) = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>()) {
        return of_tls(tls);
    }
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "the server did not answer in time".to_owned(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "the server closed the connection; if that was its first answer, it may not know the client's certificate: \
             register it with an adapter, and look at the server's log"
                .to_owned()
        }
        _ => error.to_string(),
    }
}

/// Why KMIP failed.
pub(super) fn client(error: &ClientError) -> String {
    match error {
        ClientError::Connection(error) => transport(error),
        ClientError::Refused(Refusal { reason: Some(ResultReason::AuthenticationNotSuccessful), .. }) => {
            format!("{error}; the adapter has a KMIP credential: give it with --credential-file")
        }
        other => other.to_string(),
    }
}

fn of_tls(error: &Error) -> String {
    let words = match error {
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            "the server's certificate does not name this address; use a name that it has (--server-name), or have a \
             certificate made that names it"
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the server's certificate was not issued by the authority in --ca; is this the right server, and the right file?"
        }
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "the server's certificate has expired"
        }
        Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            "the server's certificate is not valid yet; is the clock right?"
        }
        Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
            | AlertDescription::UnsupportedCertificate,
        ) => "the server does not accept the client's certificate; is it registered with an adapter?",
        Error::AlertReceived(AlertDescription::CertificateExpired) => {
            "the server says that the client's certificate has expired"
        }
        Error::PeerIncompatible(_)
        | Error::AlertReceived(AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure) => {
            "the server offers no TLS version or cipher suite that this program accepts: it needs TLS 1.2 with ECDHE and \
             AES-GCM, or TLS 1.3"
        }
        Error::InvalidMessage(_) => "this is not a TLS server",
        _ => return error.to_string(),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io(error: Error) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }

    #[test]
    fn a_name_that_does_not_fit_and_an_unknown_issuer_are_told_apart() {
        let name = transport(&io(Error::InvalidCertificate(CertificateError::NotValidForName)));
        let issuer = transport(&io(Error::InvalidCertificate(CertificateError::UnknownIssuer)));
        assert!(name.contains("--server-name") && issuer.contains("--ca"), "{name} {issuer}");
    }

    #[test]
    fn a_refused_client_certificate_says_to_register_it() {
        for alert in [AlertDescription::CertificateUnknown, AlertDescription::AccessDenied] {
            assert!(transport(&io(Error::AlertReceived(alert))).contains("registered"));
        }
        assert!(transport(&io::ErrorKind::ConnectionReset.into()).contains("register"));
    }

    #[test]
    fn nobody_listening_and_no_answer_are_told_apart() {
        assert!(connecting(&io::ErrorKind::ConnectionRefused.into()).contains("nothing listens"));
        assert!(connecting(&io::ErrorKind::TimedOut.into()).contains("firewall"));
    }
}
