//! `GET /_matrix/client/v3/account/whoami`

use crate::support::TestServer;

const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

#[tokio::test]
async fn tells_the_caller_who_they_are() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let body = alice.get(WHOAMI).send().await.ok();
    assert_eq!(body["user_id"], alice.id);
    assert_eq!(body["device_id"], alice.device_id);
    assert_ne!(body["is_guest"], true);
}

#[tokio::test]
async fn forgets_the_token_of_a_device_that_is_gone() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    alice.get(WHOAMI).send().await.ok();
    let user = ruma::UserId::parse(&alice.id).unwrap();
    let device = [alice.device_id.as_str().into()];
    server
        .app
        .users
        .delete_devices(&user, &device)
        .await
        .unwrap();
    let answer = alice.get(WHOAMI).send().await;
    answer.error(401, "M_UNKNOWN_TOKEN");
}
