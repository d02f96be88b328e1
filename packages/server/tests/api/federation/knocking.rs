//! Users of another server knock, and enter and leave in the old way.

use serde_json::{Value, json};

use super::resident::{Scene, public};
use crate::support::{Answer, encode};

fn with_join_rule(version: &str, rule: &str) -> Value {
    json!({
        "preset": "private_chat",
        "room_version": version,
        "name": "the room",
        "initial_state": [{
            "type": "m.room.join_rules",
            "content": { "join_rule": rule },
        }],
    })
}

impl Scene {
    async fn make_knock(&self, user: &str, versions: &str) -> Answer {
        let (room, user) = (encode(&self.room), encode(user));
        let path = format!("/_matrix/federation/v1/make_knock/{room}/{user}?ver={versions}");
        self.get(&path).await
    }

    async fn send_v1(&self, what: &str, id: &str, event: &Value) -> Answer {
        let (room, id) = (encode(&self.room), encode(id));
        let path = format!("/_matrix/federation/v1/{what}/{room}/{id}");
        self.put(&path, event).await
    }

    async fn member(&self, user: &str) -> Value {
        let (room, user) = (encode(&self.room), encode(user));
        let path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.member/{user}");
        self.alice.get(&path).send().await.ok()
    }
}

#[tokio::test]
async fn a_user_of_another_server_knocks_and_is_let_in() {
    for (version, rule) in [
        ("7", "knock"),
        ("10", "knock_restricted"),
        ("11", "knock"),
        ("12", "knock"),
    ] {
        let scene = Scene::new(with_join_rule(version, rule)).await;
        let template = scene.make_knock(&scene.eve, version).await.ok();
        assert_eq!(template["room_version"], version);
        assert_eq!(template["event"]["content"]["membership"], "knock");
        let (id, knock) = scene.sign(&template["event"]);
        let told = scene.send_v1("send_knock", &id, &knock).await.ok();
        let state = told["knock_room_state"].as_array().unwrap();
        let of_kind = |kind: &str| state.iter().find(|event| event["type"] == kind).unwrap();
        assert_eq!(of_kind("m.room.name")["content"]["name"], "the room");
        // Whole events, which the other server can check.
        assert!(of_kind("m.room.create")["signatures"].is_object());
        assert_eq!(of_kind("m.room.join_rules")["content"]["join_rule"], rule);
        assert!(state.iter().all(|event| event["type"] != "m.room.member"));
        assert_eq!(scene.member(&scene.eve).await["membership"], "knock");
        // Once more is no harm; and who knocked may think better of it.
        scene.send_v1("send_knock", &id, &knock).await.ok();
        let template = scene.make("make_leave", &scene.eve).await.ok();
        let (id, leave) = scene.sign(&template["event"]);
        let answer = scene.send_v1("send_leave", &id, &leave).await.ok();
        assert_eq!(answer, json!([200, {}]));
        assert_eq!(scene.member(&scene.eve).await["membership"], "leave");
    }
}

#[tokio::test]
async fn who_may_not_knock_does_not() {
    let scene = Scene::new(with_join_rule("11", "knock")).await;
    let answer = scene.make_knock(&scene.eve, "7").await;
    let error = answer.error(400, "M_INCOMPATIBLE_ROOM_VERSION");
    assert_eq!(error["room_version"], "11");
    let other = format!("@mallory:{}", scene.here.name);
    let refused = scene.make_knock(&other, "11").await;
    refused.error(403, "M_FORBIDDEN");
    let template = scene.make_knock(&scene.eve, "11").await.ok();
    let (id, knock) = scene.sign(&template["event"]);
    let answer = scene.send_v1("send_knock", "$another", &knock).await;
    answer.error(400, "M_INVALID_PARAM");
    let answer = scene.send("send_join", &id, &knock).await;
    answer.error(400, "M_INVALID_PARAM");
    let mut join = template["event"].clone();
    join["content"]["membership"] = json!("join");
    let (join_id, join) = scene.sign(&join);
    let answer = scene.send_v1("send_knock", &join_id, &join).await;
    answer.error(400, "M_INVALID_PARAM");
    let mut forged = knock.clone();
    forged["signatures"] = json!({});
    let answer = scene.send_v1("send_knock", &id, &forged).await;
    answer.error(400, "M_INVALID_PARAM");

    let ban = format!("/_matrix/client/v3/rooms/{}/ban", encode(&scene.room));
    let ban = scene
        .alice
        .post(&ban)
        .json(&json!({ "user_id": scene.eve }));
    ban.send().await.ok();
    let refused = scene.make_knock(&scene.eve, "11").await;
    refused.error(403, "M_FORBIDDEN");
    let refused = scene.send_v1("send_knock", &id, &knock).await;
    refused.error(403, "M_FORBIDDEN");

    for (version, rule) in [("6", "knock"), ("11", "invite"), ("11", "public")] {
        let scene = Scene::new(with_join_rule(version, rule)).await;
        let refused = scene.make_knock(&scene.eve, version).await;
        refused.error(403, "M_FORBIDDEN");
    }
}

#[tokio::test]
async fn the_old_way_to_join_and_leave() {
    let scene = Scene::new(public("6")).await;
    let template = scene.make("make_join", &scene.eve).await.ok();
    let (id, event) = scene.sign(&template["event"]);
    let answer = scene.send_v1("send_join", "$another", &event).await;
    answer.error(400, "M_INVALID_PARAM");
    let answer = scene.send_v1("send_join", &id, &event).await.ok();
    assert_eq!(answer[0], 200);
    let kinds = |list: &str| -> Vec<String> {
        let events = answer[1][list].as_array().unwrap().iter();
        events
            .map(|event| event["type"].as_str().unwrap().to_owned())
            .collect()
    };
    for kind in ["m.room.create", "m.room.member", "m.room.power_levels"] {
        assert!(kinds("state").iter().any(|known| known == kind), "{answer}");
        assert!(kinds("auth_chain").iter().any(|known| known == kind));
    }
    assert_eq!(scene.member(&scene.eve).await["membership"], "join");
    let template = scene.make("make_leave", &scene.eve).await.ok();
    let (id, leave) = scene.sign(&template["event"]);
    let answer = scene.send_v1("send_leave", &id, &leave).await.ok();
    assert_eq!(answer, json!([200, {}]));
    assert_eq!(scene.member(&scene.eve).await["membership"], "leave");
    let unsigned = scene.here.server.put(&format!(
        "/_matrix/federation/v1/send_join/{}/$x",
        encode(&scene.room)
    ));
    let unsigned = unsigned.json(&json!({})).send().await;
    unsigned.error(401, "M_UNAUTHORIZED");
}
