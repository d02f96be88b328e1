//! `matryx federation`, as an operator runs it beside the server.

use std::path::Path;

use axum::http::StatusCode;
use ruma::ServerName;
use serde_json::json;
use tokio::process::Command;

use super::{
    pair::{Peer, fixture},
    partner::{Partner, Verdict},
    sender::shared_room,
};

/// Runs the command as the operator of `peer`; whether it succeeded, and what it printed.
async fn run(peer: &Peer, arguments: &[&str]) -> (bool, String) {
    run_in(peer.server.app.data_dir.path(), &peer.name, arguments).await
}

/// The same for any server.
pub(super) async fn run_in(
    data_dir: &Path,
    name: &ServerName,
    arguments: &[&str],
) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_matryx"))
        .arg("federation")
        .args(arguments)
        .args(["--server-name", name.as_str()])
        .arg("--data-dir")
        .arg(data_dir)
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

#[tokio::test]
async fn destinations_are_listed_and_tried_again() {
    let home = Peer::start_with(|builder| builder.set("federation.retry.first", "1h")).await;
    let (good, text) = run(&home, &["destinations"]).await;
    assert!(good && text.contains("nothing waits"), "{text}");

    let alice = home.server.register("alice").await;
    let partner = Partner::start().await;
    let room = shared_room(&home, &alice, &[&partner]).await;
    partner.answer(Verdict::Error(StatusCode::BAD_GATEWAY, json!("no")));
    alice.say(&room, "hello").await;
    partner.until("an attempt", |it| it.attempts() == 1).await;
    let listed = loop {
        let (good, text) = run(&home, &["destinations"]).await;
        assert!(good, "{text}");
        if text.contains("failed attempts: 1") {
            break text;
        }
    };
    assert!(listed.contains(partner.name.as_str()), "{listed}");
    assert!(listed.contains("502"), "{listed}");

    let (good, text) = run(&home, &["retry", "nobody.test"]).await;
    assert!(good && text.contains("now: 0"), "{text}");
    partner.answer(Verdict::Fine);
    let (good, text) = run(&home, &["retry", partner.name.as_str()]).await;
    assert!(good && text.contains("now: 1"), "{text}");
    partner.until_text("hello").await;
}
