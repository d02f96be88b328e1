//! `matryx federation`, as an operator runs it beside the server.

use tokio::process::Command;

use super::pair::{Peer, fixture};

/// Runs the command as the operator of `peer`; whether it succeeded, and what it printed.
async fn run(peer: &Peer, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_matryx"))
        .arg("federation")
        .args(arguments)
        .args(["--server-name", peer.name.as_str()])
        .arg("--data-dir")
        .arg(peer.server.app.data_dir.path())
        .args(["--extra-ca", &fixture("ca.crt")])
        .args(["--set", "federation.deny_ip_ranges=[]"])
        .output()
        .await
        .unwrap();
    (
        output.status.success(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

#[tokio::test]
async fn ping_tells_whether_a_server_is_there_and_believes_us() {
    let (one, two) = tokio::join!(Peer::start(), Peer::start());
    let (good, text) = run(&one, &["ping", two.name.as_str()]).await;
    assert!(good, "{text}");
    let id = format!("ed25519:{}", two.key.pair.version());
    for found in [
        "ok   version: Matryx",
        &format!("ok   keys: {id}"),
        "ok   signature: believed",
    ] {
        assert!(text.contains(found), "{found}: {text}");
    }
    let (good, text) = run(&one, &["ping", "127.0.0.1:1"]).await;
    assert!(!good && text.contains("BAD  version:"), "{text}");

    // A server that can't fetch the keys of who we claim to be does not believe us.
    let nobody = Peer {
        name: "127.0.0.1:1".try_into().unwrap(),
        ..one
    };
    let (good, text) = run(&nobody, &["ping", two.name.as_str()]).await;
    assert!(!good && text.contains("ok   keys"), "{text}");
    assert!(text.contains("BAD  signature"), "{text}");
}

#[tokio::test]
async fn trace_shows_the_way() {
    let (one, two) = tokio::join!(Peer::start(), Peer::start());
    let (good, text) = run(&one, &["trace", two.name.as_str()]).await;
    assert!(good, "{text}");
    for line in [
        "the name is an address",
        &format!("Host: {}", two.name),
        "certificate for: 127.0.0.1",
        "ok   version: Matryx",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}
