//! `/_matrix/client/v3/pushrules/…`

use serde_json::{Value, json};

use crate::support::{Answer, TestServer, TestUser, encode};

const RULES: &str = "/_matrix/client/v3/pushrules";

fn path(kind: &str, rule: &str) -> String {
    format!("{RULES}/global/{kind}/{}", encode(rule))
}

async fn put(user: &TestUser, path: &str, body: Value) -> Answer {
    user.put(path).json(&body).send().await
}

fn content(pattern: &str) -> Value {
    json!({ "pattern": pattern, "actions": ["notify"] })
}

async fn ids(user: &TestUser, kind: &str) -> Vec<String> {
    let rules = user.get(&format!("{RULES}/global/")).send().await.ok();
    let rules = rules[kind].as_array();
    rules
        .into_iter()
        .flatten()
        .map(|rule| rule["rule_id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn starts_with_the_rules_of_the_specification() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    for path in [RULES.to_owned(), format!("{RULES}/")] {
        let all = alice.get(&path).send().await.ok();
        let first = &all["global"]["override"][0];
        assert_eq!(first["rule_id"], ".m.rule.master");
        assert_eq!(first["enabled"], false);
        assert_eq!(first["default"], true);
    }
    let rule = alice
        .get(&path("underride", ".m.rule.message"))
        .send()
        .await;
    assert_eq!(rule.ok()["actions"], json!(["notify"]));
}

#[tokio::test]
async fn adds_orders_and_removes_rules() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let since = alice.sync(None).await["next_batch"]
        .as_str()
        .unwrap()
        .to_owned();
    for rule in ["a", "b"] {
        put(&alice, &path("content", rule), content(rule))
            .await
            .ok();
    }
    let after = format!("{}?after=b", path("content", "c"));
    put(&alice, &after, content("c")).await.ok();
    let before = format!("{}?before=b", path("content", "d"));
    put(&alice, &before, content("d")).await.ok();
    assert_eq!(ids(&alice, "content").await[..4], ["d", "b", "c", "a"]);
    let sync = alice.sync(Some(&since)).await;
    let event = &sync["account_data"]["events"][0];
    assert_eq!(event["type"], "m.push_rules");
    assert_eq!(event["content"]["global"]["content"][0]["rule_id"], "d");
    alice.delete(&path("content", "b")).send().await.ok();
    let answer = alice.get(&path("content", "b")).send().await;
    answer.error(404, "M_NOT_FOUND");
    let answer = alice.delete(&path("content", "b")).send().await;
    answer.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn switches_rules_and_changes_their_actions() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let rule = path("override", ".m.rule.master");
    let (enabled, actions) = (format!("{rule}/enabled"), format!("{rule}/actions"));
    put(&alice, &enabled, json!({ "enabled": true })).await.ok();
    let answer = alice.get(&enabled).send().await.ok();
    assert_eq!(answer, json!({ "enabled": true }));
    let loud = json!({ "actions": ["notify", { "set_tweak": "sound", "value": "default" }] });
    put(&alice, &actions, loud.clone()).await.ok();
    assert_eq!(alice.get(&actions).send().await.ok(), loud);
    let unknown = path("override", "org.example.none");
    let answer = put(
        &alice,
        &format!("{unknown}/enabled"),
        json!({ "enabled": true }),
    )
    .await;
    answer.error(404, "M_NOT_FOUND");
    let answer = alice.get(&format!("{unknown}/actions")).send().await;
    answer.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn refuses_rules_that_are_not_acceptable() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let refused = [
        (path("content", ".mine"), content("x"), 400),
        (path("tattoo", "a"), content("x"), 400),
        (path("content", "a"), json!({ "actions": [] }), 400),
        (
            path("content", "a"),
            json!({ "pattern": 1, "actions": [] }),
            400,
        ),
        (path("room", "no room id"), json!({ "actions": [] }), 400),
        (path("content", &"x".repeat(256)), content("x"), 400),
        (
            format!("{}?before=none", path("content", "a")),
            content("x"),
            404,
        ),
    ];
    for (path, body, status) in refused {
        let answer = put(&alice, &path, body).await;
        assert_eq!(answer.status, status, "{path}: {:?}", answer.bytes);
        assert!(answer.json()["errcode"].is_string());
    }
    let answer = alice
        .delete(&path("override", ".m.rule.master"))
        .send()
        .await;
    assert_eq!(answer.status, 400);
    let answer = server.get(RULES).send().await;
    answer.error(401, "M_MISSING_TOKEN");
    let bob = server.register("bob").await;
    put(&alice, &path("content", "mine"), content("x"))
        .await
        .ok();
    assert!(!ids(&bob, "content").await.contains(&"mine".to_owned()));
}
