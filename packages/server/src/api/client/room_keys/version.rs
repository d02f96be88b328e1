//! `POST /_matrix/client/v3/room_keys/version`
//! `GET /_matrix/client/v3/room_keys/version`
//! `GET /_matrix/client/v3/room_keys/version/{version}`
//! `PUT /_matrix/client/v3/room_keys/version/{version}`
//! `DELETE /_matrix/client/v3/room_keys/version/{version}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups)

use axum::extract::State;
use matryx_entity::key_backup_version::KeyBackupVersion;
use ruma::{
    UInt,
    api::client::backup::{
        BackupAlgorithm, create_backup_version::v3 as create, delete_backup_version::v3 as delete,
        get_backup_info::v3 as get, get_latest_backup_info::v3 as current,
        update_backup_version::v3 as update,
    },
    serde::Raw,
};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    key_backup::{BackupMethod, KeyBackupError},
};

/// Begins a new version.
pub async fn create(
    State(app): State<App>,
    call: Call<create::Request>,
) -> ApiResult<create::Response> {
    let method = BackupMethod::parse(call.request.algorithm.json())?;
    let version = app.key_backups.create(&call.caller.user_id, method).await?;
    Ok(create::Response::new(version.to_string()))
}

/// Shows the newest version.
pub async fn current(
    State(app): State<App>,
    call: Call<current::Request>,
) -> ApiResult<current::Response> {
    let row = app.key_backups.current(&call.caller.user_id).await?;
    Ok(current::Response::new(
        algorithm(&row)?,
        count(&row),
        row.etag.to_string(),
        row.version.to_string(),
    ))
}

/// Shows a version.
pub async fn version(State(app): State<App>, call: Call<get::Request>) -> ApiResult<get::Response> {
    let version = &call.request.version;
    let row = app
        .key_backups
        .version(&call.caller.user_id, version)
        .await?;
    Ok(get::Response::new(
        algorithm(&row)?,
        count(&row),
        row.etag.to_string(),
        row.version.to_string(),
    ))
}

/// Replaces the `auth_data` of a version.
pub async fn update(
    State(app): State<App>,
    call: Call<update::Request>,
) -> ApiResult<update::Response> {
    let method = BackupMethod::parse(call.request.algorithm.json())?;
    let version = &call.request.version;
    app.key_backups
        .update(&call.caller.user_id, version, method)
        .await?;
    Ok(update::Response::new())
}

/// Deletes a version.
pub async fn delete(
    State(app): State<App>,
    call: Call<delete::Request>,
) -> ApiResult<delete::Response> {
    let version = &call.request.version;
    app.key_backups
        .delete(&call.caller.user_id, version)
        .await?;
    Ok(delete::Response::new())
}

fn algorithm(row: &KeyBackupVersion) -> Result<Raw<BackupAlgorithm>, KeyBackupError> {
    #[derive(serde::Serialize)]
    struct Method<'a> {
        algorithm: &'a str,
        auth_data: &'a RawValue,
    }
    let method = Method {
        algorithm: &row.algorithm,
        auth_data: serde_json::from_str(&row.auth_data).map_err(KeyBackupError::Unreadable)?,
    };
    let method = to_raw_value(&method).map_err(KeyBackupError::Unreadable)?;
    Ok(Raw::from_json(method))
}

fn count(row: &KeyBackupVersion) -> UInt {
    UInt::try_from(row.count).unwrap_or_default()
}
