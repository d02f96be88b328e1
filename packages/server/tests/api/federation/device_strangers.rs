//! Device lists as a server tells them that can't be trusted.

use serde_json::{Value, json};

use super::{
    device_lists::{SIGNING, UPDATE, devices, is_nothing, kept, query},
    stranger::Visit,
};
use crate::{
    support::{DeviceIdentity, SigningKey},
    sync::device_lists::{Told, encrypt, now, told},
};

/// What a stranger says of eve's devices.
struct Eve {
    visit: Visit,
    device: DeviceIdentity,
}

impl Eve {
    /// Eve of a stranger is in an encrypted room; her server tells of one device.
    async fn new() -> Self {
        let visit = Visit::new("11").await;
        encrypt(&visit.alice, &visit.room).await;
        let device = DeviceIdentity::named(&visit.eve, "EVE");
        let eve = Self { visit, device };
        eve.lists(1, &["EVE"]);
        eve
    }

    fn keys(&self, device: &str) -> Value {
        if device == "EVE" {
            return self.device.device_keys();
        }
        DeviceIdentity::named(&self.visit.eve, device).device_keys()
    }

    /// From now on her server tells this list when it is asked.
    fn lists(&self, stream_id: u64, devices: &[&str]) {
        let devices = devices
            .iter()
            .map(|device| json!({ "device_id": device, "keys": self.keys(device) }));
        let list = json!({
            "user_id": self.visit.eve,
            "stream_id": stream_id,
            "devices": devices.collect::<Vec<_>>(),
        });
        self.visit.there.answer("user", move |_| Some(list.clone()));
    }

    fn asked(&self) -> usize {
        self.visit.there.asked("user").len()
    }

    fn update(&self, device: &str, stream_id: u64, prev_id: &[u64]) -> Value {
        json!({ "edu_type": UPDATE, "content": {
            "user_id": self.visit.eve,
            "device_id": device,
            "stream_id": stream_id,
            "prev_id": prev_id,
            "keys": self.keys(device),
        }})
    }

    async fn send(&self, edus: Value) {
        let body = json!({
            "origin": self.visit.there.name,
            "origin_server_ts": 1,
            "pdus": [],
            "edus": edus,
        });
        let path = format!("/_matrix/federation/v1/send/{:x}", rand::random::<u64>());
        self.visit
            .there
            .put(&self.visit.here, &path, &body)
            .await
            .ok();
    }

    async fn devices(&self) -> Vec<String> {
        devices(&self.visit.alice, &self.visit.eve).await
    }
}

#[tokio::test]
async fn a_gap_leads_to_asking_for_the_whole_list() {
    let eve = Eve::new().await;
    let alice = &eve.visit.alice;
    // However many ask, and whenever.
    tokio::join!(eve.devices(), eve.devices(), eve.devices());
    assert_eq!(eve.devices().await, ["EVE"]);
    assert_eq!(eve.asked(), 1);
    eve.send(json!([eve.update("TWO", 2, &[1])])).await;
    assert_eq!(eve.devices().await, ["EVE", "TWO"]);
    // Once more is no news.
    let since = now(alice).await;
    eve.send(json!([eve.update("EVE", 1, &[])])).await;
    assert_eq!(
        (told(alice, &since).await.0, eve.asked()),
        (Told::default(), 1)
    );

    eve.lists(5, &["EVE", "TWO", "THREE", "FOUR"]);
    eve.send(json!([eve.update("FOUR", 5, &[4])])).await;
    assert!(told(alice, &since).await.0.has_changed(&eve.visit.eve));
    assert_eq!(eve.devices().await, ["EVE", "FOUR", "THREE", "TWO"]);
    assert_eq!(eve.asked(), 2);
    let gone = json!({ "edu_type": UPDATE, "content": {
        "user_id": eve.visit.eve, "device_id": "TWO", "stream_id": 6, "prev_id": [5],
        "deleted": true,
    }});
    eve.send(json!([gone])).await;
    assert_eq!(eve.devices().await, ["EVE", "FOUR", "THREE"]);
    assert_eq!(eve.asked(), 2);
}

#[tokio::test]
async fn a_list_that_cannot_be_asked_for_is_not_told() {
    let eve = Eve::new().await;
    let alice = &eve.visit.alice;
    assert_eq!(eve.devices().await, ["EVE"]);
    eve.visit.there.answer("user", |_| None);
    eve.visit.there.answer("user", |_| Some(json!("nonsense")));
    eve.send(json!([eve.update("NEW", 9, &[8])])).await;
    let answer = query(alice, &eve.visit.eve).await;
    assert!(is_nothing(&answer["device_keys"]), "{answer}");
    assert!(answer["failures"][eve.visit.there.name.as_str()].is_object());
    let since = now(alice).await;
    eve.lists(9, &["EVE", "NEW"]);
    assert_eq!(eve.devices().await, ["EVE", "NEW"]);
    assert!(told(alice, &since).await.0.has_changed(&eve.visit.eve));
}

#[tokio::test]
async fn forged_updates_change_nothing() {
    let eve = Eve::new().await;
    let (alice, here) = (&eve.visit.alice, &eve.visit.here);
    let bob = here.server.register("bob").await;
    bob.join(&eve.visit.room).await;
    assert_eq!(eve.devices().await, ["EVE"]);
    let since = now(alice).await;
    let of = |user: &str| {
        let mut update = eve.update("EVE", 2, &[1]);
        update["content"]["user_id"] = json!(user);
        update["content"]["keys"] = DeviceIdentity::named(user, "EVE").device_keys();
        update
    };
    let mut unsigned = eve.update("TWO", 2, &[1]);
    unsigned["content"]["keys"]["signatures"] = json!({});
    let mut other = eve.update("TWO", 2, &[1]);
    other["content"]["keys"] = eve.keys("THREE");
    let master = SigningKey::for_cross_signing(&eve.visit.eve);
    let signing = |master: Value, own: Value| {
        json!({ "edu_type": SIGNING, "content": {
            "user_id": eve.visit.eve, "master_key": master, "self_signing_key": own,
        }})
    };
    let unsigned_own = signing(master.published("master"), master.published("self_signing"));
    let swapped = signing(master.published("self_signing"), Value::Null);
    let mut of_bob = signing(master.published("master"), Value::Null);
    of_bob["content"]["user_id"] = json!(bob.id);
    eve.send(json!([
        of(&bob.id),
        of("@eve:elsewhere.example"),
        of(&format!("@stranger:{}", eve.visit.there.name)),
        unsigned,
        other,
        unsigned_own,
        swapped,
        of_bob,
        { "edu_type": UPDATE, "content": [] },
        { "edu_type": UPDATE, "content": { "user_id": eve.visit.eve } },
        { "edu_type": SIGNING, "content": { "user_id": eve.visit.eve } },
    ]))
    .await;
    assert_eq!(told(alice, &since).await.0, Told::default());
    assert_eq!(eve.devices().await, ["EVE"]);
    assert!(is_nothing(
        &query(alice, &eve.visit.eve).await["master_keys"]
    ));
    assert!(devices(alice, &bob.id).await.is_empty());
    assert!(kept(here, "@eve:elsewhere.example").await.is_none());
    assert_eq!(eve.asked(), 1);
}

#[tokio::test]
async fn a_server_speaks_for_its_own_users_only() {
    let eve = Eve::new().await;
    let alice = &eve.visit.alice;
    let (name, own) = (eve.visit.there.name.clone(), eve.visit.eve.clone());
    let stranger = format!("@stranger:{name}");
    let keys = DeviceIdentity::named(&stranger, "S").device_keys();
    let of_alice = DeviceIdentity::named(&alice.id, "FORGED").device_keys();
    let (asked_for, alices) = (stranger.clone(), alice.id.clone());
    let mut unsigned = DeviceIdentity::named(&stranger, "U").device_keys();
    unsigned["signatures"] = json!({});
    eve.visit.there.answer("user", move |asked| {
        let is_query = asked.target.ends_with("/keys/query");
        is_query.then(|| {
            json!({ "device_keys": {
                (asked_for.as_str()): { "S": keys, "U": unsigned, "OTHER": keys },
                (alices.as_str()): { "FORGED": of_alice },
            }})
        })
    });
    assert_eq!(devices(alice, &stranger).await, ["S"]);
    assert!(kept(&eve.visit.here, &stranger).await.is_none());
    assert!(devices(alice, &alice.id).await.is_empty());
    // A list that is another user's is none.
    let list = json!({ "user_id": stranger, "stream_id": 1, "devices": [] });
    eve.visit.there.answer("user", move |_| Some(list.clone()));
    let answer = query(alice, &own).await;
    assert!(answer["failures"][name.as_str()].is_object(), "{answer}");
}
