//! `POST /_matrix/client/v3/register`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3register)

use axum::extract::State;
use ruma::api::client::account::register::{
    LoginType, RegistrationKind,
    v3::{Request, Response},
};

use crate::{
    api::{
        error::{ApiError, ApiResult},
        extract::Call,
    },
    app::App,
    rate_limit::Act,
    user::{NewAccount, NewSession, Registered, UserError},
};

/// Registers a newcomer, a guest, or a user of an application service.
pub async fn register(State(app): State<App>, call: Call<Request>) -> ApiResult<Response> {
    let request = call.request;
    let session = (!request.inhibit_login).then_some(NewSession {
        device_id: request.device_id,
        display_name: request.initial_device_display_name,
        refreshable: request.refresh_token,
    });
    let registered = match (&request.login_type, &request.kind) {
        (Some(LoginType::ApplicationService), _) => {
            let appservice = call.caller.ok_or(UserError::MissingToken)?;
            let name = request.username.as_deref();
            app.users
                .register_for_appservice(&appservice, name, session)
                .await?
        }
        (_, RegistrationKind::Guest) => {
            app.rate_limits.act_from(Act::Register, call.remote.ip)?;
            app.users
                .register_guest(session.unwrap_or_default())
                .await?
        }
        (_, RegistrationKind::User) => {
            app.rate_limits.act_from(Act::Register, call.remote.ip)?;
            let account = NewAccount {
                username: request.username,
                password: request.password,
                session,
            };
            app.users.register(account, request.auth.as_ref()).await?
        }
        _ => return Err(ApiError::invalid_param("Unknown kind of account")),
    };
    Ok(response(registered))
}

fn response(registered: Registered) -> Response {
    let mut response = Response::new(registered.user_id);
    if let Some(session) = registered.session {
        response.access_token = Some(session.access_token);
        response.device_id = Some(session.device_id);
        response.refresh_token = session.refresh_token;
        response.expires_in = session.expires_in;
    }
    response
}
