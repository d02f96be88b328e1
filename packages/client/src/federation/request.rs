//! Typed requests to other homeservers.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use matryx_entity::clock::Clock;
use metrics::{counter, gauge};
use ruma::{
    OwnedServerName, ServerName,
    api::{
        EndpointError, IncomingResponse, OutgoingRequest, OutgoingRequestExt,
        auth_scheme::{AuthScheme, NoAccessToken, NoAuthentication, SendAccessToken},
        error::{DeserializationError, Error, ErrorKind, IntoHttpError},
        federation::authentication::{ServerSignatures, XMatrixSigningInput},
        path_builder::SinglePath,
    },
    signatures::Ed25519KeyPair,
};
use thiserror::Error;

use super::resolve::{Resolution, Resolver};
use crate::outbound::{Claim, Dns, Limits, Outbound, OutboundError};

/// The bounds of a request for which nothing else is said.
pub const DEFAULT_LIMITS: Limits = Limits {
    time: Duration::from_secs(30),
    body: 16 << 20,
};

/// What a [`Federation`] is made of.
pub struct FederationOptions {
    /// Our name.
    pub server_name: OwnedServerName,
    /// Our signing key.
    pub key: Arc<Ed25519KeyPair>,
    /// The way out.
    pub outbound: Arc<dyn Outbound>,
    /// Finds services.
    pub dns: Arc<dyn Dns>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// Sends requests to other homeservers, signed as ours. Cheap to clone.
#[derive(Clone)]
pub struct Federation(Arc<Inner>);

struct Inner {
    server_name: OwnedServerName,
    key: Arc<Ed25519KeyPair>,
    outbound: Arc<dyn Outbound>,
    resolver: Resolver,
}

/// Why a request to another homeserver has no answer to use.
#[derive(Debug, Error)]
pub enum FederationError {
    /// It was to go to this server.
    #[error("a request of this server to itself")]
    Ourselves,
    /// It can't be put into HTTP.
    #[error("the request cannot be sent")]
    Request(#[from] IntoHttpError),
    /// Nobody answered.
    #[error("{server} cannot be reached")]
    Unreachable {
        /// The other server.
        server: OwnedServerName,
        /// Why.
        source: OutboundError,
    },
    /// The other server refused it.
    #[error("{server} answers with an error")]
    Remote {
        /// The other server.
        server: OwnedServerName,
        /// Its status and error.
        source: Error,
    },
    /// The other server's answer does not have the form that it must have.
    #[error("{server} answers with something else than it should")]
    Malformed {
        /// The other server.
        server: OwnedServerName,
        /// What is wrong.
        source: DeserializationError,
    },
}

impl FederationError {
    /// May the same request succeed later?
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } => !matches!(source, OutboundError::Denied(_)),
            Self::Remote { source, .. } => {
                source.status_code.is_server_error() || source.status_code.as_u16() == 429
            }
            Self::Ourselves | Self::Request(_) | Self::Malformed { .. } => false,
        }
    }

    /// The Matrix error that the other server answered with.
    pub fn kind(&self) -> Option<&ErrorKind> {
        match self {
            Self::Remote { source, .. } => source.error_kind(),
            _ => None,
        }
    }
}

/// An authentication scheme of requests between servers.
pub trait ServerAuth: AuthScheme {
    /// What the scheme needs of us.
    fn input<'a>(
        server_name: &ServerName,
        destination: &ServerName,
        key: &'a Ed25519KeyPair,
    ) -> Self::Input<'a>;
}

impl ServerAuth for ServerSignatures {
    fn input<'a>(
        server_name: &ServerName,
        destination: &ServerName,
        key: &'a Ed25519KeyPair,
    ) -> XMatrixSigningInput<'a> {
        XMatrixSigningInput::new(server_name.to_owned(), destination.to_owned(), key)
    }
}

impl ServerAuth for NoAuthentication {
    fn input(_: &ServerName, _: &ServerName, _: &Ed25519KeyPair) {}
}

impl ServerAuth for NoAccessToken {
    fn input<'a>(_: &ServerName, _: &ServerName, _: &'a Ed25519KeyPair) -> SendAccessToken<'a> {
        SendAccessToken::None
    }
}

impl Federation {
    /// A client that has talked to nobody yet.
    pub fn new(options: FederationOptions) -> Self {
        let FederationOptions {
            server_name,
            key,
            outbound,
            dns,
            clock,
        } = options;
        Self(Arc::new(Inner {
            server_name,
            key,
            resolver: Resolver::new(Arc::clone(&outbound), dns, clock),
            outbound,
        }))
    }

    /// Our name.
    pub fn server_name(&self) -> &ServerName {
        &self.0.server_name
    }

    /// Where a server is, and how that was found.
    pub async fn resolve(&self, server: &ServerName) -> Arc<Resolution> {
        self.0.resolver.resolve(server).await
    }

    /// Sends a request within [`DEFAULT_LIMITS`].
    ///
    /// # Errors
    /// See [`FederationError`].
    pub async fn send<R>(
        &self,
        destination: &ServerName,
        request: R,
    ) -> Result<R::IncomingResponse, FederationError>
    where
        R: OutgoingRequest<EndpointError = Error, PathBuilder = SinglePath> + Send,
        R::Authentication: ServerAuth,
    {
        self.send_with(destination, request, DEFAULT_LIMITS).await
    }

    /// Sends a request within these limits, which bound the search for the server as well.
    ///
    /// # Errors
    /// See [`FederationError`].
    pub async fn send_with<R>(
        &self,
        destination: &ServerName,
        request: R,
        limits: Limits,
    ) -> Result<R::IncomingResponse, FederationError>
    where
        R: OutgoingRequest<EndpointError = Error, PathBuilder = SinglePath> + Send,
        R::Authentication: ServerAuth,
    {
        let (answer, _claim) = self.send_large(destination, request, limits).await?;
        Ok(answer)
    }

    /// The same for an answer that may be large: with its claim on the memory of such answers, which
    /// is to be kept for as long as the answer is worked on.
    ///
    /// # Errors
    /// See [`FederationError`].
    pub async fn send_large<R>(
        &self,
        destination: &ServerName,
        request: R,
        limits: Limits,
    ) -> Result<(R::IncomingResponse, Option<Claim>), FederationError>
    where
        R: OutgoingRequest<EndpointError = Error, PathBuilder = SinglePath> + Send,
        R::Authentication: ServerAuth,
    {
        let outcome = self.exchange(destination, request, limits).await;
        let label = match &outcome {
            Ok(_) => "answered",
            Err(FederationError::Remote { .. }) => "refused",
            Err(FederationError::Unreachable { .. }) => "unreachable",
            Err(FederationError::Malformed { .. }) => "malformed",
            Err(FederationError::Ourselves | FederationError::Request(_)) => "unsendable",
        };
        counter!("matryx_federation_requests_total", "outcome" => label).increment(1);
        outcome
    }

    /// Sets the process's metrics to what the client is now.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is a float, and these stay far below 2^52"
    )]
    pub fn record_metrics(&self) {
        gauge!("matryx_cache_entries", "cache" => "servers").set(self.0.resolver.count() as f64);
    }

    async fn exchange<R>(
        &self,
        destination: &ServerName,
        request: R,
        limits: Limits,
    ) -> Result<(R::IncomingResponse, Option<Claim>), FederationError>
    where
        R: OutgoingRequest<EndpointError = Error, PathBuilder = SinglePath> + Send,
        R::Authentication: ServerAuth,
    {
        let inner = &*self.0;
        if destination == inner.server_name {
            return Err(FederationError::Ourselves);
        }
        let unreachable = |source| FederationError::Unreachable {
            server: destination.to_owned(),
            source,
        };
        let exchange = async {
            let resolution = inner.resolver.resolve(destination).await;
            let input = R::Authentication::input(&inner.server_name, destination, &inner.key);
            let base_url = resolution.route.base_url();
            let request = request
                .try_into_http_request::<BytesMut>(&base_url, input, ())?
                .map(BytesMut::freeze);
            let answer = inner.outbound.exchange(&resolution.route, request, limits);
            answer.await.map_err(unreachable)
        };
        let answer: http::Response<Bytes> = tokio::time::timeout(limits.time, exchange)
            .await
            .unwrap_or_else(|_elapsed| Err(unreachable(OutboundError::TimedOut(limits.time))))?;
        let (mut parts, body) = answer.into_parts();
        let claim = parts.extensions.remove::<Claim>();
        let answer = http::Response::from_parts(parts, &*body);
        let server = destination.to_owned();
        if answer.status().as_u16() >= 400 {
            let source = Error::from_http_response(answer);
            return Err(FederationError::Remote { server, source });
        }
        R::IncomingResponse::try_from_http_response_inner(answer)
            .map(|answer| (answer, claim))
            .map_err(|source| FederationError::Malformed { server, source })
    }
}
