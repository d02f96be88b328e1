//! A new signing key: the old one stays known, and nothing is lost on the way.

use std::{fs, path::Path};

use matryx_entity::server_keys::ServerKeys;
use matryx_server::{
    clock::SystemClock,
    config::{self, Config, Flag, Sources},
    serve::{self, StartError, Started, rotate_signing_key},
    signing_key::SigningKey,
    telemetry::Telemetry,
};

/// The configuration of a server whose database is a folder.
fn config(folder: &Path) -> Config {
    let flag = |key: &str, text: &str| Flag {
        name: "--set",
        key: key.to_owned(),
        text: text.to_owned(),
    };
    let flags = vec![
        flag("server_name", "test.example"),
        flag("data_dir", folder.to_str().unwrap()),
    ];
    let sources = Sources {
        flags,
        ..Sources::default()
    };
    config::load(&sources).unwrap().config
}

async fn start(folder: &Path) -> Result<Started, StartError> {
    let telemetry = Telemetry::detached().unwrap();
    Box::pin(serve::start(
        config(folder),
        std::sync::Arc::new(SystemClock),
        telemetry,
    ))
    .await
}

/// The keys that a server publishes.
async fn published(folder: &Path) -> ServerKeys {
    let app = start(folder).await.unwrap().app;
    let now = app.clock.now();
    let keys = app.key_ring.own().published(now).unwrap();
    app.shutdown.cancel();
    app.tasks.close();
    app.tasks.wait().await;
    app.store.close().await;
    let text = serde_json::to_string(&keys).unwrap();
    ServerKeys::parse(&text, &app.config.server_name, now).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_key_is_published_as_expired() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let before = published(folder).await;
    let rotated = rotate_signing_key(&config(folder), &SystemClock)
        .await
        .unwrap();
    assert_eq!(before.keys.keys().collect::<Vec<_>>(), [&rotated.old]);
    let after = published(folder).await;
    assert_eq!(after.keys.len(), 2);
    let (old, new) = (&after.keys[&rotated.old], &after.keys[&rotated.new]);
    assert_eq!(old.key, before.keys[&rotated.old].key);
    assert!(old.valid_until_ts < new.valid_until_ts);

    // Cut off between the commit and the change of files, it is brought to its end.
    let file = folder.join("signing.key");
    let current = fs::read(&file).unwrap();
    let last = rotate_signing_key(&config(folder), &SystemClock)
        .await
        .unwrap();
    fs::rename(&file, folder.join("signing.key.next")).unwrap();
    fs::write(&file, &current).unwrap();
    let healed = published(folder).await;
    assert_eq!(healed.keys.len(), 3);
    assert_eq!(SigningKey::load(&file).unwrap().id(), last.new);

    // A key that the database does not belong to is refused.
    fs::write(&file, current).unwrap();
    let refused = start(folder).await;
    assert!(matches!(refused, Err(StartError::OtherKey { .. })));
}
