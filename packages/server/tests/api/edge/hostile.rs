//! Text that means something to a database is text, wherever a client may put it.

use serde_json::{Value, json};

use crate::support::{TestServer, encode};

const HOSTILE: [&str; 9] = [
    "'; DELETE user; --",
    "\"; REMOVE TABLE event; //",
    "$auth",
    "${7*7}",
    "⟨user⟩:alice",
    "`user`:alice",
    "type::thing('user', 'alice')",
    "user:['@alice:test.example']",
    "r\"user:alice\" \\ %27 \u{202e}",
];

#[tokio::test]
async fn what_a_client_writes_is_read_back_as_it_was() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let room = alice
        .create_room(json!({ "power_level_content_override": { "events_default": 0 } }))
        .await;
    let user = format!("/_matrix/client/v3/user/{}", encode(&alice.id));
    let in_room = format!("/_matrix/client/v3/rooms/{}", encode(&room));
    for text in HOSTILE {
        let content = json!({ text: text });
        for path in [
            format!("{user}/account_data/{}", encode(text)),
            format!(
                "{user}/rooms/{}/account_data/{}",
                encode(&room),
                encode(text)
            ),
        ] {
            alice.put(&path).json(&content).send().await.ok();
            assert_eq!(alice.get(&path).send().await.ok(), content, "{text}");
        }
        let path = format!("{in_room}/state/{0}/{0}", encode(text));
        alice.put(&path).json(&content).send().await.ok();
        assert_eq!(alice.get(&path).send().await.ok(), content, "{text}");

        // As type and transaction id of a message: a retry is known.
        let path = format!("{in_room}/send/{0}/{0}", encode(text));
        let first = alice.put(&path).json(&content).send().await.ok();
        let again = alice.put(&path).json(&content).send().await.ok();
        assert_eq!(first, again, "{text}");
        let event_id = first["event_id"].as_str().unwrap();
        let path = format!("{in_room}/event/{}", encode(event_id));
        let event = alice.get(&path).send().await.ok();
        assert_eq!(
            (&event["type"], &event["content"]),
            (&json!(text), &content)
        );

        let path = format!("{user}/rooms/{}/tags/{}", encode(&room), encode(text));
        alice
            .put(&path)
            .json(&json!({ "order": 0.5 }))
            .send()
            .await
            .ok();
        let tags = format!("{user}/rooms/{}/tags", encode(&room));
        let tags = alice.get(&tags).send().await.ok();
        assert_eq!(tags["tags"][text]["order"], 0.5, "{text}");

        let login = json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": "alice" },
            "password": crate::support::TestUser::PASSWORD,
            "device_id": text,
            "initial_device_display_name": text,
        });
        let login = server.post("/_matrix/client/v3/login").json(&login);
        assert_eq!(login.send().await.ok()["device_id"], text);
        let path = format!("/_matrix/client/v3/devices/{}", encode(text));
        let device = alice.get(&path).send().await.ok();
        assert_eq!(device["display_name"], text);
    }
    // Nothing was lost on the way.
    let devices = alice.get("/_matrix/client/v3/devices").send().await.ok();
    assert_eq!(
        devices["devices"].as_array().unwrap().len(),
        HOSTILE.len() + 1
    );
    let joined = alice
        .get("/_matrix/client/v3/joined_rooms")
        .send()
        .await
        .ok();
    assert_eq!(joined["joined_rooms"], json!([room]));
}

#[tokio::test]
async fn what_a_client_looks_for_finds_itself_alone() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let mut rooms = Vec::new();
    for text in HOSTILE {
        let body = json!({ "visibility": "public", "name": text, "topic": "x" });
        rooms.push(alice.create_room(body).await);
    }
    let search = async |term: &str| {
        let body = json!({ "filter": { "generic_search_term": term } });
        let path = "/_matrix/client/v3/publicRooms";
        alice.post(path).json(&body).send().await
    };
    for (text, room) in HOSTILE.iter().zip(&rooms) {
        let found = search(text).await.ok();
        let found: Vec<_> = found["chunk"].as_array().unwrap().iter().collect();
        assert_eq!(found.len(), 1, "{text}");
        assert_eq!(found[0]["room_id"], Value::from(room.as_str()));
    }
    search(&"x".repeat(10 << 10))
        .await
        .error(400, "M_INVALID_PARAM");
    for unknown in HOSTILE {
        let path = format!("/_matrix/client/v3/profile/{}", encode(unknown));
        alice.get(&path).send().await.error(400, "M_INVALID_PARAM");
        let request = alice.get("/_matrix/client/v3/publicRooms");
        let answer = request.query("since", unknown).send().await;
        answer.error(400, "M_INVALID_PARAM");
        let path = format!("/_matrix/client/v3/devices/{}", encode(unknown));
        alice.get(&path).send().await.error(404, "M_NOT_FOUND");
        let user = encode(&alice.id);
        let path = format!("/_matrix/client/v3/user/{user}/filter/{}", encode(unknown));
        alice.get(&path).send().await.error(404, "M_NOT_FOUND");
    }
}
