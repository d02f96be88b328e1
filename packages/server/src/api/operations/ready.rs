//! `GET /_matryx/health/ready`
//!
//! 200 while the server serves requests and its database answers, 503 otherwise.

use axum::extract::State;
use matryx_entity::{key, room::RoomPointer};

use super::{JSON, Text};
use crate::{api::error::ApiResult, app::App};

/// Asks the database for a record that does not exist.
pub async fn ready(State(app): State<App>) -> ApiResult<Text<&'static str>> {
    app.store.get::<RoomPointer>(&key![""]).await?;
    Ok((JSON, r#"{"status":"ready"}"#))
}
