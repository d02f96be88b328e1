//! A disk that is full, and has space again.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{Launch, Site};

/// Longest time until the server has noticed that there is space again.
const RECOVERY: Duration = Duration::from_secs(30);

/// Rooms that would need several times the space there is.
const ROOMS: usize = 100;

/// Creates a room; nothing if the server is unavailable, which is the only error.
async fn create_room(site: &Site, token: &str) -> Option<String> {
    let create = site.post("/_matrix/client/v3/createRoom");
    let create = create.bearer_auth(token).json(&json!({}));
    let answer = create.send().await.unwrap();
    let status = answer.status();
    let says_when = answer.headers().contains_key(RETRY_AFTER);
    let body: Value = answer.json().await.unwrap();
    if status == 503 {
        assert!(says_when, "{body}");
        return None;
    }
    assert_eq!(status, 200, "{body}");
    Some(body["room_id"].as_str().unwrap().to_owned())
}

/// The rooms that somebody is in.
async fn joined_rooms(site: &Site, token: &str) -> Vec<Value> {
    let joined = site.get("/_matrix/client/v3/joined_rooms");
    let joined = joined.bearer_auth(token).send().await.unwrap();
    assert_eq!(joined.status(), 200);
    let joined: Value = joined.json().await.unwrap();
    joined["joined_rooms"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_full_disk_is_unavailable_and_recovers_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::new(folder.path());
    let process = launch.start().await;
    let site = process.site.clone();
    let token = site.register("alice").await;
    let mut rooms = vec![create_room(&site, &token).await.unwrap()];

    process.limit_files("400000").await;
    let mut refused = 0;
    for _ in 0..ROOMS {
        match create_room(&site, &token).await {
            Some(room) => rooms.push(room),
            None => refused += 1,
        }
    }
    assert!(refused > ROOMS / 2, "{refused}");
    assert!(joined_rooms(&site, &token).await.len() >= rooms.len());

    process.limit_files("unlimited").await;
    let recovers = async {
        loop {
            if let Some(room) = create_room(&site, &token).await {
                break room;
            }
        }
    };
    let recovered = timeout(RECOVERY, recovers).await;
    rooms.push(recovered.unwrap_or_else(|_| panic!("{}", launch.log())));
    assert_eq!(process.terminate().await.code(), Some(0));

    let process = launch.start().await;
    let joined = joined_rooms(&process.site, &token).await;
    for room in rooms {
        assert!(joined.contains(&json!(room)), "{room} is lost");
    }
}
