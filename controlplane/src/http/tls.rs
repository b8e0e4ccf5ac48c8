//! TLS for the API (rustls).

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A certificate file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("SUIFTLY_API_CERT {}: {reason}", .file.display())]
pub struct CertificateError {
    file: PathBuf,
    reason: String,
}

/// TLS 1.2 and 1.3 with the certificate, its chain and its key, all in one PEM file.
///
/// # Errors
/// [`CertificateError`]; never shows the key.
pub fn server_config(file: &Path) -> Result<ServerConfig, CertificateError> {
    let refused = |reason: String| CertificateError { file: file.to_owned(), reason };
    let pem = std::fs::read(file).map_err(|error| refused(error.to_string()))?;
    let pem = zeroize::Zeroizing::new(pem);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| refused(format!("its certificates cannot be read: {error}")))?;
    if chain.is_empty() {
        return Err(refused("it holds no certificate in PEM".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| refused("it holds no private key in PEM; append it to the certificate".to_owned()))?;
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| refused(error.to_string()))
}
