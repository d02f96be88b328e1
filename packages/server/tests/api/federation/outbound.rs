//! What leaves a server: to where, and to where not.

use matryx_client::{federation::FederationError, outbound::OutboundError};
use ruma::{
    UserId,
    api::federation::{
        discovery::get_server_version, query::get_profile_information::v1 as profile,
    },
};

use super::pair::Peer;

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
