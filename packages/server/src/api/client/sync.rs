//! `GET /_matrix/client/v3/sync`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync)

use std::sync::Arc;

use axum::extract::State;
use matryx_client::sync::SyncRequest;
use matryx_entity::filter::Filter as StoredFilter;
use ruma::{
    UserId,
    api::client::{
        filter::FilterDefinition,
        sync::sync_events::v3::{Filter, Request, Response},
    },
};

use crate::{
    api::{
        error::{ApiError, ApiResult},
        extract::Call,
    },
    app::App,
};

/// Tells a client what is new since its token, and waits for something if there is nothing.
pub async fn sync(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let Call {
        caller, request, ..
    } = call;
    let filter = match request.filter {
        Some(filter) => resolve(&app, &caller.user_id, filter).await?,
        None => Arc::default(),
    };
    app.presences.recall(&caller.user_id).await?;
    let timeout = request.timeout.unwrap_or_default();
    let request = SyncRequest {
        user_id: caller.user_id,
        device_id: caller.device_id,
        filter,
        since: request.since,
        full_state: request.full_state,
        use_state_after: request.use_state_after,
        set_presence: request.set_presence,
        timeout: timeout.min(app.config.http.max_sync_timeout),
    };
    Ok(app.sync.sync(&request).await?)
}

/// The filter itself: given inline, or uploaded before and named by its id.
async fn resolve(app: &App, user: &UserId, filter: Filter) -> ApiResult<Arc<FilterDefinition>> {
    let filter_id = match filter {
        Filter::FilterDefinition(filter) => return Ok(Arc::new(filter)),
        Filter::FilterId(filter_id) => filter_id,
        _ => return Err(ApiError::invalid_param("the filter is of an unknown form")),
    };
    if filter_id.starts_with('{') {
        return Err(ApiError::invalid_param("the filter is not valid"));
    }
    let key = StoredFilter::key_of(user, &filter_id);
    let stored = app.store.get::<StoredFilter>(&key).await?;
    let stored = stored.ok_or_else(|| ApiError::invalid_param("there is no such filter"))?;
    let filter = serde_json::from_str(&stored.json);
    filter.map_err(|error| ApiError::internal(&error))
}
