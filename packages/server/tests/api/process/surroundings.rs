//! What surrounds the process: language, time zone, masks, and folders that cannot be written to.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use serde_json::{Value, json};

use crate::support::{Launch, Site, TestUser};

/// What depends on how letters are told apart and on the time of day, where it depends on that.
async fn results(site: &Site) -> Value {
    let post = async |path: &str, token: &str, body: Value| {
        let request = site.post(path).bearer_auth(token).json(&body);
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    let token = site.register("titli").await;
    let login = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": "TITLI" },
        "password": TestUser::PASSWORD,
    });
    let login = post("/_matrix/client/v3/login", "", login).await;
    let room = json!({ "visibility": "public", "name": "ISTANBUL'da İyi Işık" });
    post("/_matrix/client/v3/createRoom", &token, room).await;
    let mut found = Vec::new();
    for term in ["istanbul", "ISIK", "ışık", "Işık"] {
        let search = json!({ "filter": { "generic_search_term": term } });
        let page = post("/_matrix/client/v3/publicRooms", &token, search).await;
        found.push(page["chunk"].as_array().unwrap().len());
    }
    json!([login["user_id"], found])
}

#[tokio::test]
async fn language_time_zone_mask_and_a_missing_tmp_change_nothing() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let plain = Launch::new(folders[0].path());
    let odd = Launch::new(folders[1].path())
        .environment("LANG", "tr_TR.UTF-8")
        .environment("LC_ALL", "tr_TR.UTF-8")
        .environment("TZ", "Asia/Kathmandu")
        .environment("TMPDIR", "/nonexistent")
        .umask("000");
    let mut all = Vec::new();
    for launch in [plain, odd] {
        let process = launch.start().await;
        all.push(results(&process.site).await);
        assert_eq!(process.terminate().await.code(), Some(0));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let data = launch.data_dir();
        assert_eq!(mode(&data), 0o700);
        assert_eq!(mode(&data.join("signing.key")), 0o600);
        let log = launch.log();
        let first = log.split_whitespace().next().unwrap();
        assert!(first.ends_with('Z'), "{first}");
    }
    assert_eq!(all[0], all[1]);
    assert_eq!(all[0][0], "@titli:test.example");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_to_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::new(folder.path());
    // Nobody can make files there, whoever the test runs as.
    symlink("/proc/self/fdinfo", launch.data_dir()).unwrap();
    let told = launch.fail().await;
    assert!(told.contains("cannot use the data folder"), "{told}");
    assert!(told.contains(launch.data_dir().to_str().unwrap()), "{told}");
}
