//! The keys of servers, which need no authentication: they are how servers authenticate.
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#retrieving-server-keys)

pub mod query;
pub mod query_batch;
pub mod server;

use ruma::{CanonicalJsonObject, serde::Raw};
use serde_json::value::to_raw_value;

use super::{
    error::{ApiError, ApiResult},
    routes::Routes,
};

/// Every endpoint for keys.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes
        .add(server::server)
        .add(query::query)
        .add(query_batch::query_batch)
}

/// Signed keys, as they are answered.
fn raw<T>(keys: &CanonicalJsonObject) -> ApiResult<Raw<T>> {
    let text = to_raw_value(keys).map_err(|error| ApiError::internal(&error))?;
    Ok(Raw::from_json(text))
}
