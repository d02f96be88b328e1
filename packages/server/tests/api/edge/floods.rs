//! Connections that are opened to wear the server down.

use std::{future::pending, net::SocketAddr, sync::Arc, time::Duration};

use matryx_server::serve::Server;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, split},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::TestServer;

/// Longer than anything here takes; a bound for tests that fail.
const PATIENCE: Duration = Duration::from_mins(1);

const CERTIFICATE: &str = include_str!("../fixtures/first.crt");
const KEY: &str = include_str!("../fixtures/first.key");

/// Types of HTTP/2 frames, and flags. [RFC 9113](https://www.rfc-editor.org/rfc/rfc9113#section-6)
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const VERSIONS: &[u8] =
    b"GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// Streams that are opened and reset, and frames of headers that do not end.
const RESETS: u32 = 20_000;
const CONTINUATIONS: usize = 1000;

/// Connections that send nothing, and how many the server keeps.
const IDLE: usize = 500;
const KEPT: usize = 100;

async fn with_tls() -> (TestServer, Server, SocketAddr) {
    let builder = TestServer::configure();
    let folder = builder.folder().to_owned();
    std::fs::write(folder.join("tls.crt"), CERTIFICATE).unwrap();
    std::fs::write(folder.join("tls.key"), KEY).unwrap();
    let listen = format!(
        "client=127.0.0.1:0,tls={0}/tls.crt:{0}/tls.key",
        folder.display()
    );
    let server = builder.set("listen", listen).start().await;
    let open = Server::open(server.app.clone()).await.unwrap();
    let address = open.addresses()[0];
    (server, open, address)
}

async fn connect(address: SocketAddr, protocol: &[u8]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
    roots.add(certificate).unwrap();
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_owned()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.unwrap()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// What opens a connection of HTTP/2.
fn preface() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes
}

/// The headers of a request, compressed as little as possible.
fn request() -> Vec<u8> {
    let path = b"/_matrix/client/versions";
    // GET, https, an authority and a path.
    let mut block = vec![0x82, 0x87, 0x01, 1, b'x', 0x04];
    block.push(u8::try_from(path.len()).unwrap());
    block.extend(path);
    block
}

/// Sends all of this, for as long as the server takes it, and reads until the server closes the
/// connection; the frames that it sent.
async fn flood(address: SocketAddr, frames: impl Iterator<Item = Vec<u8>>) -> Vec<(u8, Vec<u8>)> {
    let (mut read, mut write) = split(connect(address, b"h2").await);
    let writes = async {
        for frame in frames {
            if write.write_all(&frame).await.is_err() {
                break;
            }
        }
        let _flushed = write.flush().await;
        // From this side, the connection stays open.
        pending::<()>().await;
    };
    let mut bytes = Vec::new();
    let reads = async {
        // A reset counts as an end.
        while read.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {}
    };
    let talk = async {
        tokio::select! {
            () = writes => {}
            () = reads => {}
        }
    };
    timeout(PATIENCE, talk).await.expect("the connection lives");
    let mut frames = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((head, after)) = rest.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let Some((payload, after)) = after.split_at_checked(usize::try_from(length).unwrap())
        else {
            break;
        };
        frames.push((head[3], payload.to_vec()));
        rest = after;
    }
    frames
}

/// A whole request on a connection of its own.
async fn is_served(address: SocketAddr) {
    let mut stream = connect(address, b"http/1.1").await;
    stream.write_all(VERSIONS).await.unwrap();
    let mut first = [0; 12];
    let answer = timeout(PATIENCE, stream.read_exact(&mut first)).await;
    answer.unwrap().unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
}

#[tokio::test]
async fn streams_that_are_reset_as_they_open_end_their_connection() {
    let (_server, _open, address) = with_tls().await;
    let block = request();
    let floods = (0..RESETS / 100).map(move |round| {
        let ids = (round * 100..).take(100).map(|number| 2 * number + 1);
        ids.flat_map(|id| {
            let mut pair = frame(HEADERS, END_STREAM | END_HEADERS, id, &block);
            pair.extend(frame(RST_STREAM, 0, id, &8_u32.to_be_bytes()));
            pair
        })
        .collect()
    });
    let frames = flood(address, std::iter::once(preface()).chain(floods)).await;
    let answered = frames.iter().filter(|(kind, _)| *kind == HEADERS).count();
    assert!(answered < 1000, "{answered} of {RESETS} were answered");
    for (_, payload) in frames.iter().filter(|(kind, _)| *kind == GOAWAY) {
        // ENHANCE_YOUR_CALM
        assert_eq!(payload[4..8], [0, 0, 0, 11]);
    }
    is_served(address).await;
}

#[tokio::test]
async fn headers_that_never_end_end_their_connection() {
    let (_server, _open, address) = with_tls().await;
    let start = [preface(), frame(HEADERS, END_STREAM, 1, &request())].concat();
    // A field without an entry in the table, again and again.
    let field = b"\x00\x01a\x01b".repeat(3000);
    let more = std::iter::repeat_n(frame(CONTINUATION, 0, 1, &field), CONTINUATIONS);
    let frames = flood(address, std::iter::once(start).chain(more)).await;
    assert!(frames.iter().all(|(kind, _)| *kind != HEADERS));
    is_served(address).await;
}

#[tokio::test]
async fn idle_connections_make_room_for_others() {
    let server = TestServer::configure()
        .set("listen", "client=127.0.0.1:0")
        .set("http.header_timeout", "200ms")
        .set("http.max_connections", KEPT.to_string())
        .start()
        .await;
    let open = Server::open(server.app.clone()).await.unwrap();
    let address = open.addresses()[0];
    let mut idle = Vec::new();
    for number in 0..IDLE {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Some say nothing, some begin, some have been served and stay.
        let said: &[u8] = match number % 3 {
            0 => b"",
            1 => b"GET /_matrix/client/versions HTTP/1.1\r\nHost:",
            _ => b"GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\n\r\n",
        };
        stream.write_all(said).await.unwrap();
        idle.push(stream);
    }
    // Whoever comes last waits for them at most.
    let mut last = TcpStream::connect(address).await.unwrap();
    last.write_all(VERSIONS).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, last.read_to_end(&mut answer)).await;
    read.unwrap().unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    for mut stream in idle {
        let mut rest = Vec::new();
        // A reset counts as an end.
        let _closed = timeout(PATIENCE, stream.read_to_end(&mut rest))
            .await
            .expect("an idle connection lives");
    }
}
