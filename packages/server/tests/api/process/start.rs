//! The start of the process, on data folders in every condition.

use std::fs;

use serde_json::Value;

use crate::support::Launch;

#[tokio::test]
async fn starts_again_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::new(folder.path());
    let process = launch.start().await;
    let token = process.site.register("alice").await;
    process.kill().await;

    let process = launch.start().await;
    let whoami = process.site.get("/_matrix/client/v3/account/whoami");
    let answer = whoami.bearer_auth(&token).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["user_id"], "@alice:test.example");
}

#[tokio::test]
async fn a_second_process_is_told_who_has_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::new(folder.path());
    let _first = launch.start().await;
    let told = launch.fail().await;
    assert!(
        told.contains("is in use by another matryx process"),
        "{told}"
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::new(folder.path());
    fs::write(launch.data_dir(), "a file").unwrap();
    let told = launch.fail().await;
    assert!(told.contains("cannot use the data folder"), "{told}");
    assert!(told.contains(launch.data_dir().to_str().unwrap()), "{told}");
}

#[tokio::test]
async fn a_damaged_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::new(folder.path());
    assert_eq!(launch.start().await.terminate().await.code(), Some(0));
    let database = launch.data_dir().join("database");
    fs::write(database.join("CURRENT"), "garbage").unwrap();
    let told = launch.fail().await;
    assert!(told.contains(database.to_str().unwrap()), "{told}");
    assert!(told.contains("Corruption"), "{told}");
}

#[tokio::test]
async fn another_server_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::new(folder.path());
    assert_eq!(launch.start().await.terminate().await.code(), Some(0));
    let told = launch.set("server_name=other.example").fail().await;
    assert!(
        told.contains("belongs to the server test.example"),
        "{told}"
    );
}
