//! The certificate of the webhook: two files that are read again while the service runs, since their issuer renews them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::{Error, file};

use crate::os::sync::Mutex;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Where certificate and key are, in PEM.
#[derive(Debug, Clone)]
pub struct Files {
    /// The certificate, and those that it is signed by.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// The pair that is used, and what the files had when it was read.
#[derive(Debug)]
pub(super) struct Certificate {
    files: Files,
    provider: CryptoProvider,
    current: ArcSwap<CertifiedKey>,
    bytes: Mutex<Pair>,
}

#[derive(Debug, PartialEq, Eq)]
struct Pair {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl Certificate {
    /// Reads the pair.
    pub(super) fn open(files: Files) -> Result<Self, Error> {
        let provider = ring::default_provider();
        let pair = Pair::read(&files)?;
        let current = ArcSwap::from_pointee(pair.parsed(&files, &provider)?);
        Ok(Self { files, provider, current, bytes: Mutex::new(pair) })
    }

    /// What makes connections of streams.
    pub(super) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(self.provider.clone()))
            .with_safe_default_protocol_versions()
            .map_err(|source| Error::Tls { path: self.files.certificate.clone(), source })?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Takes over what the files have become, for as long as the service runs. Files that are gone or do not match keep the pair
    /// that is used: they may be on their way.
    pub(super) async fn keep_up(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let certificate = Arc::clone(&self);
            let read = tokio::task::spawn_blocking(move || certificate.read_again()).await;
            match read {
                Ok(Ok(false)) | Err(_) => {}
                Ok(Ok(true)) => tracing::info!("the certificate of the webhook was renewed"),
                Ok(Err(e)) => {
                    tracing::warn!(code = e.code(), "the certificate of the webhook was not renewed: {e}")
                }
            }
        }
    }

    /// Whether there is a new pair.
    fn read_again(&self) -> Result<bool, Error> {
        let pair = Pair::read(&self.files)?;
        let mut bytes = self.bytes.lock();
        if *bytes == pair {
            return Ok(false);
        }
        self.current.store(Arc::new(pair.parsed(&self.files, &self.provider)?));
        *bytes = pair;
        Ok(true)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl Pair {
    fn read(files: &Files) -> Result<Self, Error> {
        let certificate = read(&files.certificate)?;
        Ok(Self { certificate, key: Zeroizing::new(read(&files.key)?) })
    }

    /// The pair, if both are what they should be and belong together.
    fn parsed(&self, files: &Files, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .map_err(|e| Error::Pem { path: files.certificate.clone(), reason: e.to_string() })?;
        if chain.is_empty() {
            let reason = "there is no certificate in it".to_owned();
            return Err(Error::Pem { path: files.certificate.clone(), reason });
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|e| Error::Pem { path: files.key.clone(), reason: e.to_string() })?;
        CertifiedKey::from_der(chain, key, provider)
            .map_err(|source| Error::Tls { path: files.certificate.clone(), source })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    file::read(path).map_err(|source| Error::CertificateFile { path: path.to_owned(), source })
}
