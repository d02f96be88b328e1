//! The HTTP client: HTTP/2 and HTTP/1.1 over TLS, with connections that are kept for a while.

use std::{error::Error, sync::Arc, time::Duration};

use ::http::{HeaderValue, Request, Response, header};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http_body_util::Full;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use quick_cache::sync::Cache;
use rustls::ClientConfig;
use tokio::time::timeout;

use super::{
    AddressGuard, Dns, Limits, Outbound, OutboundError, Route, TrustError, Trusted,
    connector::Connector,
    memory::{Memory, MemoryLimits},
};

/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(90);

/// How often an HTTP/2 connection is asked whether its peer is alive, and how long that may take.
const PING: Duration = Duration::from_secs(15);

/// The most unused connections to one server.
const MAX_IDLE: usize = 2;

/// The most servers to which connections are kept.
const MAX_SERVERS: usize = 2048;

/// The most bytes of an answer's headers.
const MAX_HEADERS: u32 = 64 << 10;

type Pool = Client<Connector, Full<Bytes>>;

/// What the client of outgoing requests is made of.
pub struct HttpOptions {
    /// Finds addresses.
    pub dns: Arc<dyn Dns>,
    /// Whom TLS trusts.
    pub trusted: Trusted,
    /// Where requests may not go.
    pub guard: AddressGuard,
    /// What large answers may take up.
    pub memory: MemoryLimits,
}

/// Sends requests over the network.
pub struct HttpOutbound {
    dns: Arc<dyn Dns>,
    guard: Arc<AddressGuard>,
    tls: Arc<ClientConfig>,
    pools: Cache<Route, Arc<Pool>>,
    memory: Memory,
}

impl HttpOutbound {
    /// A client that has no connections yet.
    ///
    /// # Errors
    /// TLS can't be set up.
    pub fn new(options: HttpOptions) -> Result<Self, TrustError> {
        let HttpOptions {
            dns,
            trusted,
            guard,
            memory,
        } = options;
        Ok(Self {
            tls: Arc::new(trusted.client_config()?),
            dns,
            guard: Arc::new(guard),
            pools: Cache::new(MAX_SERVERS),
            memory: Memory::new(memory),
        })
    }

    fn pool(&self, route: &Route) -> Arc<Pool> {
        if let Some(pool) = self.pools.get(route) {
            return pool;
        }
        let connector = Connector {
            route: Arc::new(route.clone()),
            dns: Arc::clone(&self.dns),
            guard: Arc::clone(&self.guard),
            tls: Arc::clone(&self.tls),
        };
        let pool = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MAX_IDLE)
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(PING)
            .http2_max_header_list_size(MAX_HEADERS)
            .build(connector);
        let pool = Arc::new(pool);
        self.pools.insert(route.clone(), Arc::clone(&pool));
        pool
    }
}

impl Outbound for HttpOutbound {
    fn exchange<'a>(
        &'a self,
        route: &'a Route,
        request: Request<Bytes>,
        limits: Limits,
    ) -> BoxFuture<'a, Result<Response<Bytes>, OutboundError>> {
        let exchange = async move {
            let pool = self.pool(route);
            let exchange = exchange(&pool, &self.memory, request, limits.body);
            let outcome = timeout(limits.time, exchange).await;
            outcome.unwrap_or(Err(OutboundError::TimedOut(limits.time)))
        };
        exchange.boxed()
    }
}

async fn exchange(
    pool: &Pool,
    memory: &Memory,
    request: Request<Bytes>,
    limit: usize,
) -> Result<Response<Bytes>, OutboundError> {
    let mut request = request.map(Full::new);
    let agent = HeaderValue::from_static(concat!("Matryx/", env!("CARGO_PKG_VERSION")));
    request.headers_mut().insert(header::USER_AGENT, agent);
    let answer = pool.request(request).await.map_err(reason)?;
    let (mut parts, body) = answer.into_parts();
    let (body, claim) = memory.read(body, limit).await?;
    if let Some(claim) = claim {
        parts.extensions.insert(claim);
    }
    Ok(Response::from_parts(parts, body))
}

/// What kept a request from being answered: the connector's reason, if it was that.
fn reason(error: hyper_util::client::legacy::Error) -> OutboundError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if let Some(reason) = error.downcast_ref::<OutboundError>() {
            return reason.clone();
        }
        cause = error.source();
    }
    OutboundError::Broken(Arc::new(error))
}
