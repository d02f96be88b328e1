//! Events that are none, and events that say more than they should, in transactions.

use http::Method;
use serde_json::{Value, json};

use super::stranger::Visit;
use crate::support::encode;

/// Sends an event together with a good one that comes after it.
async fn send(visit: &Visit, txn: &str, bad: &Value, good: &(String, Value)) -> Value {
    let answer = visit.transaction(txn, &json!([bad, good.1])).await;
    assert_eq!(answer["pdus"][&good.0], json!({}), "{bad}: {answer}");
    answer
}

/// The text of all messages that alice is shown.
async fn shown(visit: &Visit) -> Vec<String> {
    let path = format!("/_matrix/client/v3/rooms/{}/messages", encode(&visit.room));
    let page = visit
        .alice
        .get(&path)
        .query("dir", "f")
        .query("limit", "200");
    let page = page.send().await.ok();
    let events = page["chunk"].as_array().unwrap().iter();
    events
        .filter_map(|event| Some(event["content"]["body"].as_str()?.to_owned()))
        .collect()
}

/// What becomes of an event that is well-formed otherwise.
enum Change {
    /// A field has another value.
    Set(&'static str, Value),
    /// A field is missing.
    Remove(&'static str),
}

fn changes() -> Vec<Change> {
    use Change::{Remove, Set};
    let ids = |count: usize| {
        json!(
            (0..count)
                .map(|nth| format!("$id{nth}"))
                .collect::<Vec<_>>()
        )
    };
    vec![
        Set("depth", json!("5")),
        Set("depth", json!(-1)),
        Set("depth", json!(1_u64 << 53)),
        Set("depth", json!(u64::MAX >> 1)),
        Set("depth", json!(1.5)),
        Set("depth", Value::Null),
        Set("prev_events", json!({})),
        Set("prev_events", json!("$id")),
        Set("prev_events", json!([7])),
        Set("prev_events", json!([])),
        Set("prev_events", ids(21)),
        Set("auth_events", json!({})),
        Set("auth_events", json!([])),
        Set("auth_events", ids(11)),
        Set("content", json!([])),
        Set("content", json!("text")),
        Set("type", json!(7)),
        Set("type", json!("x".repeat(256))),
        Set("sender", json!("nobody")),
        Set("sender", json!(7)),
        Set("sender", json!(format!("@{}:there.test", "x".repeat(255)))),
        Set("room_id", json!("elsewhere")),
        Set("room_id", json!(7)),
        Set("state_key", json!(7)),
        Set("origin_server_ts", json!("now")),
        Set("origin_server_ts", json!(-1)),
        Set("hashes", json!([])),
        Set("signatures", json!([])),
        Set("signatures", json!({})),
        Set("content", json!({ "body": "bad", "fraction": 0.5 })),
        Set("content", json!({ "body": "bad", "large": 1_u64 << 53 })),
        Set(
            "content",
            json!({ "body": "bad", "more": "x".repeat(65_536) }),
        ),
        Remove("type"),
        Remove("content"),
        Remove("sender"),
        Remove("room_id"),
        Remove("depth"),
        Remove("prev_events"),
        Remove("auth_events"),
        Remove("origin_server_ts"),
        Remove("hashes"),
        Remove("signatures"),
    ]
}

/// The event after the change; signed again, if it can be.
fn changed(visit: &Visit, event: &Value, change: &Change) -> Value {
    let mut event = event.clone();
    let (field, map) = match change {
        Change::Set(field, value) => {
            event[*field] = value.clone();
            (*field, event)
        }
        Change::Remove(field) => {
            event.as_object_mut().unwrap().remove(*field);
            (*field, event)
        }
    };
    let is_proof = ["hashes", "signatures"].contains(&field);
    let text = map.to_string();
    let can_be_signed =
        text.len() < 65_000 && matryx_entity::canonical::parse_object(&text).is_ok();
    let has_redactable = ["type", "content"]
        .iter()
        .all(|field| map[*field].is_string() || map[*field].is_object());
    if is_proof || !can_be_signed || !has_redactable {
        return map;
    }
    let mut unsigned = map;
    unsigned.as_object_mut().unwrap().remove("signatures");
    unsigned.as_object_mut().unwrap().remove("hashes");
    visit.sign(&unsigned).1
}

#[tokio::test]
async fn what_is_no_event_is_dropped_and_spoils_nothing() {
    for version in ["6", "11", "12"] {
        let visit = Visit::new(version).await;
        let changes = changes();
        let count = u64::try_from(changes.len()).unwrap();
        let chain = visit.chain(&visit.join, count);
        let (_, bad) = visit.message("bad", &[&visit.join], 20);
        for (nth, (change, good)) in changes.iter().zip(&chain).enumerate() {
            let bad = changed(&visit, &bad, change);
            send(&visit, &format!("txn{nth}"), &bad, good).await;
        }
        for nonsense in [json!(7), json!([]), json!("text"), Value::Null, json!({})] {
            let txn = format!("txn-{nonsense}").replace(['"', '[', ']', '{', '}'], "x");
            visit.transaction(&txn, &json!([nonsense])).await;
        }
        let expected: Vec<_> = (0..count).map(|nth| format!("message {nth}")).collect();
        assert_eq!(shown(&visit).await, expected);
    }
}

#[tokio::test]
async fn an_event_names_its_authority_once() {
    let visit = Visit::new("11").await;
    let (_, mut bad) = visit.message("bad", &[&visit.join], 20);
    let first = bad["auth_events"][0].clone();
    bad["auth_events"].as_array_mut().unwrap().push(first);
    bad.as_object_mut().unwrap().remove("signatures");
    let (id, bad) = visit.sign(&bad);
    let good = visit.message("good", &[&visit.join], 20);
    let answer = send(&visit, "one", &bad, &good).await;
    assert!(answer["pdus"][&id]["error"].is_string(), "{answer}");
    assert_eq!(shown(&visit).await, ["good"]);
}

#[tokio::test]
async fn what_nobody_signed_of_an_event_is_not_passed_on() {
    let visit = Visit::new("11").await;
    let (_, mut event) = visit.message("hello", &[&visit.join], 20);
    event["event_id"] = json!("$fake:there.test");
    event.as_object_mut().unwrap().remove("signatures");
    let (id, mut event) = visit.sign(&event);
    event["unsigned"] = json!({
        "age": 99_999_999,
        "prev_content": { "body": "forged" },
        "redacted_because": { "type": "m.room.redaction" },
        "m.relations": { "m.thread": { "count": 7 } },
        "transaction_id": "forged",
    });
    let answer = visit.transaction("one", &json!([event])).await;
    assert_eq!(answer["pdus"], json!({ (id.as_str()): {} }));
    let path = format!(
        "/_matrix/client/v3/rooms/{}/event/{}",
        encode(&visit.room),
        encode(&id)
    );
    let told = visit.alice.get(&path).send().await.ok();
    assert_eq!(told["event_id"], id.as_str());
    assert_eq!(told["content"]["body"], "hello");
    for field in [
        "prev_content",
        "redacted_because",
        "m.relations",
        "transaction_id",
    ] {
        assert!(told["unsigned"][field].is_null(), "{told}");
    }
    assert_ne!(told["unsigned"]["age"], 99_999_999);
    let path = format!("/_matrix/federation/v1/event/{}", encode(&id));
    let passed = visit.there.get(&visit.here, &path).await.ok();
    assert!(passed["pdus"][0]["unsigned"].is_null(), "{passed}");
}

#[tokio::test]
async fn text_comes_through_as_it_was_signed() {
    let visit = Visit::new("11").await;
    let odd = "nul \u{0} line\u{2028}s e\u{301} \u{e9} \u{202e}left \u{1f600} '$⟨⟩` \\";
    let key = format!("k {odd}");
    let content = json!({ "msgtype": "m.text", "body": odd, (key.as_str()): odd });
    let (id, event) = visit.event(&[&visit.join], 20, "m.room.message", None, &content);
    visit.transaction("one", &json!([event])).await;
    assert_eq!(shown(&visit).await, [odd]);
    let path = format!("/_matrix/federation/v1/event/{}", encode(&id));
    let passed = visit.there.get(&visit.here, &path).await.ok();
    assert_eq!(passed["pdus"][0], event);
}

#[tokio::test]
async fn a_server_that_hangs_up_can_send_again() {
    let visit = Visit::new("11").await;
    let chain = visit.chain(&visit.join, 20);
    for (patience, (id, event)) in chain.iter().enumerate() {
        let txn = format!("txn{patience}");
        let pdus = json!([event]);
        let mut first = Box::pin(visit.transaction(&txn, &pdus));
        for _ in 0..patience {
            if futures_util::poll!(&mut first).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(first);
        let answer = visit.transaction(&txn, &pdus).await;
        assert_eq!(answer["pdus"], json!({ (id.as_str()): {} }));
    }
    let expected: Vec<_> = (0..20).map(|nth| format!("message {nth}")).collect();
    assert_eq!(shown(&visit).await, expected);
}

#[tokio::test]
async fn what_is_no_canonical_json_holds_up_nothing_else() {
    let visit = Visit::new("11").await;
    let (good, message) = visit.message("good", &[&visit.join], 20);
    let mut bad = visit.message("bad", &[&visit.join], 20).1;
    bad["content"]["fraction"] = json!(0.1);
    let body = json!({
        "origin": visit.there.name,
        "origin_server_ts": 1,
        "pdus": [bad, message],
        "edus": [{
            "edu_type": "m.direct_to_device",
            "content": {
                "sender": visit.eve,
                "type": "m.test",
                "message_id": "one",
                "messages": { (visit.alice.id.as_str()): { "*": {
                    "fraction": 0.5, "small": 1e-7, "large": 1e22, "whole": 1_u64 << 60,
                } } },
            },
        }],
    });
    let path = "/_matrix/federation/v1/send/one";
    let answer = visit.there.put(&visit.here, path, &body).await.ok();
    assert_eq!(answer["pdus"], json!({ (good.as_str()): {} }));
    assert_eq!(shown(&visit).await, ["good"]);
    let sync = visit.alice.sync(None).await;
    let content = &sync["to_device"]["events"][0]["content"];
    assert_eq!(
        *content,
        body["edus"][0]["content"]["messages"][&visit.alice.id]["*"]
    );

    // The signature is for these numbers and no others.
    let header = |text: &str| {
        let request = visit.here.server.put(path).bytes(text.to_owned());
        request.header(
            "authorization",
            &visit.there.header(
                &Method::PUT,
                path,
                body.to_string().as_bytes(),
                &visit.here.name,
            ),
        )
    };
    header(&body.to_string()).send().await.ok();
    let changed = body.to_string().replace("0.5", "0.25");
    header(&changed).send().await.error(400, "M_BAD_JSON");
}
