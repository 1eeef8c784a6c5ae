//! PEM text (RFC 7468), written without leaving copies of private keys behind.

use rustls_pki_types::{
    CertificateDer, CertificateSigningRequestDer,
    pem::{self, PemObject as _},
};
use zeroize::Zeroizing;

use super::CaError;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// `der` as a PEM block with `label`. The buffer never grows, so a secret leaves no copy in freed memory.
pub(super) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let base64 = der.len().div_ceil(3) * 4;
    let mut text = Zeroizing::new(String::with_capacity(base64 + base64.div_ceil(64) + 2 * label.len() + 40));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            let byte = |i: usize| u32::from(group.get(i).copied().unwrap_or_default());
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for i in 0..4 {
                let symbol = ALPHABET.get((bits >> (18 - 6 * i)) as usize & 63).copied().unwrap_or(b'=');
                text.push(if i > group.len() { '=' } else { char::from(symbol) });
            }
        }
        text.push('\n');
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// The certificates in `file`, PEM (any number) or DER (one).
///
/// # Errors
/// There is none.
pub fn read_certificates(file: &[u8]) -> Result<Vec<CertificateDer<'static>>, CaError> {
    // Every DER certificate begins with the tag of a SEQUENCE, which no text does.
    let found = if file.first() == Some(&0x30) {
        vec![CertificateDer::from(file.to_vec())]
    } else {
        CertificateDer::pem_slice_iter(file).collect::<Result<_, _>>().map_err(CaError::Pem)?
    };
    for der in &found {
        x509_parser::parse_x509_certificate(der).map_err(|_| CaError::NotACertificate)?;
    }
    if found.is_empty() { Err(CaError::NotACertificate) } else { Ok(found) }
}

/// The certificate signing request in `file`, PEM or DER.
pub(super) fn read_request(file: &[u8]) -> Result<Vec<u8>, CaError> {
    if file.first() == Some(&0x30) {
        return Ok(file.to_vec());
    }
    // Older tools, Windows among them, write the label with NEW before it.
    let text = String::from_utf8_lossy(file).replace("NEW CERTIFICATE REQUEST", "CERTIFICATE REQUEST");
    let request = CertificateSigningRequestDer::from_pem_slice(text.as_bytes()).map_err(|error| match error {
        pem::Error::NoItemsFound => CaError::NotARequest,
        other => CaError::Pem(other),
    })?;
    Ok(request.as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::PrivatePkcs8KeyDer;

    use super::*;

    #[test]
    fn what_is_encoded_decodes_to_the_same_bytes_at_every_length() {
        for length in 1..200_u8 {
            let der: Vec<u8> = (0..length).map(|i| i.wrapping_mul(91)).collect();
            let text = encode("PRIVATE KEY", &der);
            assert!(text.lines().all(|line| line.len() <= 64));
            assert_eq!(PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).unwrap().secret_pkcs8_der(), der);
        }
    }

    #[test]
    fn the_buffer_does_not_grow() {
        let text = encode("PRIVATE KEY", &[7; 1000]);
        let base64: usize = 1336;
        assert!(text.capacity() <= base64 + base64.div_ceil(64) + 22 + 40);
    }

    #[test]
    fn refuses_text_without_a_certificate() {
        assert!(read_certificates(b"hello").is_err());
        assert!(read_certificates(b"").is_err());
        assert!(read_certificates(encode("CERTIFICATE", b"\x30\x03abc").as_bytes()).is_err());
        assert!(read_request(b"-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n").is_err());
    }
}
