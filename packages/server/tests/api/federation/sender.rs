//! What leaves a server by itself.

use std::time::Duration;

use axum::http::StatusCode;
use http::Method;
use matryx_entity::log::LogEntry;
use matryx_surrealdb::Plan;
use ruma::{OwnedServerName, ServerName};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    cli::run_in,
    matrix::until as until_told,
    pair::{Peer, fixture},
    partner::{Home, Partner, ROOM_VERSION, Verdict},
};
use crate::support::{Launch, Site, TestUser, encode};

/// A public room with a user of each partner in it.
pub(super) async fn shared_room(home: &Peer, alice: &TestUser, partners: &[&Partner]) -> String {
    let body = json!({ "preset": "public_chat", "room_version": ROOM_VERSION });
    let room = alice.create_room(body).await;
    for partner in partners {
        partner.join(home, &room, &partner.user("eve")).await;
    }
    room
}

/// Waits until a partner knows that the home server's user has devices; how many transactions it
/// was sent until then.
async fn introduced(partner: &Partner) -> usize {
    let is_list = |edu: &Value| edu["edu_type"] == "m.device_list_update";
    partner
        .until("an introduction", |it| it.edus().iter().any(is_list))
        .await;
    partner.forget();
    partner.attempts()
}

/// Waits for what nothing tells of.
pub(super) async fn until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), wait).await.unwrap();
}

fn bodies(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

async fn say_all(user: &TestUser, room: &str, texts: &[String]) {
    for text in texts {
        user.say(room, text).await;
    }
}

#[tokio::test]
async fn events_arrive_in_order_in_transactions_of_at_most_fifty() {
    let home = Peer::start().await;
    let alice = home.server.register("alice").await;
    let partner = Partner::start().await;
    let room = shared_room(&home, &alice, &[&partner]).await;
    let texts = bodies(0..60);
    // While the first is on its way the others gather.
    say_all(&alice, &room, &texts).await;
    partner.until_text("59").await;
    assert_eq!(partner.texts(), texts);
    let mut ids = Vec::new();
    for (id, transaction) in partner.transactions() {
        assert!(transaction["pdus"].as_array().unwrap().len() <= 50);
        assert_eq!(transaction["origin"], home.name.as_str());
        assert!(!ids.contains(&id), "{id} was used twice");
        ids.push(id);
    }
    // What happened before it joined is not for it, and neither is its own join.
    let kinds: Vec<Value> = partner
        .pdus()
        .iter()
        .map(|pdu| pdu["type"].clone())
        .collect();
    assert!(
        kinds.iter().all(|kind| kind == "m.room.message"),
        "{kinds:?}"
    );
    assert!(partner.pdus()[0]["signatures"][home.name.as_str()].is_object());

    // With nothing left to send, nothing is kept.
    until(|| home.server.app.sender.destinations().is_empty()).await;
}

#[tokio::test]
async fn who_leaves_gets_no_more_and_who_is_put_out_learns_of_it() {
    let home = Peer::start().await;
    let alice = home.server.register("alice").await;
    let (one, two) = tokio::join!(Partner::start(), Partner::start());
    let room = shared_room(&home, &alice, &[&one, &two]).await;
    let kick = format!("/_matrix/client/v3/rooms/{}/kick", encode(&room));
    let kick = alice
        .post(&kick)
        .json(&json!({ "user_id": one.user("eve") }));
    kick.send().await.ok();
    two.leave(&home, &room, &two.user("eve")).await;
    alice.say(&room, "among us").await;
    let other = shared_room(&home, &alice, &[&one, &two]).await;
    alice.say(&other, "done").await;
    one.until_text("done").await;
    two.until_text("done").await;

    let memberships = |partner: &Partner| -> Vec<Value> {
        let pdus = partner.pdus();
        let pdus = pdus.iter().filter(|pdu| pdu["room_id"] == room.as_str());
        pdus.map(|pdu| json!([pdu["state_key"], pdu["content"]["membership"]]))
            .collect()
    };
    // The second joined after the first: by the home server's word the first knows.
    let (eve, eva) = (one.user("eve"), two.user("eve"));
    assert_eq!(
        memberships(&one),
        [json!([eva, "join"]), json!([eve, "leave"])]
    );
    assert_eq!(memberships(&two), [json!([eve, "leave"])]);
    assert_eq!(
        (one.texts(), two.texts()),
        (vec!["done".into()], vec!["done".into()])
    );
}

#[tokio::test]
async fn a_room_that_keeps_a_server_out_tells_it_so_and_nothing_more() {
    let home = Peer::start().await;
    let alice = home.server.register("alice").await;
    let partner = Partner::start().await;
    let room = shared_room(&home, &alice, &[&partner]).await;
    let acl = json!({ "allow": ["*"], "deny": ["localhost"], "allow_ip_literals": true });
    let path = format!(
        "/_matrix/client/v3/rooms/{}/state/m.room.server_acl/",
        encode(&room)
    );
    alice.put(&path).json(&acl).send().await.ok();
    alice.say(&room, "among us").await;
    let other = shared_room(&home, &alice, &[&partner]).await;
    alice.say(&other, "done").await;
    partner.until_text("done").await;
    assert_eq!(partner.texts(), ["done"]);
    assert_eq!(partner.pdus()[0]["type"], "m.room.server_acl");
}

#[tokio::test]
async fn a_partner_that_was_away_gets_everything_soon_after_a_sign_of_life() {
    // So long a wait that only the sign of life can end it.
    let home = Peer::start_with(|builder| builder.set("federation.retry.first", "1h")).await;
    let alice = home.server.register("alice").await;
    let mut partner = Partner::start().await;
    let room = shared_room(&home, &alice, &[&partner]).await;
    partner.vanish().await;
    let texts = bodies(0..60);
    say_all(&alice, &room, &texts).await;
    let lags = || {
        let all = home.server.app.sender.destinations();
        let failures = all.iter().find(|it| it.server == partner.name && it.lags);
        failures.is_some_and(|it| it.failures == 1 && it.retry_at > it.failing_since)
    };
    until(lags).await;
    say_all(&alice, &room, &["60".to_owned()]).await;
    partner.listen().await;
    partner.show_life(&home).await;
    let soon = Duration::from_secs(10);
    timeout(soon, partner.until_text("60")).await.unwrap();
    assert_eq!(partner.texts(), bodies(0..61));
    alice.say(&room, "61").await;
    partner.until_text("61").await;
    assert_eq!(partner.texts(), bodies(0..62));
}

#[tokio::test]
async fn an_operator_may_end_the_wait() {
    let home = Peer::start_with(|builder| builder.set("federation.retry.first", "1h")).await;
    let alice = home.server.register("alice").await;
    let partner = Partner::start().await;
    let room = shared_room(&home, &alice, &[&partner]).await;
    let before = introduced(&partner).await;
    partner.answer(Verdict::Error(StatusCode::BAD_GATEWAY, json!("no")));
    alice.say(&room, "hello").await;
    let sender = &home.server.app.sender;
    partner
        .until("an attempt", |it| it.attempts() == before + 1)
        .await;
    until(|| sender.destinations()[0].failures == 1).await;
    assert!(
        sender.destinations()[0]
            .reason
            .as_ref()
            .unwrap()
            .contains("502")
    );
    partner.answer(Verdict::Fine);
    assert_eq!(sender.retry(None), 1);
    partner.until_text("hello").await;
    assert_eq!(partner.attempts(), before + 2);
}

#[tokio::test]
async fn a_server_that_fails_is_tried_again_and_never_delays_another() {
    let home = Peer::start_with(|builder| builder.set("federation.retry.first", "50ms")).await;
    let alice = home.server.register("alice").await;
    let (failing, silent, good) =
        tokio::join!(Partner::start(), Partner::start(), Partner::start());
    let room = shared_room(&home, &alice, &[&failing, &silent, &good]).await;
    failing.until("joins", |it| it.pdus().len() == 2).await;
    silent.until("a join", |it| it.pdus().len() == 1).await;
    for status in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::UNAUTHORIZED] {
        failing.answer(Verdict::Error(
            status,
            json!({ "errcode": "M_UNKNOWN", "error": "no" }),
        ));
        silent.answer(Verdict::Silence);
        let tried = failing.attempts();
        let text = status.as_str();
        alice.say(&room, text).await;
        good.until_text(text).await;
        failing
            .until("three attempts", |it| it.attempts() >= tried + 3)
            .await;
    }
    failing.answer(Verdict::Fine);
    failing.until_text("401").await;
    assert_eq!(failing.texts(), ["500", "401"]);
    assert!(silent.texts().is_empty());
}

#[tokio::test]
async fn an_event_that_is_refused_does_not_stop_the_others() {
    let home = Peer::start_with(|builder| builder.set("federation.retry.first", "50ms")).await;
    let alice = home.server.register("alice").await;
    let partner = Partner::start().await;
    let room = shared_room(&home, &alice, &[&partner]).await;
    let before = introduced(&partner).await;
    let bad = json!({ "errcode": "M_BAD_JSON", "error": "no" });
    partner.answer(Verdict::Error(StatusCode::BAD_REQUEST, bad));
    alice.say(&room, "refused").await;
    partner
        .until("an attempt", |it| it.attempts() == before + 1)
        .await;
    partner.answer(Verdict::Fine);
    alice.say(&room, "taken").await;
    partner.until_text("taken").await;
    assert_eq!(partner.texts(), ["taken"]);
}

#[tokio::test]
async fn typing_and_public_receipts_go_out() {
    let home = Peer::start().await;
    let alice = home.server.register("alice").await;
    let partner = Partner::start().await;
    let room = shared_room(&home, &alice, &[&partner]).await;
    introduced(&partner).await;
    let event = alice.say(&room, "hello").await;
    let base = format!("/_matrix/client/v3/rooms/{}", encode(&room));
    let typing = format!("{base}/typing/{}", encode(&alice.id));
    let body = json!({ "typing": true, "timeout": 30_000 });
    alice.put(&typing).json(&body).send().await.ok();
    partner.until("typing", |it| !it.edus().is_empty()).await;
    assert_eq!(
        partner.edus(),
        [json!({ "edu_type": "m.typing", "content": {
            "room_id": room, "user_id": alice.id, "typing": true,
        }})]
    );
    alice
        .put(&typing)
        .json(&json!({ "typing": false }))
        .send()
        .await
        .ok();
    partner.until("no typing", |it| it.edus().len() == 2).await;
    assert_eq!(partner.edus()[1]["content"]["typing"], false);

    for kind in ["m.read.private", "m.read"] {
        let path = format!("{base}/receipt/{kind}/{}", encode(&event));
        alice.post(&path).json(&json!({})).send().await.ok();
    }
    partner.until("a receipt", |it| it.edus().len() == 3).await;
    let receipt = &partner.edus()[2];
    assert_eq!(receipt["edu_type"], "m.receipt");
    let receipt = &receipt["content"][&room]["m.read"][&alice.id];
    assert_eq!(receipt["event_ids"], json!([event]));
    assert!(receipt["data"]["ts"].is_u64(), "{receipt}");
    assert!(!json!(partner.edus()).to_string().contains("private"));
}

/// A partner goes away, and a message that it misses is noted as such.
async fn vanish(home: &Peer, alice: &TestUser, partner: &mut Partner, room: &str) {
    partner.vanish().await;
    alice.say(room, "missed").await;
    let sender = &home.server.app.sender;
    until(|| sender.destinations().iter().any(|it| it.failures == 1)).await;
}

#[tokio::test]
async fn after_a_long_time_the_newest_events_of_each_room_have_to_do() {
    let home = Peer::start_with(|builder| builder.set("federation.retry.first", "1h")).await;
    let alice = home.server.register("alice").await;
    let mut partner = Partner::start().await;
    for trimmed in [true, false] {
        let one = shared_room(&home, &alice, &[&partner]).await;
        let other = shared_room(&home, &alice, &[&partner]).await;
        let left = shared_room(&home, &alice, &[&partner]).await;
        vanish(&home, &alice, &mut partner, &one).await;
        let eve = partner.user("eve");
        let kick = format!("/_matrix/client/v3/rooms/{}/kick", encode(&left));
        let kick = alice.post(&kick).json(&json!({ "user_id": eve }));
        kick.send().await.ok();
        let store = &home.server.app.store;
        for _ in 0..6 {
            let mut plan = Plan::new();
            for _ in 0..if trimmed { 1 } else { 1000 } {
                let user = alice.id.as_str().try_into().unwrap();
                plan.log(LogEntry::User { user });
            }
            store.commit(plan).await.unwrap();
        }
        for room in [&one, &other, &left] {
            say_all(&alice, room, &bodies(0..3)).await;
        }
        if trimmed {
            store.trim_log(1).await.unwrap();
        }
        partner.forget();
        partner.listen().await;
        partner.show_life(&home).await;
        let sender = &home.server.app.sender;
        until(|| sender.destinations().is_empty()).await;
        let mut told: Vec<_> = partner.pdus();
        // Of rooms in which nothing has happened since, it may be told once more.
        let rooms = [&one, &other, &left].map(String::as_str);
        told.retain(|pdu| rooms.contains(&pdu["room_id"].as_str().unwrap()));
        let of = |room: &str| -> Vec<Value> {
            let pdus = told.iter().filter(|pdu| pdu["room_id"] == room);
            pdus.map(|pdu| pdu["content"].clone()).collect()
        };
        let newest = json!({ "msgtype": "m.text", "body": "2" });
        assert_eq!([of(&one), of(&other)].concat(), [newest.clone(), newest]);
        assert_eq!(of(&left), [json!({ "membership": "leave" })]);
        alice.say(&one, "live").await;
        partner.until_text("live").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::new(folder.path())
        .set("listen=client+federation+metrics=127.0.0.1:0")
        .set("federation.deny_ip_ranges=[]")
        .set("federation.retry.first=1h")
        .set(&format!("tls.extra_ca_files={}", fixture("ca.crt")));
    let name = OwnedServerName::try_from("test.example").unwrap();
    let operator = async |order: &str| run_in(&launch.data_dir(), &name, &[order]).await.1;
    let listed = async |text: &str| {
        until_told(text, async || operator("destinations").await.contains(text)).await;
    };
    let mut partner = Partner::start().await;
    let process = launch.start().await;
    let token = process.site.register("alice").await;
    let home = Outside {
        name: &name,
        site: process.site.clone(),
    };
    let room = home.create_room(&token).await;
    partner.join(&home, &room, &partner.user("eve")).await;
    let before = introduced(&partner).await;

    // It was killed while a transaction was on its way.
    partner.answer(Verdict::Silence);
    home.say(&token, &room, "0").await;
    partner
        .until("an attempt", |it| it.attempts() == before + 1)
        .await;
    process.kill().await;
    partner.answer(Verdict::Fine);
    let process = launch.start().await;
    partner.until_text("0").await;

    // It was killed while it waited for a server that is away, and once more.
    partner.vanish().await;
    let home = Outside {
        name: &name,
        site: process.site.clone(),
    };
    home.say(&token, &room, "1").await;
    listed("failed attempts: 1").await;
    home.say(&token, &room, "2").await;
    process.kill().await;
    let told = operator("destinations").await;
    assert!(told.contains("failed attempts: 1"), "{told}");
    let process = launch.start().await;
    listed("failed attempts: 2").await;
    let home = Outside {
        name: &name,
        site: process.site.clone(),
    };
    home.say(&token, &room, "3").await;
    process.kill().await;

    partner.forget();
    partner.listen().await;
    let process = launch.start().await;
    partner.until_text("3").await;
    assert_eq!(partner.texts(), bodies(1..4));
    let home = Outside {
        name: &name,
        site: process.site.clone(),
    };
    home.say(&token, &room, "4").await;
    partner.until_text("4").await;
    assert_eq!(process.terminate().await.code(), Some(0));
}

/// A server in a process of its own.
pub(super) struct Outside<'a> {
    pub(super) name: &'a ServerName,
    pub(super) site: Site,
}

impl Outside<'_> {
    pub(super) async fn create_room(&self, token: &str) -> String {
        let body = json!({ "preset": "public_chat", "room_version": ROOM_VERSION });
        let request = self.site.post("/_matrix/client/v3/createRoom");
        let answer = request.bearer_auth(token).json(&body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        answer["room_id"].as_str().unwrap().to_owned()
    }

    async fn say(&self, token: &str, room: &str, text: &str) {
        let room = encode(room);
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{text}");
        let body = json!({ "msgtype": "m.text", "body": text });
        let request = self.site.put(&path).bearer_auth(token).json(&body);
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
}

impl Home for Outside<'_> {
    fn name(&self) -> &ServerName {
        self.name
    }

    async fn ask(&self, method: Method, path: &str, header: &str, body: Option<&Value>) -> Value {
        let request = match method {
            Method::GET => self.site.get(path),
            _ => self.site.put(path),
        };
        let request = request.header("authorization", header);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    }
}
