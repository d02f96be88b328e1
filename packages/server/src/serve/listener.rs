//! Listening: connections, within bounds, each served by the router of its listener.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body, response::Response};
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::Watcher},
};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

use super::tls::{Certificate, TlsError};
use crate::{
    api::{self, extract::RemoteAddr},
    app::App,
    config,
};

/// The most bytes of a request's headers.
const MAX_HEADER_BYTES: usize = 64 << 10;

/// The most requests that one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 128;

/// How often an HTTP/2 connection is asked whether its peer is alive, and how long that may take.
const PING: Duration = Duration::from_secs(30);

/// The pause after a failed accept, which is mostly a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why an address can't be listened on.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The address can't be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificate can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A bound address that waits to be served.
pub(super) struct Listener {
    socket: TcpListener,
    config: config::Listener,
    certificate: Option<Arc<Certificate>>,
    acceptor: Option<TlsAcceptor>,
}

impl Listener {
    /// Binds an address.
    pub(super) async fn bind(config: config::Listener) -> Result<Self, ListenError> {
        let certificate = config.tls.clone().map(Certificate::load).transpose()?;
        let acceptor = certificate.clone().map(Certificate::acceptor).transpose()?;
        let address = config.address;
        let socket = TcpListener::bind(address)
            .await
            .map_err(|source| ListenError::Bind { address, source })?;
        Ok(Self {
            socket,
            config,
            certificate,
            acceptor,
        })
    }

    /// The address, with the port that port 0 became.
    pub(super) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap_or(self.config.address)
    }

    /// The certificate, if the listener does TLS.
    pub(super) fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.certificate.as_ref()
    }

    /// Accepts connections until told to stop.
    pub(super) async fn serve(self, doorman: Doorman) {
        let router = api::router(doorman.app.clone(), &self.config.services);
        loop {
            // Further connections wait in the kernel's queue.
            let Ok(place) = Arc::clone(&doorman.places).acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = doorman.closing.cancelled() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let connection = Connection {
                        router: router.clone(),
                        app: doorman.app.clone(),
                        peer: peer.ip(),
                    };
                    let acceptor = self.acceptor.clone();
                    let watcher = doorman.watcher();
                    doorman.connections.spawn(async move {
                        connection.serve(stream, acceptor, watcher).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// What all listeners share: the bound on connections and how they are told to end.
#[derive(Clone)]
pub(super) struct Doorman {
    /// What requests share.
    pub(super) app: App,
    /// One permit per connection that may be open.
    pub(super) places: Arc<Semaphore>,
    /// Fires when no more connections are accepted.
    pub(super) closing: CancellationToken,
    /// The open connections.
    pub(super) connections: TaskTracker,
    /// Tells open connections to finish what they do and close.
    pub(super) graceful: Arc<hyper_util::server::graceful::GracefulShutdown>,
}

impl Doorman {
    fn watcher(&self) -> Watcher {
        self.graceful.watcher()
    }
}

struct Connection {
    router: Router,
    app: App,
    peer: IpAddr,
}

impl Connection {
    async fn serve(self, stream: TcpStream, acceptor: Option<TlsAcceptor>, watcher: Watcher) {
        // Small answers must not wait for the peer's acknowledgement of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let patience = self.app.config.http.header_timeout;
        // The protocol is settled before the first byte of HTTP is read, so that no peer can
        // linger undecided: HTTP/2 needs TLS, which names it.
        match acceptor {
            None => {
                self.http(stream, self.builder().http1_only(), watcher)
                    .await;
            }
            Some(acceptor) => match timeout(patience, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let builder = self.builder();
                    let builder = if is_http2 {
                        builder.http2_only()
                    } else {
                        builder.http1_only()
                    };
                    self.http(stream, builder, watcher).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, peer = %self.peer, "TLS failed"),
                Err(_) => tracing::debug!(peer = %self.peer, "TLS took too long"),
            },
        }
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        let patience = self.app.config.http.header_timeout;
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(patience)
            .max_buf_size(MAX_HEADER_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX));
        builder
    }

    async fn http<S>(&self, stream: S, builder: Builder<TokioExecutor>, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|request: Request<Incoming>| {
            let served = self.request(request);
            async move { Ok::<Response, Infallible>(served.await) }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            // Peers hang up and send garbage all day.
            tracing::debug!(error = %error, peer = %self.peer, "connection ended");
        }
    }

    fn request(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response> + Send + 'static {
        let mut request = request.map(Body::new);
        let trusted = &self.app.config.http.trusted_proxies;
        let remote = RemoteAddr::resolve(self.peer, request.headers(), trusted);
        request.extensions_mut().insert(remote);
        let mut router = self.router.clone();
        async move {
            match router.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
    }
}
