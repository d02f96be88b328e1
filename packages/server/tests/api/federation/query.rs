//! `/_matrix/federation/v1/query` and `version`.

use http::Method;
use serde_json::json;

use super::pair::Peer;
use crate::support::encode;

#[tokio::test]
async fn answers_for_local_users_and_aliases_only() {
    let (one, two) = tokio::join!(Peer::start(), Peer::start());
    let alice = one.server.register("alice").await;
    let room = alice
        .create_room(json!({ "room_alias_name": "here" }))
        .await;
    let get = async |path: &str| {
        let header = two.sign(&Method::GET, path, b"", &one.name);
        one.get_as(path, &header).send().await
    };
    let profile = "/_matrix/federation/v1/query/profile?user_id=";
    let id = encode(&alice.id);
    assert_eq!(
        get(&format!("{profile}{id}")).await.ok(),
        json!({ "displayname": "alice" })
    );
    let one_field = get(&format!("{profile}{id}&field=displayname")).await.ok();
    assert_eq!(one_field, json!({ "displayname": "alice" }));
    let unset = get(&format!("{profile}{id}&field=avatar_url")).await.ok();
    assert_eq!(unset, json!({}));
    let stranger = encode("@alice:elsewhere.test");
    get(&format!("{profile}{stranger}"))
        .await
        .error(404, "M_NOT_FOUND");
    get(&format!("{profile}alice"))
        .await
        .error(400, "M_INVALID_PARAM");

    let directory = "/_matrix/federation/v1/query/directory?room_alias=";
    let alias = encode(format!("#here:{}", one.name));
    let found = get(&format!("{directory}{alias}")).await.ok();
    assert_eq!(found["room_id"], room);
    assert_eq!(found["servers"], json!([one.name]));
    let unknown = encode(format!("#gone:{}", one.name));
    get(&format!("{directory}{unknown}"))
        .await
        .error(404, "M_NOT_FOUND");
    let stranger = encode("#here:elsewhere.test");
    get(&format!("{directory}{stranger}"))
        .await
        .error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn knows_no_other_queries() {
    let (one, two) = tokio::join!(Peer::start(), Peer::start());
    let path = "/_matrix/federation/v1/query/org.example.weather?place=here";
    let header = two.sign(&Method::GET, path, b"", &one.name);
    let answer = one.get_as(path, &header).send().await;
    answer.error(404, "M_NOT_FOUND");
    let unsigned = one.server.get(path).send().await;
    unsigned.error(401, "M_UNAUTHORIZED");
}

#[tokio::test]
async fn the_first_version_of_invites_is_for_rooms_that_are_not_supported() {
    let (one, two) = tokio::join!(Peer::start(), Peer::start());
    let alice = one.server.register("alice").await;
    let path = "/_matrix/federation/v1/invite/!room:there/$event:there";
    let invite = json!({
        "type": "m.room.member",
        "sender": format!("@bob:{}", two.name),
        "state_key": alice.id,
        "origin": two.name,
        "origin_server_ts": 1,
        "content": { "membership": "invite" },
    });
    let body = invite.to_string();
    let header = two.sign(&Method::PUT, path, body.as_bytes(), &one.name);
    let request = one
        .server
        .put(path)
        .header("authorization", &header.to_string());
    let answer = request.json(&invite).send().await;
    let error = answer.error(400, "M_INCOMPATIBLE_ROOM_VERSION");
    assert_eq!(error["room_version"], "1");
}

#[tokio::test]
async fn tells_its_version_to_anybody() {
    let peer = Peer::start().await;
    let answer = peer
        .server
        .get("/_matrix/federation/v1/version")
        .send()
        .await
        .ok();
    assert_eq!(answer["server"]["name"], "Matryx");
    assert!(answer["server"]["version"].is_string());
}

#[tokio::test]
async fn unknown_paths_and_methods_are_unrecognized() {
    let peer = Peer::start().await;
    let unknown = peer.server.get("/_matrix/federation/v1/nothing");
    unknown.send().await.error(404, "M_UNRECOGNIZED");
    let wrong = peer.server.post("/_matrix/federation/v1/version");
    wrong.send().await.error(405, "M_UNRECOGNIZED");
    let wrong = peer.server.put("/_matrix/key/v2/server");
    wrong.send().await.error(405, "M_UNRECOGNIZED");
}
