//! Servers with names, certificates and open sockets.

use std::path::PathBuf;

use http::Method;
use matryx_server::{serve::Server, signing_key::SigningKey};
use ruma::{
    OwnedServerName, ServerName,
    api::federation::authentication::{XMatrix, XMatrixSigningInput},
};

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

impl Peer {
    /// A server that trusts the tests' authority and may reach this machine.
    pub(super) async fn start() -> Self {
        Self::start_with(|builder| builder).await
    }

    /// The same, changed before it starts.
    pub(super) async fn start_with(change: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        // The name has the port, and must be known before the server starts.
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = free.local_addr().unwrap();
        let (certificate, key) = (fixture("server.crt"), fixture("server.key"));
        let builder = TestServer::configure()
            .set("server_name", address.to_string())
            .set(
                "listen",
                format!("client+federation={address},tls={certificate}:{key}"),
            )
            .set("tls.extra_ca_files", fixture("ca.crt"))
            .set("federation.deny_ip_ranges", "[]");
        let server = Box::pin(change(builder).start()).await;
        drop(free);
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
