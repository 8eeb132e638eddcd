//! TLS for the listener. Certificates are replaced while a gateway runs: the files are read again once they have changed, for
//! connections that come then. A change that cannot be used is logged, and the old certificate stays.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::ring,
        pki_types::{
            CertificateDer, PrivateKeyDer,
            pem::{self, PemObject as _},
        },
    },
};

/// What is spoken above TLS, in the order of our preference.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A certificate and its key, in files.
#[derive(Debug)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    changed: Changed,
}

/// When the files were changed last.
type Changed = [Option<SystemTime>; 2];

/// Files that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No PEM, or not to be read.
    #[error("the file {path}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        error: pem::Error,
    },
    /// There is none in it.
    #[error("the file {0} holds no certificate in PEM")]
    NoCertificate(PathBuf),
    /// They do not belong together, or are of a kind that is not understood.
    #[error("the certificate in {certificate} with the key in {key}: {error}")]
    Unusable {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why.
        error: rustls::Error,
    },
}

impl Tls {
    /// The certificate (with those that lead up to its issuer's) and the private key in these files.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let changed = changed(certificate, key);
        let current = Mutex::new(Current { config: read(certificate, key)?, changed });
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), current })
    }

    /// Whoever talks to the next client.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let changed = changed(&self.certificate, &self.key);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if changed != current.changed {
            // Also when it failed: one change is told of once.
            current.changed = changed;
            match read(&self.certificate, &self.key) {
                Ok(config) => current.config = config,
                Err(error) => tracing::error!(%error, "the new certificate is not used"),
            }
        }
        current.config.clone().into()
    }
}

fn changed(certificate: &Path, key: &Path) -> Changed {
    [certificate, key].map(|path| fs::metadata(path).and_then(|found| found.modified()).ok())
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let file = |path: &Path| {
        let path = path.to_owned();
        move |error| TlsError::File { path, error }
    };
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(file(certificate))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(certificate.to_owned()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(file(key))?;
    let unusable =
        |error| TlsError::Unusable { certificate: certificate.to_owned(), key: key.to_owned(), error };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(unusable)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(Arc::new(config))
}
