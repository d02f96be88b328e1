//! Certificates of listeners that do TLS themselves; replaced without a restart.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use crate::config;

/// Why a certificate can't be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file can't be read or holds no such item.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// The key can't be used, or does not belong to the certificate.
    #[error("the certificate of {} cannot be used", path.display())]
    Certificate {
        /// The certificate's file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// A certificate that follows its files.
#[derive(Debug)]
pub(super) struct Certificate {
    files: config::Tls,
    current: ArcSwap<CertifiedKey>,
    /// When the files that are served changed. A mutex for the one task that watches them.
    modified: parking_lot::Mutex<[Option<SystemTime>; 2]>,
}

/// Reads the files of a certificate, to see whether they can be used.
///
/// # Errors
/// When they can't.
pub fn check_certificate(files: &config::Tls) -> Result<(), TlsError> {
    read(files).map(drop)
}

impl Certificate {
    /// Reads the files.
    pub(super) fn load(files: config::Tls) -> Result<Arc<Self>, TlsError> {
        let modified = modified(&files);
        let current = ArcSwap::from_pointee(read(&files)?);
        Ok(Arc::new(Self {
            files,
            current,
            modified: parking_lot::Mutex::new(modified),
        }))
    }

    /// Reads the files again if they have changed. What can't be used leaves the old ones in
    /// place.
    pub(super) fn refresh(&self) {
        let now = modified(&self.files);
        if *self.modified.lock() == now {
            return;
        }
        match read(&self.files) {
            Ok(fresh) => {
                self.current.store(Arc::new(fresh));
                *self.modified.lock() = now;
                tracing::info!(file = %self.files.certificate.display(), "certificate reloaded");
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "certificate kept");
            }
        }
    }

    /// Accepts TLS connections with whatever certificate is current then.
    pub(super) fn acceptor(self: Arc<Self>) -> Result<TlsAcceptor, TlsError> {
        let path = self.files.certificate.clone();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|source| TlsError::Certificate { path, source })?
            .with_no_client_auth()
            .with_cert_resolver(self);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn read(files: &config::Tls) -> Result<CertifiedKey, TlsError> {
    let broken = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::File { path, source }
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(broken(&files.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(broken(&files.key))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|source| {
        TlsError::Certificate {
            path: files.certificate.clone(),
            source,
        }
    })
}

fn modified(files: &config::Tls) -> [Option<SystemTime>; 2] {
    [&files.certificate, &files.key].map(|path| {
        std::fs::metadata(path)
            .and_then(|file| file.modified())
            .ok()
    })
}
