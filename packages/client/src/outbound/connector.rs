//! Connecting: from a route to a TLS stream.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use ::http::Uri;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::Service;

use super::{AddressGuard, Dns, Host, OutboundError, Route, Target};

/// The most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

/// How long an address is tried alone before the next one is tried beside it (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);

/// The longest time for TCP to connect to one target.
const CONNECT: Duration = Duration::from_secs(5);

/// The longest time for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Connects to the targets of one route.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) route: Arc<Route>,
    pub(super) dns: Arc<dyn Dns>,
    pub(super) guard: Arc<AddressGuard>,
    pub(super) tls: Arc<ClientConfig>,
}

impl Connector {
    async fn connect(self) -> Result<TokioIo<Stream>, OutboundError> {
        let mut failure = OutboundError::Connect {
            to: self.route.authority.clone(),
            source: Arc::new(io::ErrorKind::NotFound.into()),
        };
        for target in &self.route.targets {
            match self.secure(target).await {
                Ok(stream) => return Ok(TokioIo::new(stream)),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn secure(&self, target: &Target) -> Result<Stream, OutboundError> {
        let stream = self.reach(target).await?;
        let failed = |source: io::Error| OutboundError::Tls {
            name: self.route.name.to_string(),
            source: Arc::new(source),
        };
        let name = match &self.route.name {
            Host::Ip(address) => ServerName::from(*address),
            Host::Name(name) => ServerName::try_from(name.clone())
                .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?,
        };
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        match timeout(HANDSHAKE, connector.connect(name, stream)).await {
            Ok(stream) => stream.map(Stream).map_err(failed),
            Err(_elapsed) => Err(failed(io::ErrorKind::TimedOut.into())),
        }
    }

    async fn reach(&self, target: &Target) -> Result<TcpStream, OutboundError> {
        let addresses = match &target.host {
            Host::Ip(address) => vec![*address],
            Host::Name(name) => self.dns.addresses(name).await?,
        };
        let mut allowed = Vec::new();
        let mut denied = None;
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            match self.guard.check(address) {
                Ok(()) => allowed.push(SocketAddr::new(address, target.port)),
                Err(error) => denied = Some(error),
            }
        }
        if let (true, Some(denied)) = (allowed.is_empty(), denied) {
            return Err(denied);
        }
        let connected = timeout(CONNECT, first(allowed)).await;
        connected
            .unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|source| OutboundError::Connect {
                to: target.to_string(),
                source: Arc::new(source),
            })
    }
}

/// Connects to the first address that answers; later ones get a start with some delay each.
async fn first(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        let more = match waiting.next() {
            Some(address) => {
                attempts.push(TcpStream::connect(address));
                waiting.len() > 0
            }
            None => false,
        };
        tokio::select! {
            outcome = attempts.next() => match outcome {
                Some(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Some(Err(error)) => failure = error,
                None => return Err(failure),
            },
            () = sleep(STAGGER), if more => {}
        }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = OutboundError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OutboundError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        self.clone().connect().boxed()
    }
}

/// A TLS stream that tells the HTTP client which protocol was agreed on.
pub(super) struct Stream(TlsStream<TcpStream>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = Connected::new();
        if self.0.get_ref().1.alpn_protocol() == Some(b"h2") {
            connected.negotiated_h2()
        } else {
            connected
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
