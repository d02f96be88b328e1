//! Whom outgoing TLS trusts.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, pem, pem::PemObject};
use thiserror::Error;

/// The certificate authorities that are trusted: the system's and further ones.
#[derive(Clone, Debug)]
pub struct Trusted(Arc<RootCertStore>);

/// Why a file with authorities can't be used.
#[derive(Debug, Error)]
pub enum TrustError {
    /// It can't be read, or has no certificates.
    #[error("cannot read certificates from {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// It holds something that is no authority's certificate.
    #[error("a certificate in {} cannot be used", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// TLS itself can't be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
}

impl Trusted {
    /// Trusts what the system trusts, and the authorities in these files (PEM).
    ///
    /// # Errors
    /// A file can't be used. What the system has and can't be used is passed over.
    pub fn load(extra: &[PathBuf]) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::warn!(%error, "some of the system's certificate authorities cannot be read");
        }
        roots.add_parsable_certificates(system.certs);
        for path in extra {
            add(&mut roots, path)?;
        }
        if roots.is_empty() {
            tracing::warn!("no certificate authority is trusted: no other server can be reached");
        }
        Ok(Self(Arc::new(roots)))
    }

    /// The client's side of TLS, with HTTP/2 if the other side has it.
    pub(super) fn client_config(&self) -> Result<ClientConfig, TrustError> {
        let provider = Arc::new(ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(Arc::clone(&self.0))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), TrustError> {
    let unreadable = |source| TrustError::File {
        path: path.to_owned(),
        source,
    };
    let certificates = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
    let mut any = false;
    for certificate in certificates {
        let added = roots.add(certificate.map_err(unreadable)?);
        added.map_err(|source| TrustError::Certificate {
            path: path.to_owned(),
            source,
        })?;
        any = true;
    }
    if any {
        Ok(())
    } else {
        Err(unreadable(pem::Error::NoItemsFound))
    }
}
