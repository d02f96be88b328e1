//! `GET /_matrix/key/v2/query/{serverName}`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#get_matrixkeyv2queryservername)

use axum::extract::State;
use ruma::api::federation::discovery::get_remote_server_keys::v2::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call, key::raw},
    app::App,
    key::Queried,
};

/// Hands on the keys of another server.
pub async fn query(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let queried = Queried {
        server_name: call.request.server_name,
        ids: Vec::new(),
        minimum_valid_until_ts: Some(call.request.minimum_valid_until_ts),
    };
    let keys = app.key_ring.query(vec![queried]).await?;
    let keys = keys.iter().map(raw).collect::<ApiResult<_>>()?;
    Ok(Response::new(keys))
}
