//! `POST /_matrix/key/v2/query`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#post_matrixkeyv2query)

use axum::extract::State;
use ruma::api::federation::discovery::get_remote_server_keys_batch::v2::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call, key::raw},
    app::App,
    key::Queried,
};

/// Hands on the keys of other servers.
pub async fn query_batch(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let queried = call.request.server_keys.into_iter();
    let queried = queried.map(|(server_name, criteria)| Queried {
        server_name,
        minimum_valid_until_ts: criteria
            .values()
            .filter_map(|criteria| criteria.minimum_valid_until_ts)
            .max(),
        ids: criteria.into_keys().map(|id| id.to_string()).collect(),
    });
    let keys = app.key_ring.query(queried.collect()).await?;
    let keys = keys.iter().map(raw).collect::<ApiResult<_>>()?;
    Ok(Response::new(keys))
}
