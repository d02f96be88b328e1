//! `PUT /_matrix/client/v3/room_keys/keys`
//! `PUT /_matrix/client/v3/room_keys/keys/{roomId}`
//! `PUT /_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}`
//! `GET /_matrix/client/v3/room_keys/keys`
//! `GET /_matrix/client/v3/room_keys/keys/{roomId}`
//! `GET /_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}`
//! `DELETE /_matrix/client/v3/room_keys/keys`
//! `DELETE /_matrix/client/v3/room_keys/keys/{roomId}`
//! `DELETE /_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups)

use std::collections::BTreeMap;

use axum::extract::State;
use matryx_entity::backed_up_key::BackedUpKey;
use ruma::{
    OwnedRoomId, UInt, UserId,
    api::client::backup::{
        KeyBackupData, RoomKeyBackup, add_backup_keys::v3 as put,
        add_backup_keys_for_room::v3 as put_room, add_backup_keys_for_session::v3 as put_session,
        delete_backup_keys::v3 as delete, delete_backup_keys_for_room::v3 as delete_room,
        delete_backup_keys_for_session::v3 as delete_session, get_backup_keys::v3 as get,
        get_backup_keys_for_room::v3 as get_room, get_backup_keys_for_session::v3 as get_session,
    },
    serde::Raw,
};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
    key_backup::{BackupState, KeyBackupError, KeyScope, UploadedKey},
};

/// Sessions with their keys, as requests and answers have them.
type Sessions = BTreeMap<String, Raw<KeyBackupData>>;

/// Adds keys of several rooms.
pub async fn upload(State(app): State<App>, call: Call<put::Request>) -> ApiResult<put::Response> {
    let rooms = call.request.rooms;
    let rooms = rooms.into_iter().map(|(id, room)| (id, room.sessions));
    let user_id = &call.caller.user_id;
    let state = add(&app, user_id, &call.request.version, rooms).await?;
    Ok(put::Response::new(etag(state), count(state)))
}

/// Adds keys of one room.
pub async fn upload_for_room(
    State(app): State<App>,
    call: Call<put_room::Request>,
) -> ApiResult<put_room::Response> {
    let rooms = [(call.request.room_id, call.request.sessions)];
    let user_id = &call.caller.user_id;
    let state = add(&app, user_id, &call.request.version, rooms).await?;
    Ok(put_room::Response::new(etag(state), count(state)))
}

/// Adds the key of one session.
pub async fn upload_for_session(
    State(app): State<App>,
    call: Call<put_session::Request>,
) -> ApiResult<put_session::Response> {
    let session = (call.request.session_id, call.request.session_data);
    let rooms = [(call.request.room_id, Sessions::from([session]))];
    let user_id = &call.caller.user_id;
    let state = add(&app, user_id, &call.request.version, rooms).await?;
    Ok(put_session::Response::new(etag(state), count(state)))
}

/// Shows all keys.
pub async fn keys(State(app): State<App>, call: Call<get::Request>) -> ApiResult<get::Response> {
    let user_id = &call.caller.user_id;
    let version = &call.request.version;
    let keys = app
        .key_backups
        .keys(user_id, version, KeyScope::All)
        .await?;
    let mut rooms: BTreeMap<OwnedRoomId, RoomKeyBackup> = BTreeMap::new();
    for key in keys {
        let (session_id, data) = (key.session_id.clone(), data(&key)?);
        rooms
            .entry(key.room_id)
            .or_insert_with(|| RoomKeyBackup::new(Sessions::new()))
            .sessions
            .insert(session_id, data);
    }
    Ok(get::Response::new(rooms))
}

/// Shows the keys of one room.
pub async fn keys_of_room(
    State(app): State<App>,
    call: Call<get_room::Request>,
) -> ApiResult<get_room::Response> {
    let (user_id, version) = (&call.caller.user_id, &call.request.version);
    let scope = KeyScope::Room(&call.request.room_id);
    let keys = app.key_backups.keys(user_id, version, scope).await?;
    let sessions = keys
        .iter()
        .map(|key| Ok((key.session_id.clone(), data(key)?)));
    let sessions = sessions.collect::<Result<_, KeyBackupError>>()?;
    Ok(get_room::Response::new(sessions))
}

/// Shows the key of one session.
pub async fn key_of_session(
    State(app): State<App>,
    call: Call<get_session::Request>,
) -> ApiResult<get_session::Response> {
    let (user_id, version) = (&call.caller.user_id, &call.request.version);
    let scope = KeyScope::Session(&call.request.room_id, &call.request.session_id);
    let keys = app.key_backups.keys(user_id, version, scope).await?;
    let key = keys.first().ok_or(KeyBackupError::NO_SUCH_KEY)?;
    Ok(get_session::Response::new(data(key)?))
}

/// Removes all keys.
pub async fn delete(
    State(app): State<App>,
    call: Call<delete::Request>,
) -> ApiResult<delete::Response> {
    let (user_id, version) = (&call.caller.user_id, &call.request.version);
    let removed = app.key_backups.delete_keys(user_id, version, KeyScope::All);
    let state = removed.await?;
    Ok(delete::Response::new(etag(state), count(state)))
}

/// Removes the keys of one room.
pub async fn delete_of_room(
    State(app): State<App>,
    call: Call<delete_room::Request>,
) -> ApiResult<delete_room::Response> {
    let (user_id, version) = (&call.caller.user_id, &call.request.version);
    let scope = KeyScope::Room(&call.request.room_id);
    let state = app.key_backups.delete_keys(user_id, version, scope).await?;
    Ok(delete_room::Response::new(etag(state), count(state)))
}

/// Removes the key of one session.
pub async fn delete_of_session(
    State(app): State<App>,
    call: Call<delete_session::Request>,
) -> ApiResult<delete_session::Response> {
    let (user_id, version) = (&call.caller.user_id, &call.request.version);
    let scope = KeyScope::Session(&call.request.room_id, &call.request.session_id);
    let state = app.key_backups.delete_keys(user_id, version, scope).await?;
    Ok(delete_session::Response::new(etag(state), count(state)))
}

async fn add(
    app: &App,
    user_id: &UserId,
    version: &str,
    rooms: impl IntoIterator<Item = (OwnedRoomId, Sessions)>,
) -> ApiResult<BackupState> {
    let mut keys = Vec::new();
    for (room_id, sessions) in rooms {
        for (session_id, data) in sessions {
            keys.push(UploadedKey::parse(
                room_id.clone(),
                session_id,
                data.json(),
            )?);
        }
    }
    Ok(app.key_backups.upload(user_id, version, keys).await?)
}

fn data(key: &BackedUpKey) -> Result<Raw<KeyBackupData>, KeyBackupError> {
    #[derive(serde::Serialize)]
    struct Shown<'a> {
        first_message_index: u64,
        forwarded_count: u64,
        is_verified: bool,
        session_data: &'a RawValue,
    }
    let data = Shown {
        first_message_index: key.first_message_index,
        forwarded_count: key.forwarded_count,
        is_verified: key.is_verified,
        session_data: serde_json::from_str(&key.session_data)
            .map_err(KeyBackupError::Unreadable)?,
    };
    let data = to_raw_value(&data).map_err(KeyBackupError::Unreadable)?;
    Ok(Raw::from_json(data))
}

fn etag(state: BackupState) -> String {
    state.etag.to_string()
}

fn count(state: BackupState) -> UInt {
    UInt::try_from(state.count).unwrap_or_default()
}
