//! Real sockets: bounds on connections, TLS, forwarded addresses, and the end of a server.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use matryx_server::serve::Server;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{ServerBuilder, TestServer, TestUser};

/// Longer than anything here takes; a bound for tests that fail.
const PATIENCE: Duration = Duration::from_secs(30);

const FIRST: (&str, &str) = (
    include_str!("../fixtures/first.crt"),
    include_str!("../fixtures/first.key"),
);

const SECOND: (&str, &str) = (
    include_str!("../fixtures/second.crt"),
    include_str!("../fixtures/second.key"),
);

/// A server with one listener, and the listener's address.
async fn listening(builder: ServerBuilder) -> (TestServer, Server, SocketAddr) {
    let server = builder.set("listen", "client=127.0.0.1:0").start().await;
    let open = Server::open(server.app.clone()).await.unwrap();
    let address = open.addresses()[0];
    (server, open, address)
}

/// Sends bytes and reads until the server closes.
async fn talk(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset counts as an end.
    let _closed = timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn serves_requests_over_a_socket() {
    let (_server, _open, address) = listening(TestServer::configure()).await;
    let client = Client::builder().build().unwrap();
    for _ in 0..2 {
        let url = format!("http://{address}/_matrix/client/versions");
        let body: Value = client.get(url).send().await.unwrap().json().await.unwrap();
        assert!(body["versions"].is_array());
    }
}

#[tokio::test]
async fn closes_connections_that_dawdle_over_their_headers() {
    let builder = TestServer::configure().set("http.header_timeout", "200ms");
    let (_server, _open, address) = listening(builder).await;
    talk(address, b"").await;
    talk(
        address,
        b"GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\n",
    )
    .await;
    talk(address, b"PRI * HTTP/2.0\r\n").await;
}

#[tokio::test]
async fn refuses_endless_headers_and_garbage() {
    let (_server, _open, address) = listening(TestServer::configure()).await;
    let long = format!(
        "GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n",
        "x".repeat(128 << 10)
    );
    let answer = talk(address, long.as_bytes()).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    let answer = talk(address, b"\x16\x03\x01\x00\xff\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let request = b"GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert!(talk(address, request).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn further_connections_wait_until_one_is_closed() {
    let builder = TestServer::configure().set("http.max_connections", "1");
    let (_server, _open, address) = listening(builder).await;
    let idle = TcpStream::connect(address).await.unwrap();
    let mut waiting = TcpStream::connect(address).await.unwrap();
    let request = b"GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    waiting.write_all(request).await.unwrap();
    let mut first = [0; 1];
    let early = timeout(Duration::from_millis(200), waiting.read_exact(&mut first)).await;
    assert!(early.is_err());
    drop(idle);
    timeout(PATIENCE, waiting.read_exact(&mut first))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&first, b"H");
}

#[tokio::test]
async fn answers_long_polls_when_told_to_stop() {
    let (server, open, address) = listening(TestServer::configure()).await;
    let alice = server.register("alice").await;
    let since = alice.sync(None).await["next_batch"]
        .as_str()
        .unwrap()
        .to_owned();
    let url = format!("http://{address}/_matrix/client/v3/sync?timeout=60000&since={since}");
    let request = Client::builder()
        .build()
        .unwrap()
        .get(url)
        .bearer_auth(&alice.token);
    let stop = async {
        // Until the poll waits.
        while server.app.sync.status().waiters == 0 {
            tokio::task::yield_now().await;
        }
        timeout(PATIENCE, open.close()).await.unwrap();
    };
    let (answer, ()) = tokio::join!(request.send(), stop);
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await.unwrap();
    assert!(body["next_batch"].is_string());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn believes_a_forwarded_address_from_trusted_proxies_only() {
    let register = async |address: SocketAddr, forwarded: &str, name: &str| {
        let body = json!({ "username": name, "password": TestUser::PASSWORD, "auth": { "type": "m.login.dummy" } });
        let url = format!("http://{address}/_matrix/client/v3/register");
        let request = Client::builder().build().unwrap().post(url).json(&body);
        let request = request.header("x-forwarded-for", forwarded);
        request.send().await.unwrap().status().as_u16()
    };
    let limited = || {
        TestServer::configure()
            .set("rate_limit.enabled", "true")
            .set("rate_limit.registration", "2 per 1h")
    };
    let (_server, _open, address) = listening(limited()).await;
    assert_eq!(register(address, "192.0.2.1", "a").await, 200);
    assert_eq!(register(address, "192.0.2.2", "b").await, 200);
    assert_eq!(register(address, "192.0.2.3", "c").await, 429);
    assert_eq!(register(address, "garbage, ,", "c").await, 429);

    let trusting = limited().set("http.trusted_proxies", "127.0.0.0/8");
    let (_server, _open, address) = listening(trusting).await;
    for (number, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let forwarded = format!("6.6.6.6, 192.0.2.{number}");
        assert_eq!(register(address, &forwarded, name).await, 200);
    }
    for (name, status) in [("e", 200), ("f", 429)] {
        assert_eq!(register(address, "192.0.2.0", name).await, status);
    }
}

fn write(folder: &Path, (certificate, key): (&str, &str)) {
    fs::write(folder.join("tls.crt"), certificate).unwrap();
    fs::write(folder.join("tls.key"), key).unwrap();
}

#[tokio::test]
async fn serves_tls_and_http2_and_follows_its_certificate() {
    let builder = TestServer::configure();
    let folder = builder.folder().to_owned();
    write(&folder, FIRST);
    let listen = format!(
        "client=127.0.0.1:0,tls={0}/tls.crt:{0}/tls.key",
        folder.display()
    );
    let server = builder.set("listen", listen).start().await;
    let open = Server::open(server.app.clone()).await.unwrap();
    let url = format!("https://{}/_matrix/client/versions", open.addresses()[0]);
    let get = async |root: &str| {
        let root = reqwest::Certificate::from_pem(root.as_bytes()).unwrap();
        let client = Client::builder().tls_certs_only([root]).build().unwrap();
        client.get(&url).send().await
    };
    let answer = get(FIRST.0).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert!(get(SECOND.0).await.is_err());

    // A pair that does not fit leaves the old one in place.
    write(&folder, (SECOND.0, FIRST.1));
    open.refresh_certificates();
    assert!(get(FIRST.0).await.is_ok());
    write(&folder, SECOND);
    open.refresh_certificates();
    assert!(get(SECOND.0).await.is_ok());
    assert!(get(FIRST.0).await.is_err());
}
