//! Which servers are trusted.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use crate::blob::{Cause, Trouble};

/// How the certificate of a server is checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM certificates that are trusted in place of those of the system.
    pub roots: Option<Vec<u8>>,
    /// Trust any server. Its answers may then come from anybody; what is read is still authenticated with the keys of
    /// the repository, but credentials are not protected.
    pub unverified: bool,
    /// SHA-256 of the one certificate that is trusted, in hex; the rest does not count then.
    pub fingerprint: Option<String>,
}

impl Tls {
    /// What connections are made with. Without encryption, roots are neither needed nor looked for.
    pub(super) fn config(&self, encrypted: bool) -> Result<ClientConfig, Trouble> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Verifier::new(self, &provider, encrypted)?;
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| Trouble::new(Cause::Tls, e.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(config)
    }
}

/// Trusts what the roots vouch for, and, as Go does, a certificate that is itself among the roots that were given: the
/// usual self-signed certificate of a home server is both.
struct Verifier {
    inner: Option<Arc<WebPkiServerVerifier>>,
    given: Vec<CertificateDer<'static>>,
    unverified: bool,
    fingerprint: Option<Vec<u8>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(tls: &Tls, provider: &Arc<CryptoProvider>, encrypted: bool) -> Result<Self, Trouble> {
        let fingerprint = match &tls.fingerprint {
            Some(text) => Some(fingerprint(text)?),
            None => None,
        };
        let mut verifier = Self {
            inner: None,
            given: Vec::new(),
            unverified: tls.unverified,
            fingerprint,
            provider: Arc::clone(provider),
        };
        if !encrypted || tls.unverified || verifier.fingerprint.is_some() {
            return Ok(verifier);
        }
        let mut roots = RootCertStore::empty();
        match &tls.roots {
            Some(pem) => {
                verifier.given = certificates(pem)?;
                roots.add_parsable_certificates(verifier.given.iter().cloned());
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if !roots.is_empty() {
            let built =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
            verifier.inner = Some(built.map_err(|e| Trouble::new(Cause::Tls, e.to_string()))?);
        }
        Ok(verifier)
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Trouble> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => {
            Err(Trouble::new(Cause::Tls, "the root certificates that were given are no PEM certificates"))
        }
        Err(e) => {
            Err(Trouble::new(Cause::Tls, format!("the root certificates that were given are not valid: {e}")))
        }
    }
}

fn fingerprint(text: &str) -> Result<Vec<u8>, Trouble> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    hex::decode(digits)
        .ok()
        .filter(|bytes| bytes.len() == 32)
        .ok_or_else(|| Trouble::new(Cause::Tls, "the fingerprint of the certificate is no SHA-256 in hex"))
}

/// Whether the one thing wrong with a certificate is that it may sign others. Its dates were checked before that.
fn is_root_itself(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
            matches!(inner.downcast_ref::<webpki::Error>(), Some(webpki::Error::CaUsedAsEndEntity))
        }
        _ => false,
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(wanted) = &self.fingerprint {
            let found = ::ring::digest::digest(&::ring::digest::SHA256, end_entity);
            return match found.as_ref() == wanted.as_slice() {
                true => Ok(ServerCertVerified::assertion()),
                false => Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
            };
        }
        if self.unverified {
            return Ok(ServerCertVerified::assertion());
        }
        let Some(inner) = &self.inner else {
            return Err(Error::General("there are no root certificates on this system".into()));
        };
        let verified = inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            Err(error) if is_root_itself(&error) && self.given.iter().any(|given| given == end_entity) => {
                rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}
