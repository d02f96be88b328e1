//! Device lists of users of other servers, and what others are told of ours, when a server is killed.

use std::time::Duration;

use ruma::OwnedServerName;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{
    pair::fixture,
    partner::{Home, Partner},
    sender::Outside,
};
use crate::support::{DeviceIdentity, Launch, Site};

/// A list of devices as the partner tells it.
fn list(eve: &str, stream_id: u64, devices: &[&str]) -> Value {
    let devices = devices.iter().map(|device| {
        let keys = DeviceIdentity::named(eve, device).device_keys();
        json!({ "device_id": device, "keys": keys })
    });
    let devices: Vec<Value> = devices.collect();
    json!({ "user_id": eve, "stream_id": stream_id, "devices": devices })
}

async fn devices(site: &Site, token: &str, user: &str) -> Vec<String> {
    let body = json!({ "device_keys": { user: [] } });
    let query = site.post("/_matrix/client/v3/keys/query").json(&body);
    let answer = query.bearer_auth(token).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    let devices = answer["device_keys"][user].as_object();
    devices.map_or(Vec::new(), |devices| devices.keys().cloned().collect())
}

/// Opens a session of alice on another device.
async fn log_in(site: &Site) {
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": "alice" },
        "password": crate::support::TestUser::PASSWORD,
    });
    let login = site.post("/_matrix/client/v3/login").json(&body);
    assert_eq!(login.send().await.unwrap().status(), 200);
}

async fn update(partner: &Partner, home: &impl Home, eve: &str, stream_id: u64, prev_id: u64) {
    let edu = json!({ "edu_type": "m.device_list_update", "content": {
        "user_id": eve, "device_id": "GONE", "stream_id": stream_id, "prev_id": [prev_id],
        "deleted": true,
    }});
    let txn = format!("update-{stream_id}");
    partner.send(home, &txn, json!([]), json!([edu])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_goes_on_with_device_lists() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::new(folder.path())
        .set("listen=client+federation+metrics=127.0.0.1:0")
        .set("federation.deny_ip_ranges=[]")
        .set("federation.retry.first=1h")
        .set(&format!("tls.extra_ca_files={}", fixture("ca.crt")));
    let name = OwnedServerName::try_from("test.example").unwrap();
    let mut partner = Partner::start().await;
    let eve = partner.user("eve");
    partner.tell_devices(Some(list(&eve, 1, &["EVE"])));
    let process = launch.start().await;
    let token = process.site.register("alice").await;
    let home = Outside {
        name: &name,
        site: process.site.clone(),
    };
    let room = home.create_room(&token).await;
    partner.join(&home, &room, &eve).await;
    assert_eq!(devices(&home.site, &token, &eve).await, ["EVE"]);

    // A change was missed, and the list could not be asked for before the end.
    partner.tell_devices(None);
    let asked = partner.asked_for_devices();
    update(&partner, &home, &eve, 5, 4).await;
    partner
        .until("a question", |it| it.asked_for_devices() > asked)
        .await;
    // Another change is missed because its server is away.
    partner.vanish().await;
    log_in(&home.site).await;
    process.kill().await;

    partner.tell_devices(Some(list(&eve, 5, &["EVE", "NEW"])));
    partner.forget();
    partner.listen().await;
    let asked = partner.asked_for_devices();
    let process = launch.start().await;
    partner
        .until("a question", |it| it.asked_for_devices() > asked)
        .await;
    partner
        .until("what is new of alice", |it| {
            let edus = it.edus();
            // After her first device came another.
            edus.iter().any(|edu| edu["content"]["stream_id"] == 2)
        })
        .await;
    let wait = async {
        while devices(&process.site, &token, &eve).await != ["EVE", "NEW"] {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), wait).await.unwrap();
    // What is kept needs nobody.
    let asked = partner.asked_for_devices();
    assert_eq!(devices(&process.site, &token, &eve).await, ["EVE", "NEW"]);
    assert_eq!(partner.asked_for_devices(), asked);
    assert_eq!(process.terminate().await.code(), Some(0));
}
