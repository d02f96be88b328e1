//! Servers with names, certificates and open sockets.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::atomic::{AtomicU16, Ordering},
};

use http::Method;
use matryx_server::{serve::Server, signing_key::SigningKey};
use ruma::{
    OwnedServerName, ServerName,
    api::federation::authentication::{XMatrix, XMatrixSigningInput},
};

use super::link::Link;
use crate::support::{Outgoing, ServerBuilder, TestServer};

/// A server that others reach under its name.
pub(super) struct Peer {
    pub(super) server: TestServer,
    pub(super) name: OwnedServerName,
    /// Its signing key, to sign what it never would.
    pub(super) key: SigningKey,
    /// Serves until this is dropped.
    pub(super) open: Server,
}

/// A file of the outbound client's tests.
pub(super) fn fixture(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let path = folder.join("../client/tests/fixtures").join(name);
    path.to_str().unwrap().to_owned()
}

/// An address that nothing listens on. Its port is none of those that the system gives out, so that
/// no other socket gets it meanwhile.
pub(super) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + u16::try_from(std::process::id() % 20).unwrap() * 1_000;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 1_000;
        if let Ok(free) = TcpListener::bind(("127.0.0.1", port)) {
            return free.local_addr().unwrap();
        }
    }
}

impl Peer {
    /// A server that trusts the tests' authority and may reach this machine.
    pub(super) async fn start() -> Self {
        Self::start_with(|builder| builder).await
    }

    /// The same, changed before it starts.
    pub(super) async fn start_with(change: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        Self::start_at("127.0.0.1", change).await
    }

    /// The same, under another name for this machine.
    pub(super) async fn start_at(
        host: &str,
        change: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let address = free_address();
        Self::start_named(&format!("{host}:{}", address.port()), address, change).await
    }

    /// A server that others reach through a link.
    pub(super) async fn start_linked() -> (Self, Link) {
        let (address, target) = (free_address(), free_address());
        let peer = Self::start_named(&address.to_string(), target, |builder| builder).await;
        (peer, Link::up(address, target).await)
    }

    /// The name has the port, and must be known before the server starts.
    async fn start_named(
        name: &str,
        address: SocketAddr,
        change: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let (certificate, key) = (fixture("server.crt"), fixture("server.key"));
        let builder = TestServer::configure()
            .set("server_name", name)
            .set(
                "listen",
                format!("client+federation={address},tls={certificate}:{key}"),
            )
            .set("tls.extra_ca_files", fixture("ca.crt"))
            .set("federation.deny_ip_ranges", "[]");
        let server = Box::pin(change(builder).start()).await;
        let open = Server::open(server.app.clone()).await.unwrap();
        let key = SigningKey::load(&server.app.data_dir.signing_key_file()).unwrap();
        Self {
            name: server.app.config.server_name.clone(),
            server,
            key,
            open,
        }
    }

    /// The header with which this server signs a request to another.
    pub(super) fn sign(
        &self,
        method: &Method,
        uri: &str,
        body: &[u8],
        destination: &ServerName,
    ) -> XMatrix {
        let request = http::Request::builder().method(method).uri(uri);
        let request = request.body(body).unwrap();
        let (origin, destination) = (self.name.clone(), destination.to_owned());
        let input = XMatrixSigningInput::new(origin, destination, &self.key.pair);
        XMatrix::sign_http_request(&request, input).unwrap()
    }

    /// A GET request to this server, with a header.
    pub(super) fn get_as(&self, uri: &str, header: &impl ToString) -> Outgoing {
        self.server
            .get(uri)
            .header("authorization", &header.to_string())
    }
}
