//! The end of the process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{task::JoinSet, time::timeout};

use crate::support::{Launch, Site};

/// How long the process may take to stop; it takes a fraction of a second.
const STOP: Duration = Duration::from_secs(4);

/// Long polls that are open when the process is told to stop, and clients that write.
const POLLS: usize = 10;
const WRITERS: usize = 4;

/// Creates rooms until the server is gone; the ids of those that were acknowledged.
async fn write(site: Site, token: String, done: Arc<AtomicUsize>) -> Vec<String> {
    let mut rooms = Vec::new();
    let create = || site.post("/_matrix/client/v3/createRoom");
    while let Ok(answer) = create().bearer_auth(&token).json(&json!({})).send().await {
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(status, 200, "{body}");
        rooms.push(body["room_id"].as_str().unwrap().to_owned());
        done.fetch_add(1, Ordering::Relaxed);
    }
    rooms
}

/// Waits for what does not happen, for longer than the test may take.
async fn poll(site: Site, token: String) {
    let sync = async |query: &str| {
        let sync = site.get(&format!("/_matrix/client/v3/sync?{query}"));
        let answer = sync.bearer_auth(&token).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json::<Value>().await.unwrap()
    };
    let first = sync("").await;
    let since = first["next_batch"].as_str().unwrap();
    let body = sync(&format!("since={since}&timeout=600000")).await;
    assert!(body["next_batch"].is_string(), "{body}");
}

/// How many long polls wait.
async fn waiting(site: &Site) -> usize {
    let metrics = site.get("/metrics").send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let mut lines = metrics.lines();
    let found = lines.find_map(|line| line.strip_prefix("matryx_sync_waiters "));
    found.unwrap().parse().unwrap()
}

/// What the server has logged that an operator would look into.
fn complaints(launch: &Launch) -> Vec<String> {
    let log = launch.log();
    let bad = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
    log.lines().filter(bad).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_sigterm_answers_long_polls_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::new(folder.path());
    let process = launch.start().await;
    let site = process.site.clone();
    let writer = site.register("writer").await;
    let reader = site.register("reader").await;

    let mut polls = JoinSet::new();
    for _ in 0..POLLS {
        polls.spawn(poll(site.clone(), reader.clone()));
    }
    let done = Arc::new(AtomicUsize::new(0));
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        writers.spawn(write(site.clone(), writer.clone(), Arc::clone(&done)));
    }
    while done.load(Ordering::Relaxed) < 20 || waiting(&site).await < POLLS {
        tokio::task::yield_now().await;
    }
    let status = timeout(STOP, process.terminate()).await.unwrap();
    assert_eq!(status.code(), Some(0), "{status}");
    polls.join_all().await;
    let acknowledged = writers.join_all().await.concat();
    assert_eq!(complaints(&launch), Vec::<String>::new());

    let process = launch.start().await;
    let joined = process.site.get("/_matrix/client/v3/joined_rooms");
    let joined = joined.bearer_auth(&writer).send().await.unwrap();
    let joined: Value = joined.json().await.unwrap();
    let joined = joined["joined_rooms"].as_array().unwrap();
    for room in acknowledged {
        assert!(joined.contains(&json!(room)), "{room} is lost");
    }
    assert_eq!(process.terminate().await.code(), Some(0));
    assert_eq!(complaints(&launch), Vec::<String>::new());
}
