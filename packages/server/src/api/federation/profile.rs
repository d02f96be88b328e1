//! `GET /_matrix/federation/v1/query/profile`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1queryprofile)

use axum::extract::State;
use ruma::api::federation::query::get_profile_information::v1::{Request, Response};

use crate::{
    api::{error::ApiResult, extract::Call},
    app::App,
};

/// Shows the profile of a user of this server, or one field of it.
pub async fn profile(
    State(app): State<App>,
    Call { request, .. }: Call<Request>,
) -> ApiResult<Response> {
    let mut response = Response::new();
    match &request.field {
        None => {
            let fields = app.users.profile(&request.user_id).await?;
            let fields = fields.iter();
            response.extend(fields.map(|(name, value)| (name.clone(), value.clone())));
        }
        Some(field) => {
            let name = field.as_str();
            if let Some(value) = app.users.profile_field(&request.user_id, name).await? {
                response.set(name.to_owned(), value);
            }
        }
    }
    Ok(response)
}
