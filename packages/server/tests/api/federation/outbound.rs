//! What leaves a server: to where, and to where not.

use std::{sync::Arc, time::Duration};

use matryx_client::{
    federation::{Federation, FederationError, FederationOptions},
    outbound::{
        AddressGuard, HttpOptions, HttpOutbound, MemoryLimits, OutboundError, SystemDns, Trusted,
    },
};
use matryx_server::clock::Stopwatch;
use ruma::{
    ServerName, UserId,
    api::federation::{
        discovery::get_server_version, query::get_profile_information::v1 as profile,
    },
    signatures::Ed25519KeyPair,
};

use super::pair::{Peer, fixture};

#[tokio::test]
async fn a_typed_request_comes_back_with_a_typed_answer() {
    let (one, two) = tokio::join!(Peer::start(), Peer::start());
    let alice = one.server.register("alice").await;
    let alice = UserId::parse(alice.id).unwrap();
    let federation = &two.server.app.federation;
    let request = profile::Request::new(alice.clone());
    let answer = federation.send(&one.name, request).await.unwrap();
    assert_eq!(answer.get("displayname").unwrap(), "alice");

    let nobody = UserId::parse(format!("@nobody:{}", one.name)).unwrap();
    let error = federation
        .send(&one.name, profile::Request::new(nobody))
        .await
        .unwrap_err();
    let FederationError::Remote { source, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(source.status_code, 404);
    assert_eq!(error.kind().unwrap().errcode().as_str(), "M_NOT_FOUND");
    assert!(!error.is_transient());

    let version = get_server_version::v1::Request::new();
    let version = federation.send(&one.name, version).await.unwrap();
    assert_eq!(version.server.unwrap().name.unwrap(), "Matryx");
    let ourselves = federation
        .send(&two.name, profile::Request::new(alice))
        .await;
    assert!(matches!(ourselves, Err(FederationError::Ourselves)));
}

#[tokio::test]
async fn nothing_leaves_for_a_denied_address_or_a_stranger() {
    let one = Peer::start().await;
    let denying =
        Peer::start_with(|builder| builder.set("federation.deny_ip_ranges", "127.0.0.0/8"));
    let trusting_nobody = Peer::start_with(|builder| builder.set("tls.extra_ca_files", "[]"));
    let (denying, trusting_nobody) = tokio::join!(denying, trusting_nobody);
    let send = async |peer: &Peer| {
        let request = get_server_version::v1::Request::new();
        let answer = peer.server.app.federation.send(&one.name, request).await;
        match answer.unwrap_err() {
            FederationError::Unreachable { source, .. } => source,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(send(&denying).await, OutboundError::Denied(_)));
    assert!(matches!(
        send(&trusting_nobody).await,
        OutboundError::Tls { .. }
    ));
}

#[tokio::test]
async fn a_server_that_is_nowhere_is_given_up_at_once() {
    let one = Peer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, "127.0.0.1 here.test localhost\n").unwrap();
    let dns = Arc::new(SystemDns::new(hosts, folder.path().join("none")));
    let outbound = HttpOutbound::new(HttpOptions {
        dns: dns.clone(),
        trusted: Trusted::load(&[fixture("ca.crt").into()]).unwrap(),
        guard: AddressGuard::default(),
        memory: MemoryLimits::default(),
    });
    let document = Ed25519KeyPair::generate();
    let federation = Federation::new(FederationOptions {
        server_name: ServerName::parse("asking.test").unwrap(),
        key: Arc::new(Ed25519KeyPair::from_der(&document, "k".to_owned()).unwrap()),
        outbound: Arc::new(outbound.unwrap()),
        dns,
        clock: Arc::clone(&one.server.app.clock),
    });
    let ask = async |name: &str| {
        let name = ServerName::parse(name).unwrap();
        let request = get_server_version::v1::Request::new();
        federation.send(&name, request).await
    };
    for nowhere in ["here.test", "here.test:1", "127.0.0.1:1", "unknown.test"] {
        let started = Stopwatch::start();
        let error = ask(nowhere).await.unwrap_err();
        let is_away = matches!(error, FederationError::Unreachable { .. });
        assert!(is_away, "{error:?}");
        let took = started.elapsed();
        assert!(took < Duration::from_secs(1), "{nowhere}: {took:?}");
    }
    // By the name of the hosts file.
    let port = one.name.port().unwrap();
    ask(&format!("localhost:{port}")).await.unwrap();
}
