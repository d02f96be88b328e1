//! `GET /_matrix/federation/v1/query/{queryType}`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1queryquerytype)

use axum::extract::State;
use ruma::api::federation::query::get_custom_information::v1::{Request, Response};

use crate::{
    api::{
        error::{ApiError, ApiResult},
        extract::Call,
    },
    app::App,
};

/// Queries of types that this server has no answer to; `directory` and `profile` have endpoints of
/// their own.
pub async fn query(
    State(_): State<App>,
    Call { request, .. }: Call<Request>,
) -> ApiResult<Response> {
    let kind = request.query_type;
    Err(ApiError::not_found(format!(
        "There are no queries of the type {kind}"
    )))
}
