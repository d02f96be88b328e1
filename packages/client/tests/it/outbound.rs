//! The way out, over real sockets and TLS on loopback.

use std::{
    collections::HashMap,
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response, StatusCode};
use matryx_client::outbound::{
    AddressGuard, Claim, Dns, DnsError, Host, HttpOptions, HttpOutbound, Limits, MemoryLimits,
    Outbound, OutboundError, Route, Service, Target, Trusted,
};
use parking_lot::Mutex;
use rustls::{ServerConfig, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::script::target;

const LIMITS: Limits = Limits {
    time: Duration::from_secs(10),
    body: 1 << 10,
};

/// Room for one large answer of those that are asked for here, and a small one more.
const MEMORY: MemoryLimits = MemoryLimits {
    small: 100,
    large: 1 << 10,
    patience: Duration::from_millis(200),
};

/// Names for this machine.
#[derive(Default)]
struct Names(HashMap<&'static str, Vec<IpAddr>>);

impl Dns for Names {
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, DnsError>> {
        let found = self.0.get(host).cloned();
        async move { found.ok_or_else(|| DnsError::NotFound(host.to_owned())) }.boxed()
    }

    fn service<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Service, DnsError>> {
        async { Err(DnsError::NotFound(name.to_owned())) }.boxed()
    }
}

fn fixture(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    folder.join("tests/fixtures").join(name)
}

/// A server that answers every request in the same way.
struct Peer {
    port: u16,
    /// The heads of the requests.
    heads: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicU32>,
    _tasks: JoinSet<()>,
}

impl Peer {
    async fn start(certificate: &str, answer: &str) -> Self {
        let chain = CertificateDer::pem_file_iter(fixture(&format!("{certificate}.crt")));
        let chain = chain.unwrap().collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(fixture(&format!("{certificate}.key"))).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let socket = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let (heads, connections) = <(Arc<Mutex<Vec<String>>>, Arc<AtomicU32>)>::default();
        let mut tasks = JoinSet::new();
        let (noted, counted, answer) = (heads.clone(), connections.clone(), answer.to_owned());
        tasks.spawn(async move {
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut head = Vec::new();
                while let Ok(byte) = stream.read_u8().await {
                    head.push(byte);
                    if head.ends_with(b"\r\n\r\n") {
                        let head = String::from_utf8(std::mem::take(&mut head)).unwrap();
                        noted.lock().push(head);
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                }
            }
        });
        Self {
            port,
            heads,
            connections,
            _tasks: tasks,
        }
    }
}

const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

fn outbound(denied: &[&str], trusted: &[&str]) -> HttpOutbound {
    let local: IpAddr = "127.0.0.1".parse().unwrap();
    let dns = Names(HashMap::from([
        ("server.test", vec![local]),
        // Nobody listens at the first address.
        ("half.test", vec!["127.0.0.2".parse().unwrap(), local]),
    ]));
    let trusted: Vec<_> = trusted.iter().map(|name| fixture(name)).collect();
    let guard = AddressGuard::new(denied.iter().map(|range| range.parse().unwrap()).collect());
    let options = HttpOptions {
        dns: Arc::new(dns),
        trusted: Trusted::load(&trusted).unwrap(),
        guard,
        memory: MEMORY,
    };
    HttpOutbound::new(options).unwrap()
}

fn route(authority: &str, name: &str, targets: &[Target]) -> Route {
    Route {
        authority: authority.to_owned(),
        name: Host::parse(name),
        targets: targets.to_vec(),
    }
}

async fn get(outbound: &HttpOutbound, route: &Route) -> Result<Response<Bytes>, OutboundError> {
    let url = format!("{}/path?query", route.base_url());
    let request = Request::get(url).body(Bytes::new()).unwrap();
    outbound.exchange(route, request, LIMITS).await
}

#[tokio::test]
async fn talks_to_where_the_route_leads_and_keeps_the_connection() {
    let peer = Peer::start("server", HELLO).await;
    let outbound = outbound(&[], &["ca.crt"]);
    let route = route(
        "server.test",
        "server.test",
        &[target("half.test", peer.port)],
    );
    for _ in 0..3 {
        let answer = get(&outbound, &route).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.body(), "hello");
    }
    assert_eq!(peer.connections.load(Ordering::Relaxed), 1);
    let heads = peer.heads.lock();
    assert!(
        heads[0].starts_with("GET /path?query HTTP/1.1\r\n"),
        "{}",
        heads[0]
    );
    assert!(heads[0].contains("host: server.test\r\n"), "{}", heads[0]);
    assert!(heads[0].contains("user-agent: Matryx/"), "{}", heads[0]);
}

#[tokio::test]
async fn an_address_is_a_name_that_a_certificate_can_have() {
    let peer = Peer::start("server", HELLO).await;
    let outbound = outbound(&[], &["ca.crt"]);
    let authority = format!("127.0.0.1:{}", peer.port);
    let route = Route::direct(&authority, Host::parse("127.0.0.1"), peer.port);
    assert!(get(&outbound, &route).await.is_ok());
    assert!(peer.heads.lock()[0].contains(&format!("host: {authority}\r\n")));
}

#[tokio::test]
async fn refuses_certificates_that_prove_nothing() {
    for (certificate, trusted) in [
        ("expired", &["ca.crt"][..]),
        ("elsewhere", &["ca.crt"]),
        ("server", &[]),
    ] {
        let peer = Peer::start(certificate, HELLO).await;
        let outbound = outbound(&[], trusted);
        let route = route(
            "server.test",
            "server.test",
            &[target("server.test", peer.port)],
        );
        let error = get(&outbound, &route).await.unwrap_err();
        assert!(
            matches!(error, OutboundError::Tls { .. }),
            "{certificate}: {error:?}"
        );
        assert!(peer.heads.lock().is_empty());
    }
}

#[tokio::test]
async fn never_connects_to_a_denied_address() {
    let peer = Peer::start("server", HELLO).await;
    let outbound = outbound(&["127.0.0.0/8"], &["ca.crt"]);
    for host in [
        "server.test",
        "127.0.0.1",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
    ] {
        let route = route("server.test", "server.test", &[target(host, peer.port)]);
        let error = get(&outbound, &route).await.unwrap_err();
        assert!(
            matches!(error, OutboundError::Denied(_)),
            "{host}: {error:?}"
        );
    }
    assert_eq!(peer.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn goes_on_to_the_next_target_and_tells_why_the_last_failed() {
    let peer = Peer::start("server", HELLO).await;
    let outbound = outbound(&[], &["ca.crt"]);
    let dead = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let closed = dead.local_addr().unwrap().port();
    drop(dead);
    let targets = [
        target("nowhere.test", 1),
        target("server.test", closed),
        target("server.test", peer.port),
    ];
    let all = route("server.test", "server.test", &targets);
    assert!(get(&outbound, &all).await.is_ok());
    let dead = route("server.test", "server.test", &targets[..2]);
    let error = get(&outbound, &dead).await.unwrap_err();
    assert!(matches!(error, OutboundError::Connect { .. }), "{error:?}");
    let unknown = route("server.test", "server.test", &targets[..1]);
    let error = get(&outbound, &unknown).await.unwrap_err();
    assert!(matches!(error, OutboundError::Dns(_)), "{error:?}");
}

#[tokio::test]
async fn bounds_answers_and_follows_no_redirects() {
    let outbound = outbound(&[], &["ca.crt"]);
    let ask = async |answer: &str, time: Duration| {
        let peer = Peer::start("server", answer).await;
        let route = route(
            "server.test",
            "server.test",
            &[target("server.test", peer.port)],
        );
        let request = Request::get("https://server.test/")
            .body(Bytes::new())
            .unwrap();
        let limits = Limits { time, ..LIMITS };
        outbound.exchange(&route, request, limits).await
    };
    let patience = LIMITS.time;
    let moved = "HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(ask(moved, patience).await.unwrap().status(), 302);
    let long = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 1025\r\n\r\n{}",
        "x".repeat(1025)
    );
    let error = ask(&long, patience).await.unwrap_err();
    assert!(matches!(error, OutboundError::TooLarge(1024)), "{error:?}");
    let endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n";
    let error = ask(endless, Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error, OutboundError::TimedOut(_)), "{error:?}");
    let error = ask("nonsense\r\n\r\n", patience).await.unwrap_err();
    assert!(matches!(error, OutboundError::Broken(_)), "{error:?}");
}

#[tokio::test]
async fn large_answers_share_a_bounded_memory() {
    let answer = |length: usize| {
        let body = "x".repeat(length);
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")
    };
    let endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let endless = format!("{endless}c8\r\n{}\r\n", "x".repeat(200));
    let small = Peer::start("server", &answer(100)).await;
    let large = Peer::start("server", &answer(600)).await;
    let endless = Peer::start("server", &endless).await;
    let outbound = outbound(&[], &["ca.crt"]);
    let to = |peer: &Peer| {
        let target = target("server.test", peer.port);
        route("server.test", "server.test", &[target])
    };
    let claim = |answer: &Response<Bytes>| answer.extensions().get::<Claim>().cloned();
    let crowded = |error| assert!(matches!(error, OutboundError::Crowded), "{error:?}");

    let first = get(&outbound, &to(&large)).await.unwrap();
    let held = claim(&first).unwrap();
    assert_eq!(held.bytes(), 600);
    // What is left is too little for another one, but small ones need nothing.
    crowded(get(&outbound, &to(&large)).await.unwrap_err());
    let other = get(&outbound, &to(&small)).await.unwrap();
    assert!(claim(&other).is_none());
    // Who waits gets it as soon as it is free.
    drop(first);
    let free = async {
        tokio::task::yield_now().await;
        drop(held);
    };
    let to_large = to(&large);
    let (second, ()) = tokio::join!(get(&outbound, &to_large), free);
    drop(second.unwrap());

    // Nobody knows how long this will be: it has all for itself, as long as it lasts.
    let to_endless = to(&endless);
    let blocked = async {
        loop {
            if let Err(error) = get(&outbound, &to_large).await {
                return error;
            }
        }
    };
    tokio::select! {
        error = blocked => crowded(error),
        ended = get(&outbound, &to_endless) => panic!("{ended:?}"),
    }
}

#[test]
fn files_without_authorities_are_an_error() {
    for name in ["none.crt", "server.key"] {
        assert!(Trusted::load(&[fixture(name)]).is_err(), "{name}");
    }
}
