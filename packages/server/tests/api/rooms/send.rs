//! `PUT /rooms/{roomId}/send/{eventType}/{txnId}`, `/state/…`, `/redact/…`

use serde_json::{Value, json};

use crate::support::{Answer, TestServer, TestUser, encode};

fn path(room: &str, rest: &str) -> String {
    format!("/_matrix/client/v3/rooms/{}/{rest}", encode(room))
}

async fn put(user: &TestUser, room: &str, rest: &str, body: Value) -> Answer {
    user.put(&path(room, rest)).json(&body).send().await
}

async fn event(user: &TestUser, room: &str, event_id: &str) -> Value {
    user.get(&path(room, &format!("event/{}", encode(event_id))))
        .send()
        .await
        .ok()
}

fn id(answer: &Answer) -> String {
    answer.ok()["event_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_transaction_sends_one_event() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    let body = json!({ "msgtype": "m.text", "body": "once" });
    let first = id(&put(&alice, &room, "send/m.room.message/t1", body.clone()).await);
    let again = id(&put(&alice, &room, "send/m.room.message/t1", body.clone()).await);
    assert_eq!(first, again);
    let other_type = id(&put(&alice, &room, "send/org.example/t1", body.clone()).await);
    assert_ne!(first, other_type);
    let other_room = alice.create_room(json!({})).await;
    let elsewhere = id(&put(&alice, &other_room, "send/m.room.message/t1", body).await);
    assert_ne!(first, elsewhere);
}

#[tokio::test]
async fn concurrent_retries_of_a_transaction_get_the_same_event() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    let send = || async {
        let body = json!({ "msgtype": "m.text", "body": "once" });
        id(&put(&alice, &room, "send/m.room.message/same", body).await)
    };
    let (a, b, c, d) = tokio::join!(send(), send(), send(), send());
    assert!(a == b && b == c && c == d);
}

#[tokio::test]
async fn a_retry_gets_its_event_also_when_the_sender_has_left() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    let send = async || {
        put(
            &alice,
            &room,
            "send/m.room.message/t",
            json!({ "body": "" }),
        )
        .await
    };
    let first = id(&send().await);
    alice.post(&path(&room, "leave")).send().await.ok();
    assert_eq!(id(&send().await), first);
}

#[tokio::test]
async fn content_must_be_canonical_json_of_bounded_size() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    let url = path(&room, "send/org.example/a");
    for (bytes, status, errcode) in [
        ("{\"n\": 1.5}", 400, "M_BAD_JSON"),
        ("{\"n\": 9007199254740992}", 400, "M_BAD_JSON"),
        ("{\"n\": -9007199254740992}", 400, "M_BAD_JSON"),
        ("{\"n\": [{\"m\": 1e3}]}", 400, "M_BAD_JSON"),
        ("{\"n\": -0}", 400, "M_BAD_JSON"),
        ("{\"n\": 1e400}", 400, "M_NOT_JSON"),
        ("{\"n\": NaN}", 400, "M_NOT_JSON"),
        ("{\"n\": -Infinity}", 400, "M_NOT_JSON"),
        ("{\"n\":", 400, "M_NOT_JSON"),
        ("[]", 400, "M_BAD_JSON"),
        ("{\"s\": \"\\ud800\"}", 400, "M_NOT_JSON"),
    ] {
        alice
            .put(&url)
            .bytes(bytes.as_bytes().to_vec())
            .send()
            .await
            .error(status, errcode);
    }
    let huge = json!({ "body": "x".repeat(65_600) });
    alice
        .put(&url)
        .json(&huge)
        .send()
        .await
        .error(413, "M_TOO_LARGE");
    let exact = "\u{0} \u{2028} a\u{301} \u{e1} \u{202e}rtl";
    let sent = put(
        &alice,
        &room,
        "send/org.example/b",
        json!({ "body": exact }),
    )
    .await;
    assert_eq!(
        event(&alice, &room, &id(&sent)).await["content"]["body"],
        exact
    );
}

#[tokio::test]
async fn only_members_with_the_power_send() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    let body = json!({ "name": "mine" });
    put(&bob, &room, "send/m.room.message/1", json!({}))
        .await
        .error(403, "M_FORBIDDEN");
    put(&bob, &room, "state/m.room.name/", body.clone())
        .await
        .error(403, "M_FORBIDDEN");
    bob.join(&room).await;
    bob.say(&room, "hello").await;
    put(&bob, &room, "state/m.room.name/", body.clone())
        .await
        .error(403, "M_FORBIDDEN");
    let own = format!("state/org.example/{}", encode(&alice.id));
    put(&bob, &room, &own, json!({}))
        .await
        .error(403, "M_FORBIDDEN");
    put(&alice, &room, "send/m.room.create/1", json!({}))
        .await
        .error(403, "M_FORBIDDEN");
    put(
        &alice,
        "!nowhere:test.example",
        "send/m.room.message/1",
        json!({}),
    )
    .await
    .error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn state_that_says_the_same_is_not_sent_twice() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    let first = id(&put(
        &alice,
        &room,
        "state/m.room.topic/",
        json!({ "topic": "a" }),
    )
    .await);
    let same = id(&put(&alice, &room, "state/m.room.topic", json!({ "topic": "a" })).await);
    assert_eq!(first, same);
    let next = id(&put(
        &alice,
        &room,
        "state/m.room.topic/",
        json!({ "topic": "b" }),
    )
    .await);
    let event = event(&alice, &room, &next).await;
    assert_eq!(event["unsigned"]["prev_content"], json!({ "topic": "a" }));
    assert_eq!(event["unsigned"]["replaces_state"], first);
}

#[tokio::test]
async fn a_canonical_alias_must_lead_to_the_room() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice
        .create_room(json!({ "room_alias_name": "here" }))
        .await;
    let set =
        async |content: Value| put(&alice, &room, "state/m.room.canonical_alias/", content).await;
    set(json!({ "alias": "#elsewhere:test.example" }))
        .await
        .error(400, "M_BAD_ALIAS");
    set(json!({ "alias": "nonsense" }))
        .await
        .error(400, "M_INVALID_PARAM");
    set(json!({ "alt_aliases": "#here:test.example" }))
        .await
        .error(400, "M_INVALID_PARAM");
    let other = alice
        .create_room(json!({ "room_alias_name": "other" }))
        .await;
    for content in [
        json!({ "alias": "#other:test.example" }),
        json!({ "alias": "#here:test.example", "alt_aliases": ["#other:test.example"] }),
        // Not the same as what the room has, although it begins so.
        json!({ "alias": "#here:test.exampl" }),
        json!({ "alias": "#here:other.example" }),
    ] {
        set(content).await.error(400, "M_BAD_ALIAS");
    }
    assert_ne!(room, other);
    set(json!({ "alias": "#here:test.example" })).await.ok();
    set(json!({ "alias": null, "alt_aliases": ["#here:test.example"] }))
        .await
        .ok();
    // What the room names may stay when it leads there no more.
    let path = "/_matrix/client/v3/directory/room/%23here%3Atest.example";
    let bob = server.register("bob").await;
    let user = ruma::UserId::parse(&bob.id).unwrap();
    server.app.users.set_admin(&user, true).await.unwrap();
    bob.delete(path).send().await.ok();
    set(json!({ "alt_aliases": ["#here:test.example"], "x": 1 }))
        .await
        .ok();
}

#[tokio::test]
async fn an_acl_that_shuts_out_this_server_is_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    let acl = json!({ "allow": ["*"], "deny": ["test.example"] });
    put(&alice, &room, "state/m.room.server_acl/", acl)
        .await
        .error(400, "M_INVALID_PARAM");
    let acl = json!({ "allow": ["*"], "deny": ["evil.example"] });
    put(&alice, &room, "state/m.room.server_acl/", acl)
        .await
        .ok();
}

#[tokio::test]
async fn a_redaction_takes_the_content_everywhere() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    for version in ["6", "10", "11", "12"] {
        let body = json!({ "preset": "public_chat", "room_version": version });
        let room = alice.create_room(body).await;
        bob.join(&room).await;
        let secret = bob.say(&room, "secret").await;
        let redact = format!("redact/{}", encode(&secret));
        let redaction = put(
            &bob,
            &room,
            &format!("{redact}/1"),
            json!({ "reason": "oops" }),
        )
        .await;
        let seen = event(&alice, &room, &secret).await;
        assert_eq!(seen["content"], json!({}));
        assert_eq!(
            seen["unsigned"]["redacted_because"]["event_id"],
            id(&redaction)
        );
        assert_eq!(
            seen["unsigned"]["redacted_because"]["content"]["reason"],
            "oops"
        );
        let sync = alice.sync(None).await.to_string();
        assert!(!sync.contains("secret"), "{sync}");
        let page = alice
            .get(&path(&room, "messages"))
            .query("dir", "b")
            .send()
            .await
            .ok();
        assert!(!page.to_string().contains("secret"));
        let redaction = event(&alice, &room, &id(&redaction)).await;
        assert_eq!(redaction["redacts"], secret);
    }
}

#[tokio::test]
async fn others_events_are_redacted_by_the_powerful_only() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    bob.join(&room).await;
    let hers = alice.say(&room, "hers").await;
    let his = bob.say(&room, "his").await;
    let redact = |event_id: &str, txn: u32| format!("redact/{}/{txn}", encode(event_id));
    put(&bob, &room, &redact(&hers, 1), json!({}))
        .await
        .error(403, "M_FORBIDDEN");
    assert_eq!(event(&bob, &room, &hers).await["content"]["body"], "hers");
    put(&alice, &room, &redact(&his, 2), json!({})).await.ok();
    assert_eq!(event(&bob, &room, &his).await["content"], json!({}));
    put(&bob, &room, &redact("$unknown", 3), json!({}))
        .await
        .error(404, "M_NOT_FOUND");
    // An event of another room can't be redacted from here.
    let other = alice.create_room(json!({})).await;
    let there = alice.say(&other, "there").await;
    put(&alice, &room, &redact(&there, 4), json!({}))
        .await
        .error(404, "M_NOT_FOUND");
    assert_eq!(
        event(&alice, &other, &there).await["content"]["body"],
        "there"
    );
}

#[tokio::test]
async fn an_event_may_have_65536_bytes_and_no_more() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    for nth in 0..12 {
        // From here on the depth has two digits.
        alice.say(&room, &nth.to_string()).await;
    }
    let sized = async |length: usize, txn: &str| {
        let body = json!({ "body": "x".repeat(length) });
        put(&alice, &room, &format!("send/org.example/{txn}"), body).await
    };
    sized(100, "a").await.ok();
    let filter = json!({
        "event_format": "federation",
        "room": { "timeline": { "limit": 1 } },
    });
    let sync = alice.get("/_matrix/client/v3/sync");
    let sync = sync.query("filter", filter.to_string()).send().await.ok();
    let pdu = &sync["rooms"]["join"][&room]["timeline"]["events"][0];
    assert!(pdu["signatures"].is_object(), "{pdu}");
    let longest = 100 + 65_536 - pdu.to_string().len();
    sized(longest + 1, "b").await.error(413, "M_TOO_LARGE");
    let exact = id(&sized(longest, "c").await);
    sized(longest - 1, "d").await.ok();
    assert_eq!(event(&alice, &room, &exact).await["type"], "org.example");
}

#[tokio::test]
async fn who_hangs_up_can_try_again() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice.create_room(json!({})).await;
    let mut sent = Vec::new();
    for patience in 0..20 {
        let attempt = || {
            let txn = format!("send/m.room.message/{patience}");
            let body = json!({ "body": "once" });
            alice.put(&path(&room, &txn)).json(&body).send()
        };
        let mut request = Box::pin(attempt());
        for _ in 0..patience {
            if futures_util::poll!(&mut request).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(request);
        sent.push(id(&attempt().await));
    }
    let page = alice.get(&path(&room, "messages?dir=f&limit=100"));
    let page = page.send().await.ok();
    let events = page["chunk"].as_array().unwrap().iter();
    let messages = events.filter(|event| event["type"] == "m.room.message");
    let ids: Vec<_> = messages
        .map(|event| event["event_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, sent);
}
