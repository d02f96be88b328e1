//! Messages to devices between servers: none is lost, none comes twice, whoever goes away.

use std::time::Duration;

use axum::http::StatusCode;
use http::Method;
use matryx_entity::{
    log::LogEntry, position::Position, queued_edu::QueuedEdu, received_message::ReceivedMessage,
    to_device::ToDeviceMessage,
};
use matryx_server::to_device::MAX_CONTENT;
use matryx_surrealdb::{KeyRange, Plan};
use ruma::OwnedServerName;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    pair::{Peer, fixture},
    partner::{Partner, Verdict},
    sender::{Outside, shared_room, until},
};
use crate::{
    send_to_device::{log_in, send, text, texts, token, try_send},
    support::{Launch, Site, TestUser, encode},
};

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// Syncs until it has so many messages; all of them.
async fn receive(user: &TestUser, since: &str, count: usize) -> Vec<String> {
    let (mut all, mut since) = (Vec::new(), since.to_owned());
    let receive = async {
        while all.len() < count {
            let sync = user.get("/_matrix/client/v3/sync").query("since", &since);
            let sync = sync.query("timeout", "10000").send().await.ok();
            all.extend(texts(&sync));
            since = token(&sync).to_owned();
        }
    };
    timeout(Duration::from_mins(1), receive).await.unwrap();
    let rest = user.sync(Some(&since)).await;
    assert_eq!(texts(&rest), [""; 0], "more than there were");
    all
}

async fn queued(home: &Peer) -> usize {
    let rows = home.server.app.store.range::<QueuedEdu>(KeyRange::all());
    rows.await.unwrap().len()
}

/// Waits until nothing is left to be sent, in memory and in the database.
async fn all_sent(home: &Peer) {
    until(|| home.server.app.sender.destinations().is_empty()).await;
    assert_eq!(queued(home).await, 0);
}

fn to(user: &str, device: &str, what: &str) -> Value {
    json!({ (user): { (device): text(what) } })
}

/// The texts of the messages that a partner took, and how they were named.
fn taken(partner: &Partner) -> (Vec<String>, Vec<String>) {
    let (mut texts, mut ids) = (Vec::new(), Vec::new());
    for edu in partner.edus() {
        if edu["edu_type"] != "m.direct_to_device" {
            continue;
        }
        ids.push(edu["content"]["message_id"].as_str().unwrap().to_owned());
        for devices in edu["content"]["messages"].as_object().unwrap().values() {
            for content in devices.as_object().unwrap().values() {
                texts.push(content["text"].as_str().unwrap().to_owned());
            }
        }
    }
    (texts, ids)
}

#[tokio::test]
async fn messages_reach_the_devices_of_another_server_in_order() {
    let (here, there) = tokio::join!(Peer::start(), Peer::start());
    let alice = here.server.register("alice").await;
    let bob = there.server.register("bob").await;
    let phone = log_in(&there.server, &bob).await;
    let (first, of_phone) = (bob.sync(None).await, phone.sync(None).await);
    let kept = here.server.register("kept").await;
    for nth in numbers(0..250) {
        let mut messages = to(
            &bob.id,
            if nth == "100" { "*" } else { &bob.device_id },
            &nth,
        );
        messages[&kept.id] = json!({ "*": text(&nth) });
        send(&alice, &nth, messages).await;
    }
    assert_eq!(receive(&bob, token(&first), 250).await, numbers(0..250));
    assert_eq!(receive(&phone, token(&of_phone), 1).await, ["100"]);
    let waiting = kept.sync(None).await;
    assert_eq!(texts(&waiting).len(), 100);
    all_sent(&here).await;
    let left = there
        .server
        .app
        .store
        .range::<ToDeviceMessage>(KeyRange::all());
    assert_eq!(
        left.await.unwrap().len(),
        0,
        "bob has shown that he has all of them"
    );
}

#[tokio::test]
async fn what_cannot_be_signed_holds_up_nothing_else() {
    let (here, there) = tokio::join!(Peer::start(), Peer::start());
    let alice = here.server.register("alice").await;
    let kept = here.server.register("kept").await;
    let bob = there.server.register("bob").await;
    let first = bob.sync(None).await;
    let fraction = json!({ "text": 0.5 });
    let bad = json!({ (bob.id.as_str()): { "*": fraction } });
    let answer = try_send(&alice, "m.test", "bad", &bad).await;
    answer.error(400, "M_BAD_JSON");
    // Within a server there is nothing to sign.
    let here_only = json!({ (kept.id.as_str()): { "*": fraction } });
    send(&alice, "here", here_only).await;
    let waiting = kept.sync(None).await;
    assert_eq!(waiting["to_device"]["events"][0]["content"], fraction);
    // One that waits all the same is given up.
    let mut plan = Plan::new();
    let server = there.name.clone();
    let at = plan.log(LogEntry::QueuedEdu {
        server: server.clone(),
    });
    let json = edu(&alice.id, "bad", &bad).to_string();
    let row = QueuedEdu {
        server,
        at: Position::default(),
        json,
        queued_ts: None,
    };
    plan.create_at(&row, at);
    here.server.app.store.commit(plan).await.unwrap();
    send(&alice, "good", to(&bob.id, "*", "good")).await;
    assert_eq!(receive(&bob, token(&first), 1).await, ["good"]);
    all_sent(&here).await;
}

#[tokio::test]
async fn a_link_that_breaks_again_and_again_loses_and_repeats_nothing() {
    let here = Peer::start_with(|builder| {
        let builder = builder.set("federation.retry.first", "20ms");
        builder.set("federation.retry.longest", "50ms")
    });
    let here = here.await;
    let (there, mut link) = Peer::start_linked().await;
    let alice = here.server.register("alice").await;
    let bob = there.server.register("bob").await;
    let first = bob.sync(None).await;
    for nth in numbers(0..120) {
        if nth.ends_with('5') {
            link.cut().await;
        }
        send(&alice, &nth, to(&bob.id, "*", &nth)).await;
        if nth.ends_with('9') {
            link.heal().await;
        }
    }
    assert_eq!(receive(&bob, token(&first), 120).await, numbers(0..120));
    all_sent(&here).await;
}

#[tokio::test]
async fn messages_wait_for_a_server_that_is_away_and_do_not_delay_events() {
    // So long a wait that only the sign of life can end it.
    let home = Peer::start_with(|builder| builder.set("federation.retry.first", "1h")).await;
    let alice = home.server.register("alice").await;
    let mut partner = Partner::start().await;
    let room = shared_room(&home, &alice, &[&partner]).await;
    let eve = partner.user("eve");
    partner.vanish().await;
    for nth in numbers(0..230) {
        send(&alice, &nth, to(&eve, "D", &nth)).await;
    }
    until(|| {
        home.server
            .app
            .sender
            .destinations()
            .iter()
            .any(|it| it.failures == 1)
    })
    .await;
    alice.say(&room, "missed").await;
    partner.listen().await;
    partner.show_life(&home).await;
    partner.until("all", |it| taken(it).0.len() == 230).await;
    partner.until_text("missed").await;
    assert_eq!(taken(&partner).0, numbers(0..230));
    for (_, transaction) in partner.transactions() {
        let edus = transaction["edus"].as_array();
        assert!(edus.map_or(0, Vec::len) <= 100);
    }
    all_sent(&home).await;

    // One whose answer is lost is sent again under the same name.
    partner.forget();
    partner.answer(Verdict::Silence);
    let attempts = partner.attempts();
    send(&alice, "again", to(&eve, "D", "again")).await;
    partner
        .until("an attempt", |it| it.attempts() > attempts)
        .await;
    assert_eq!(queued(&home).await, 1);
}

#[tokio::test]
async fn messages_that_are_not_taken_do_not_stop_events() {
    let home = Peer::start_with(|builder| builder.set("federation.retry.first", "20ms")).await;
    let alice = home.server.register("alice").await;
    let partner = Partner::start().await;
    let room = shared_room(&home, &alice, &[&partner]).await;
    let eve = partner.user("eve");
    let error = json!({ "errcode": "M_UNKNOWN", "error": "no" });
    partner.answer(Verdict::NoMessages(
        StatusCode::INTERNAL_SERVER_ERROR,
        error,
    ));
    send(&alice, "0", to(&eve, "D", "0")).await;
    send(&alice, "1", to(&eve, "D", "1")).await;
    for text in ["a", "b", "c"] {
        alice.say(&room, text).await;
        partner.until_text(text).await;
    }
    assert!(taken(&partner).0.is_empty());
    partner.answer(Verdict::Fine);
    partner.until("both", |it| taken(it).0.len() == 2).await;
    assert_eq!(taken(&partner).0, ["0", "1"]);
    all_sent(&home).await;

    // What is refused as such is given up, and nothing else with it.
    let error = json!({ "errcode": "M_BAD_JSON", "error": "no" });
    partner.answer(Verdict::NoMessages(StatusCode::BAD_REQUEST, error));
    send(&alice, "2", to(&eve, "D", "2")).await;
    alice.say(&room, "d").await;
    partner.until_text("d").await;
    all_sent(&home).await;
    partner.answer(Verdict::Fine);
    send(&alice, "3", to(&eve, "D", "3")).await;
    partner.until("the next", |it| taken(it).0.len() == 3).await;
    assert_eq!(taken(&partner).0[2], "3");
}

fn edu(sender: &str, id: &str, messages: &Value) -> Value {
    json!({ "edu_type": "m.direct_to_device", "content": {
        "sender": sender, "type": "m.test", "message_id": id, "messages": messages,
    }})
}

/// Messages that are for nobody, from the wrong one, too much, or of the wrong form.
fn bad_messages(eve: &str, alice: &TestUser, closed: &TestUser, home: &Peer) -> Vec<Value> {
    let device = alice.device_id.as_str();
    let huge = json!({ "x": "x".repeat(MAX_CONTENT) });
    let many: serde_json::Map<String, Value> = (0..1001)
        .map(|nth| (format!("D{nth}"), json!({})))
        .collect();
    vec![
        edu(&alice.id, "of ours", &to(&alice.id, device, "x")),
        edu(
            "@eve:elsewhere.test",
            "of another",
            &to(&alice.id, device, "x"),
        ),
        edu(eve, "to another", &to("@a:elsewhere.test", "*", "x")),
        edu(eve, "back", &to(eve, "*", "x")),
        edu(eve, "closed", &to(&closed.id, "*", "x")),
        edu(
            eve,
            "closed device",
            &to(&closed.id, &closed.device_id, "x"),
        ),
        edu(eve, "no device", &to(&alice.id, "NOWHERE", "x")),
        edu(
            eve,
            "nobody",
            &to(&format!("@nobody:{}", home.name), "*", "x"),
        ),
        edu(eve, "", &to(&alice.id, device, "x")),
        edu(eve, &"x".repeat(129), &to(&alice.id, device, "x")),
        edu(
            eve,
            "no object",
            &json!({ (alice.id.as_str()): { (device): 7 } }),
        ),
        edu(
            eve,
            "huge",
            &json!({ (alice.id.as_str()): { (device): huge } }),
        ),
        edu(eve, "many", &json!({ (alice.id.as_str()): many })),
        edu(eve, "form", &json!([])),
        json!({ "edu_type": "m.direct_to_device", "content": { "sender": eve } }),
    ]
}

#[tokio::test]
async fn messages_come_in_once_and_bad_ones_spoil_nothing() {
    let home = Peer::start().await;
    let alice = home.server.register("alice").await;
    let closed = home.server.register("closed").await;
    let app = &home.server.app;
    let close = app
        .users
        .deactivate(closed.id.as_str().try_into().unwrap(), false);
    close.await.unwrap();
    let partner = Partner::start().await;
    let (eve, device) = (partner.user("eve"), alice.device_id.as_str());
    let mut edus = bad_messages(&eve, &alice, &closed, &home);
    edus.push(edu(&eve, "1", &to(&alice.id, device, "1")));
    edus.push(edu(&eve, "2", &to(&alice.id, "*", "2")));
    edus.push(edu(&eve, "1", &to(&alice.id, device, "again")));
    partner.send(&home, "one", json!([]), json!(edus)).await;
    let again = json!([
        edu(&eve, "2", &to(&alice.id, device, "again")),
        edu(&eve, "3", &to(&alice.id, device, "3")),
    ]);
    partner.send(&home, "two", json!([]), again).await;
    let sync = alice.sync(None).await;
    assert_eq!(texts(&sync), ["1", "2", "3"]);
    let first = &sync["to_device"]["events"][0];
    assert_eq!(
        (&first["sender"], &first["type"]),
        (&json!(eve), &json!("m.test"))
    );
    let rows = app.store.range::<ToDeviceMessage>(KeyRange::all());
    assert_eq!(rows.await.unwrap().len(), 3);
    let received = || async {
        let rows = app.store.range::<ReceivedMessage>(KeyRange::all());
        rows.await.unwrap().len()
    };
    assert_eq!(
        received().await,
        3,
        "of what was for nobody nothing is kept"
    );

    // What came long ago is forgotten.
    home.server.clock.advance(Duration::from_hours(6 * 24));
    app.to_device.forget_old().await.unwrap();
    assert_eq!(received().await, 3);
    home.server.clock.advance(Duration::from_hours(2 * 24));
    app.to_device.forget_old().await.unwrap();
    assert_eq!(received().await, 0);
}

#[tokio::test]
async fn what_could_not_be_written_down_is_not_said_to_have_arrived() {
    let home = Peer::start().await;
    let alice = home.server.register("alice").await;
    let partner = Partner::start().await;
    partner.show_life(&home).await;
    let message = edu(&partner.user("eve"), "1", &to(&alice.id, "*", "x"));
    home.server.app.store.close().await;
    let path = "/_matrix/federation/v1/send/one";
    let body = json!({
        "origin": partner.name, "origin_server_ts": 1, "pdus": [], "edus": [message],
    });
    let header = partner.sign_request(&Method::PUT, path, &body.to_string(), &home.name);
    let request = home.server.put(path).header("authorization", &header);
    let answer = request.json(&body).send().await;
    assert!(answer.status.is_server_error(), "{}", answer.status);
}

/// Sends a message as a client of a process.
async fn send_to(site: &Site, token: &str, txn: &str, messages: &Value) {
    let path = format!("/_matrix/client/v3/sendToDevice/m.test/{txn}");
    let body = json!({ "messages": messages });
    let request = site.put(&path).bearer_auth(token).json(&body);
    assert_eq!(request.send().await.unwrap().status(), 200);
}

async fn sync_at(site: &Site, token: &str, since: Option<&str>) -> Value {
    let since = since.map(|since| format!("&since={}", encode(since)));
    let path = format!(
        "/_matrix/client/v3/sync?timeout=0{}",
        since.unwrap_or_default()
    );
    let answer = site.get(&path).bearer_auth(token).send().await.unwrap();
    answer.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_and_repeats_no_message() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::new(folder.path())
        .set("listen=client+federation=127.0.0.1:0")
        .set("federation.deny_ip_ranges=[]")
        .set("federation.retry.first=1h")
        .set(&format!("tls.extra_ca_files={}", fixture("ca.crt")));
    let name = OwnedServerName::try_from("test.example").unwrap();
    let mut partner = Partner::start().await;
    let eve = partner.user("eve");
    let process = launch.start().await;
    let alice = process.site.register("alice").await;
    let alice_id = "@alice:test.example";

    // Killed while messages were on their way.
    partner.answer(Verdict::Silence);
    for nth in ["0", "1", "2"] {
        send_to(&process.site, &alice, nth, &to(&eve, "D", nth)).await;
    }
    partner.until("an attempt", |it| it.attempts() == 1).await;
    process.kill().await;
    partner.answer(Verdict::Fine);
    let process = launch.start().await;
    partner.until("all", |it| taken(it).0.len() >= 3).await;
    assert_eq!(taken(&partner).0, ["0", "1", "2"]);
    // A retry of what was acknowledged before does nothing.
    send_to(&process.site, &alice, "2", &to(&eve, "D", "2")).await;
    send_to(&process.site, &alice, "3", &to(&eve, "D", "3")).await;
    partner.until("the next", |it| taken(it).0.len() > 3).await;
    assert_eq!(taken(&partner).0, ["0", "1", "2", "3"]);

    // Killed while it waits for a server that is away.
    partner.vanish().await;
    send_to(&process.site, &alice, "4", &to(&eve, "D", "4")).await;
    process.kill().await;
    let process = launch.start().await;
    send_to(&process.site, &alice, "5", &to(&eve, "D", "5")).await;
    process.kill().await;
    // What had arrived when it was killed may come again, under its name.
    let (_, known) = taken(&partner);
    partner.forget();
    partner.listen().await;
    let process = launch.start().await;
    let news = |partner: &Partner| -> Vec<String> {
        let (texts, ids) = taken(partner);
        let news = texts.into_iter().zip(ids);
        let news = news.filter(|(_, id)| !known.contains(id));
        news.map(|(text, _)| text).collect()
    };
    partner.until("both", |it| news(it).len() >= 2).await;
    assert_eq!(news(&partner), ["4", "5"]);

    // Killed once it has said that it has a message: it has it, and the same one only once.
    let first = sync_at(&process.site, &alice, None).await;
    let home = Outside {
        name: &name,
        site: process.site.clone(),
    };
    let messages = json!([
        edu(&eve, "1", &to(alice_id, "*", "1")),
        edu(&eve, "2", &to(alice_id, "*", "2")),
    ]);
    partner.send(&home, "t1", json!([]), messages.clone()).await;
    process.kill().await;
    let process = launch.start().await;
    let home = Outside {
        name: &name,
        site: process.site.clone(),
    };
    partner.send(&home, "t1", json!([]), messages).await;
    let second = sync_at(&process.site, &alice, Some(token(&first))).await;
    assert_eq!(texts(&second), ["1", "2"]);
    // Killed after the device had them, but had not shown it; and after it had.
    process.kill().await;
    let process = launch.start().await;
    let again = sync_at(&process.site, &alice, Some(token(&first))).await;
    assert_eq!(texts(&again), ["1", "2"]);
    let third = sync_at(&process.site, &alice, Some(token(&second))).await;
    assert_eq!(texts(&third), [""; 0]);
    process.kill().await;
    let process = launch.start().await;
    let replayed = sync_at(&process.site, &alice, Some(token(&first))).await;
    assert_eq!(texts(&replayed), [""; 0]);
    assert_eq!(process.terminate().await.code(), Some(0));
}
