//! Renewing the server's certificate: the own authority issues another for the same key and names, which takes the place of the
//! old one in its file and in the handshakes that follow. Connections that are open go on.
//!
//! The private key is not touched, so it may be in a file, in the HSM, or in an HSM that is away.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::tls::{ServerCertificate, TlsError, read_chain};
use crate::ca::{CaError, CertificateAuthority, IssuedCertificate};

/// Why the server's certificate was not renewed. The old one stays in use.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    /// The certificate did not come from a file.
    #[error("the server's certificate is not in a file")]
    NoFile,
    /// The file of the old one cannot be read, or the new one not be taken up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The authority did not issue a new one.
    #[error(transparent)]
    Authority(#[from] CaError),
    /// The new one cannot be written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl ServerCertificate {
    /// Renews the certificate that is in the file, and takes it up. What stands behind it in the file stays there.
    ///
    /// # Errors
    /// Another authority issued the old one; nothing could be issued or written; the file has a certificate for another key.
    pub fn renew(&self, authority: &CertificateAuthority, now: Timestamp) -> Result<IssuedCertificate, RenewalError> {
        let _one_at_a_time = self.renewing.lock();
        let (path, _) = self.source.as_ref().ok_or(RenewalError::NoFile)?;
        // First of all, so that a file for another key is found out before it is written to.
        self.reload()?;
        let chain = read_chain(path)?;
        let (old, rest) = chain.split_first().ok_or_else(|| TlsError::NoCertificate { path: path.clone() })?;
        let new = authority.renew_server(old, now)?;
        let rest = rest.iter().map(|certificate| IssuedCertificate::from_der(certificate.to_vec()).pem);
        let file: String = std::iter::once(new.pem.clone()).chain(rest).collect();
        replace(path, &file).map_err(|source| RenewalError::File { path: path.clone(), source })?;
        self.reload()?;
        Ok(new)
    }
}

/// Replaces the file `path`, which holds no secret, whole or not at all.
fn replace(path: &Path, content: &str) -> io::Result<()> {
    let beside = path.with_extension("renewed");
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&beside)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        // What failed matters more than its removal.
        let _ = fs::remove_file(&beside);
    }
    written
}
